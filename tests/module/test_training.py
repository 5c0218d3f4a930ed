"""loss, compute_gradients, train_step: against float64 references of network and optimizer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.module.conftest import Case
from tests.module.reference import close

SIZES = [1, 15, 16, 17, 64]
STEPS = 5


@pytest.mark.parametrize("n", SIZES)
def test_loss_and_gradients_equal_the_reference(trained: Case, n: int) -> None:
    net = trained.model(seed=2, threads=2)
    inputs, target = trained.inputs(n), trained.target(n)
    loss, grads = trained.reference(net).gradients(*inputs, target=target)
    found = net.compute_gradients(*inputs, target)
    assert type(found) is float
    assert found == pytest.approx(loss, rel=1e-5)
    assert net.loss(*inputs, target) == found
    assert list(net.gradients) == list(net.parameters)
    for name, grad in grads.items():
        close(net.gradients[name], grad)


def test_steps_equal_the_reference(trained: Case) -> None:
    net = trained.model(seed=4, threads=2)
    reference = trained.reference(net)
    before = {name: view.astype(float) for name, view in net.parameters.items()}
    for step in range(STEPS):
        n = 30 + step
        inputs, target = trained.inputs(n, step), trained.target(n, step)
        wanted = reference.step(*inputs, target=target)
        assert net.train_step(*inputs, target) == pytest.approx(wanted, rel=1e-4)
    for name, view in net.parameters.items():
        moved = np.abs(reference.parameters[name] - before[name]).max()
        error = np.abs(view - reference.parameters[name]).max()
        assert moved > 0, name
        assert error < 2e-3 * moved + 1e-7, name


@pytest.mark.parametrize("n", [*SIZES, 200])
def test_bytes_and_the_same_floats_give_the_same_gradients(rows: Case, n: int) -> None:
    (image,), target = rows.inputs(n), rows.target(n)
    left, right = rows.model(seed=3, threads=2), rows.model(seed=3, threads=2)
    left.train_step(image, target)
    right.train_step(image.astype(np.float32), target)
    _, wanted = rows.reference(rows.model(seed=3)).gradients(image, target=target)
    for name, grad in left.gradients.items():
        np.testing.assert_array_equal(grad, right.gradients[name])
        close(grad, wanted[name])


def test_a_step_leaves_its_gradients(trained: Case) -> None:
    left, right = trained.model(seed=1), trained.model(seed=1)
    inputs, target = trained.inputs(33), trained.target(33)
    assert left.train_step(*inputs, target) == right.compute_gradients(*inputs, target)
    for name, grad in right.gradients.items():
        np.testing.assert_array_equal(left.gradients[name], grad)
        assert grad.any(), name


def test_losses_and_gradients_leave_weights_and_optimizer_alone(trained: Case) -> None:
    plain, asked = trained.model(seed=1), trained.model(seed=1)
    inputs, target = trained.inputs(20), trained.target(20)
    before = {name: view.copy() for name, view in asked.parameters.items()}
    asked.compute_gradients(*inputs, target)
    asked.loss(*inputs, target)
    asked(*inputs)
    for name, view in asked.parameters.items():
        np.testing.assert_array_equal(view, before[name])
    for _ in range(2):
        plain.train_step(*inputs, target)
        asked.train_step(*inputs, target)
        asked.compute_gradients(*trained.inputs(5), trained.target(5))
    for name, view in asked.parameters.items():
        np.testing.assert_array_equal(view, plain.parameters[name])


def test_gradients_are_of_one_call_and_start_at_zero(digits: Case) -> None:
    net = digits.model()
    assert not any(view.any() for view in net.gradients.values())
    inputs, target = digits.inputs(20), digits.target(20)
    net.compute_gradients(*inputs, target)
    first = {name: view.copy() for name, view in net.gradients.items()}
    net.compute_gradients(*digits.inputs(300), digits.target(300))
    net.compute_gradients(*inputs, target)
    for name, view in net.gradients.items():
        np.testing.assert_array_equal(view, first[name])


def test_the_mean_is_over_the_samples(trained: Case) -> None:
    net = trained.model()
    inputs, target = trained.inputs(21), trained.target(21)
    each = [
        net.loss(*(a[i : i + 1] for a in inputs), target[i : i + 1]) for i in range(len(target))
    ]
    assert net.loss(*inputs, target) == pytest.approx(np.mean(each), rel=1e-5)


def test_momentum_by_hand(line: Case) -> None:
    # y = w x + b with w = 1/2; x = 2, target 0: error 1, gradients 2 * 2 and 2; lr = 1/4, mu = 1/2.
    net = line.module.Model()
    x, target = np.array([[2]], np.float32), np.zeros((1, 1), np.float32)
    weight, bias = net.parameters["dense1.weight"], net.parameters["dense1.bias"]
    assert net.train_step(x, target) == 1.0
    assert (net.gradients["dense1.weight"].item(), net.gradients["dense1.bias"].item()) == (4, 2)
    assert (weight.item(), bias.item()) == (-0.5, -0.5)
    # y = -3/2: gradients -6 and -3, velocities 4/2 - 6 and 2/2 - 3
    assert net.train_step(x, target) == 2.25
    assert (weight.item(), bias.item()) == (0.5, 0.0)


def test_the_learning_rate_is_the_spec_s_until_it_is_set(trained: Case) -> None:
    training = trained.compiled.graph.training
    assert training is not None
    net = trained.model(seed=1)
    assert net.learning_rate == pytest.approx(training.optimizer.lr, rel=1e-7)
    reference = trained.reference(net)
    before = {name: view.astype(float) for name, view in net.parameters.items()}
    for step, rate in enumerate([0.004, 0.001, 0.002]):
        inputs, target = trained.inputs(20, step), trained.target(20, step)
        net.learning_rate = rate
        net.train_step(*inputs, target)
        reference.step(*inputs, target=target, lr=rate)
    for name, view in net.parameters.items():
        moved = np.abs(reference.parameters[name] - before[name]).max()
        assert np.abs(view - reference.parameters[name]).max() < 2e-3 * moved + 1e-7, name


def test_the_learning_rate_comes_back_as_it_was_set(digits: Case) -> None:
    net = digits.model()
    assert net.learning_rate == 0.01
    for rate in (0.3, 1e-12, 0, 7):
        net.learning_rate = rate
        assert net.learning_rate == rate
        assert type(net.learning_rate) is float


def test_a_learning_rate_of_zero_moves_nothing(digits: Case) -> None:
    net = digits.model()
    before = {name: view.copy() for name, view in net.parameters.items()}
    net.learning_rate = 0.0
    net.train_step(*digits.inputs(20), digits.target(20))
    for name, view in net.parameters.items():
        np.testing.assert_array_equal(view, before[name])


@pytest.mark.parametrize("rate", ["fast", None, [0.1], 1j])
def test_what_is_no_learning_rate_is_refused(digits: Case, rate) -> None:
    net = digits.model()
    with pytest.raises(TypeError):
        net.learning_rate = rate
    assert net.learning_rate == pytest.approx(0.01)


@pytest.mark.parametrize("rate", [-0.1, float("nan"), float("inf")])
def test_a_learning_rate_that_cannot_be_is_refused(digits: Case, rate: float) -> None:
    net = digits.model()
    with pytest.raises(ValueError, match="learning_rate"):
        net.learning_rate = rate
    assert net.learning_rate == 0.01


def test_lenet_learns_noise_by_heart(lenet: Case) -> None:
    net = lenet.module.Model(seed=0)
    inputs, labels = lenet.inputs(64), lenet.target(64)
    first = net.loss(*inputs, labels)
    for _ in range(150):
        net.train_step(*inputs, labels)
    assert first > 2
    assert net.loss(*inputs, labels) < 0.05
    assert (net.predict(*inputs) == labels).all()


def test_regression_finds_a_line(line: Case) -> None:
    net = line.module.Model(threads=1)
    x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    for _ in range(100):
        net.train_step(x, 3 * x - 2)
    assert net.parameters["dense1.weight"].item() == pytest.approx(3, abs=1e-4)
    assert net.parameters["dense1.bias"].item() == pytest.approx(-2, abs=1e-4)


@pytest.mark.parametrize("mapping", ["parameters", "gradients"])
def test_mappings_are_read_only_and_their_arrays_live(digits: Case, mapping: str) -> None:
    net = digits.model()
    arrays = getattr(net, mapping)
    net.compute_gradients(*digits.inputs(3), digits.target(3))
    view = arrays["conv1.weight"]
    assert view.dtype == np.float32
    assert view.flags.c_contiguous
    assert view.ctypes.data % 64 == 0
    assert np.shares_memory(getattr(net, mapping)["conv1.weight"], view)
    with pytest.raises(TypeError):
        arrays["conv1.weight"] = view.copy()
    with pytest.raises(TypeError):
        del arrays["conv1.weight"]
    with pytest.raises(AttributeError):
        setattr(net, mapping, {})
    with pytest.raises(KeyError):
        arrays["conv9.weight"]


def test_parameters_are_those_of_the_graph(lenet: Case, digits: Case, wind: Case) -> None:
    for case in (lenet, digits, wind):
        net = case.model()
        wanted = [(p.name, p.shape) for p in case.compiled.graph.parameters]
        assert [(name, view.shape) for name, view in net.parameters.items()] == wanted
        assert [(name, view.shape) for name, view in net.gradients.items()] == wanted
        assert net.num_parameters == sum(view.size for view in net.parameters.values())
        views = [*net.parameters.values(), *net.gradients.values()]
        spans = sorted((v.ctypes.data, v.ctypes.data + v.nbytes) for v in views)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert lenet.module.Model.num_parameters == 61_706
