"""Losses in compiled models: several on several outputs, weighted labels, labels a position."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.ir.interpret import interpret
from cnnc.ops.shapes import Array
from cnnc.passes.differentiate import differentiate
from tests.module.conftest import Case, Compile
from tests.module.reference import close

# Every loss on an output of its own; `plane` is judged and read; `spare` is not judged.
JUDGES = """
model judges {
    input image: uint8[2, 7, 5]
    input extra: float32[6]
    plane = image -> scale(1/64) -> conv(3, 3x3, pad=1) -> tanh
    pixels = plane -> conv(3, 1x1)
    seen = plane -> conv(4, 3x3, stride=2) -> relu -> flatten
    concat(seen, extra) -> dense(9) -> relu
    kind = dense(5)
    box = dense(4)
    marks = dense(3)
    far = dense(2)
    spare = dense(1)
    output kind, spare, pixels, box, marks, far, plane
}
train {
    loss cross_entropy(output=pixels, class_weights=[0.5, 2, 1], ignore_index=-100, weight=0.3)
    loss cross_entropy(output=kind, label_smoothing=0.1)
    loss huber(output=box, delta=0.5, weight=2)
    loss binary_cross_entropy(output=marks, weight=0.5)
    loss l1(output=far, weight=0.25)
    loss mse(output=plane, weight=3)
    optimizer sgd(lr=0.1)
}
"""
TARGETS = [
    "pixels_target", "kind_target", "box_target", "marks_target", "far_target", "plane_target",
]  # fmt: skip
CLASS_WEIGHTS = np.array([0.5, 2, 1])

# One loss, a label a position, some of which count nothing.
SEGMENTS = """
model segments {
    input image: float32[3, 6, 5]
    conv(8, 3x3, pad=1) -> relu
    conv(4, 1x1)
}
train {
    loss      cross_entropy(label_smoothing=0.2, ignore_index=255)
    optimizer sgd(lr=0.1)
}
"""


@pytest.fixture(scope="module")
def judges(compiled: Compile) -> Case:
    done = compiled(JUDGES)
    return Case(done, done.load())


@pytest.fixture(scope="module")
def segments(compiled: Compile) -> Case:
    done = compiled(SEGMENTS)
    return Case(done, done.load())


def feeds(samples: int, seed: int = 0) -> dict[str, Array]:
    """What a step of JUDGES takes, in its order."""
    rng = np.random.default_rng([samples, seed])
    pixels = rng.integers(0, 3, (samples, 7, 5))
    pixels[rng.random(pixels.shape) < 0.3] = -100
    pixels[samples // 2] = -100  # a whole sample that counts nothing for this loss
    return {
        "image": rng.integers(0, 256, (samples, 2, 7, 5), dtype=np.uint8),
        "extra": rng.standard_normal((samples, 6)).astype(np.float32),
        "pixels_target": pixels,
        "kind_target": rng.integers(0, 5, samples).astype(np.uint8),
        "box_target": rng.standard_normal((samples, 4)).astype(np.float32),
        "marks_target": rng.random((samples, 3)).astype(np.float32),
        "far_target": rng.standard_normal((samples, 2)).astype(np.float32),
        "plane_target": rng.standard_normal((samples, 3, 7, 5)).astype(np.float32),
    }


def share(labels: Array, weight: float = 1.0) -> float:
    """What a position's loss is multiplied by where CLASS_WEIGHTS and -100 say what counts."""
    counted = CLASS_WEIGHTS[labels[labels != -100]].sum()
    return weight / counted if counted else 0.0


def reference(
    case: Case, net: Any, given: dict[str, Array], shares: dict[str, float]
) -> tuple[float, dict[str, Array]]:
    """Loss and gradients in float64; `shares` by the prefix of each loss."""
    step = differentiate(case.compiled.graph).step
    assert step is not None
    samples = len(given["image"])
    arrays = {k: v if k in LABELS else v.astype(np.float64) for k, v in given.items()}
    grads = {f"{name}loss_grad": np.full(samples, value) for name, value in shares.items()}
    weights = {name: view.astype(np.float64) for name, view in net.parameters.items()}
    values = interpret(step, {**arrays, **grads}, weights)
    loss = sum(
        float(values[node].sum()) * value
        for node, value in zip(step.losses, shares.values(), strict=True)
    )
    return loss, {name: values[node] for name, node in step.gradients}


LABELS = {"pixels_target", "kind_target", "target"}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("samples", [1, 15, 16, 33, 70])
def test_several_losses_equal_their_reference(judges: Case, samples: int, threads: int) -> None:
    net, given = judges.model(seed=2, threads=threads), feeds(samples)
    shares = {
        "pixels_": share(given["pixels_target"], 0.3),
        "kind_": 1 / samples,
        "box_": 2 / samples,
        "marks_": 0.5 / samples,
        "far_": 0.25 / samples,
        "plane_": 3 / samples,
    }
    wanted, grads = reference(judges, net, given, shares)
    loss = net.compute_gradients(**given)
    assert loss == pytest.approx(wanted, rel=1e-5)
    assert net.loss(*given.values()) == pytest.approx(wanted, rel=1e-5)
    assert set(net.gradients) - set(grads) == {"dense6.weight", "dense6.bias"}  # spare's
    for name, grad in grads.items():
        close(net.gradients[name], grad, 2e-5)
    before = {name: view.copy() for name, view in net.parameters.items()}
    assert net.train_step(*given.values()) == loss
    for name, grad in grads.items():
        close(net.parameters[name] - before[name], -0.1 * grad, 1e-4)


def test_what_no_loss_judges_is_not_trained(judges: Case) -> None:
    net = judges.model()
    spare = {name: net.parameters[name].copy() for name in ("dense6.weight", "dense6.bias")}
    net.train_step(*feeds(20).values())
    for name, before in spare.items():
        np.testing.assert_array_equal(net.parameters[name], before)
        assert not net.gradients[name].any()


def test_several_losses_equal_pytorch(judges: Case) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional  # noqa: N806 - as everyone writes it
    net, given = judges.model(seed=4), feeds(37)
    w = {name: torch.tensor(view, requires_grad=True) for name, view in net.parameters.items()}
    dense = [name[:-7] for name in w if name.startswith("dense") and name.endswith("weight")]
    t = {name: torch.tensor(array) for name, array in given.items()}

    def layer(name: str, x: Any, apply: Any, **options: Any) -> Any:
        return apply(x, w[f"{name}.weight"], w[f"{name}.bias"], **options)

    convs = [name[:-7] for name in w if name.startswith("conv") and name.endswith("weight")]
    plane = torch.tanh(layer(convs[0], t["image"].float() / 64, F.conv2d, padding=1))
    pixels = layer(convs[1], plane, F.conv2d)
    seen = torch.relu(layer(convs[2], plane, F.conv2d, stride=2)).flatten(1)
    hidden = torch.relu(layer(dense[0], torch.cat([seen, t["extra"]], 1), F.linear))
    kind, box, marks, far = (layer(name, hidden, F.linear) for name in dense[1:5])
    loss = (
        0.3 * F.cross_entropy(pixels, t["pixels_target"], torch.tensor([0.5, 2, 1]))
        + F.cross_entropy(kind, t["kind_target"].long(), label_smoothing=0.1)
        + 2 * F.huber_loss(box, t["box_target"], delta=0.5)
        + 0.5 * F.binary_cross_entropy_with_logits(marks, t["marks_target"])
        + 0.25 * F.l1_loss(far, t["far_target"])
        + 3 * F.mse_loss(plane, t["plane_target"])
    )
    loss.backward()
    assert net.compute_gradients(**given) == pytest.approx(loss.item(), rel=1e-5)
    for name, tensor in w.items():
        if tensor.grad is not None:
            close(net.gradients[name], tensor.grad.numpy(), 1e-4)


def test_results_do_not_depend_on_the_threads(judges: Case) -> None:
    found = []
    for threads in (1, 2, 5):
        net = judges.model(seed=1, threads=threads)
        losses = [net.train_step(*feeds(90, step).values()) for step in range(3)]
        found.append((losses, [view.copy() for view in net.parameters.values()]))
    for losses, parameters in found[1:]:
        assert losses == found[0][0]
        for left, right in zip(parameters, found[0][1], strict=True):
            np.testing.assert_array_equal(left, right)


def pictures(samples: int) -> tuple[Array, Array]:
    """What SEGMENTS takes; every third label counts nothing."""
    rng = np.random.default_rng(samples)
    labels = rng.integers(0, 4, (samples, 6, 5)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.33] = 255
    return rng.standard_normal((samples, 3, 6, 5)).astype(np.float32), labels


@pytest.mark.parametrize("samples", [1, 16, 45])
def test_the_mean_is_over_the_positions_of_the_batch_that_count(
    segments: Case, samples: int
) -> None:
    net = segments.model(seed=1, threads=2)
    image, labels = pictures(samples)
    labels[0] = 255
    counted = int((labels != 255).sum())
    given = {"image": image, "target": labels}
    wanted, grads = reference(segments, net, given, {"": 1 / max(counted, 1)})
    assert net.compute_gradients(image, labels) == pytest.approx(wanted, rel=1e-5)
    for name, grad in grads.items():
        close(net.gradients[name], grad, 2e-5)


def test_smoothed_labels_of_pixels_equal_pytorch(segments: Case) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional  # noqa: N806 - as everyone writes it
    net, (image, labels) = segments.model(seed=5), pictures(37)
    w = {name: torch.tensor(view, requires_grad=True) for name, view in net.parameters.items()}
    x = F.conv2d(torch.tensor(image), w["conv1.weight"], w["conv1.bias"], padding=1).relu()
    logits = F.conv2d(x, w["conv2.weight"], w["conv2.bias"])
    target = torch.tensor(labels).long()
    loss = F.cross_entropy(logits, target, ignore_index=255, label_smoothing=0.2)
    loss.backward()
    assert net.compute_gradients(image, labels) == pytest.approx(loss.item(), rel=1e-5)
    for name, tensor in w.items():
        close(net.gradients[name], tensor.grad.numpy(), 1e-4)


def test_where_nothing_counts_there_is_no_loss_and_no_gradient(
    segments: Case, judges: Case
) -> None:
    net = segments.model(threads=2)
    image, labels = pictures(40)
    before = {name: view.copy() for name, view in net.parameters.items()}
    labels[...] = 255
    assert net.loss(image, labels) == 0
    assert net.train_step(image, labels) == 0
    for name, view in net.gradients.items():
        assert not view.any(), name
        np.testing.assert_array_equal(net.parameters[name], before[name])
    # Of several losses, the others stay.
    given = feeds(5)
    others = dict(given, pixels_target=np.full((5, 7, 5), -100))
    shares = {"pixels_": 0, "kind_": 0.2, "box_": 0.4, "marks_": 0.1, "far_": 0.05, "plane_": 0.6}
    net = judges.model()
    wanted, _ = reference(judges, net, others, shares)
    assert net.loss(*others.values()) == pytest.approx(wanted, rel=1e-5)


def test_the_likeliest_class_of_each_position(segments: Case) -> None:
    net = segments.model()
    image, _ = pictures(3)
    found = net.predict(image)
    assert net.classes == 4
    assert found.shape == (3, 6, 5)
    np.testing.assert_array_equal(found, net(image).argmax(axis=1))


IGNORED = "expected labels in [0, 3) or -100, which is ignored, got "
WRONG = [
    ("pixels_target", np.zeros((3, 7), int), ValueError, "expected shape (3, 7, 5), a label a pos"),
    ("pixels_target", np.zeros((2, 7, 5), int), ValueError, "expected shape (3, 7, 5)"),
    ("pixels_target", np.zeros((3, 7, 5)), TypeError, "expected integer labels, got float64"),
    ("pixels_target", np.full((3, 7, 5), 3), ValueError, IGNORED + "3"),
    ("pixels_target", np.full((3, 7, 5), -1), ValueError, IGNORED + "-1"),
    ("kind_target", np.zeros((3, 1), int), ValueError, "expected shape (3,), a label a sample"),
    ("kind_target", np.array([0, -100, 1]), ValueError, "expected labels in [0, 5), got -100"),
    ("kind_target", np.array([0, 2**40, 1]), ValueError, "expected labels in [0, 5)"),
    ("kind_target", ["a", "b", "c"], TypeError, "expected integer labels, got list"),
    ("box_target", np.zeros((3, 5), np.float32), ValueError, "expected shape (n, 4), got (3, 5)"),
    ("box_target", np.zeros((2, 4), np.float32), ValueError, "expected 3 samples"),
    ("box_target", np.zeros((3, 4)), TypeError, "expected float32, got float64"),
    ("marks_target", np.zeros((3, 3), bool), TypeError, "expected float32, got bool"),
    ("plane_target", None, TypeError, "expected a NumPy array of float32, got NoneType"),
    ("extra", np.zeros((4, 6), np.float32), ValueError, "expected 3 samples"),
]


@pytest.mark.parametrize(("name", "value", "kind", "words"), WRONG)
def test_a_wrong_target_is_named(
    judges: Case, name: str, value: Any, kind: type[Exception], words: str
) -> None:
    net, given = judges.model(), feeds(3)
    before = {key: view.copy() for key, view in net.parameters.items()}
    for method in (net.loss, net.compute_gradients, net.train_step):
        with pytest.raises(kind, match=f"^{name}: {re.escape(words)}"):
            method(**{**given, name: value})
    for key, view in net.parameters.items():
        np.testing.assert_array_equal(view, before[key])


def test_no_samples_have_no_loss(judges: Case, segments: Case) -> None:
    none = {name: array[:0] for name, array in feeds(3).items()}
    with pytest.raises(ValueError, match="no samples"):
        judges.model().train_step(**none)
    image, labels = pictures(2)
    with pytest.raises(ValueError, match="no samples"):
        segments.model().loss(image[:0], labels[:0])
    assert segments.model().predict(image[:0]).shape == (0, 6, 5)


def test_targets_are_arguments_in_the_order_of_the_losses(judges: Case) -> None:
    net, given = judges.model(), feeds(4)
    assert list(given) == ["image", "extra", *TARGETS]
    assert net.loss(**dict(reversed(given.items()))) == net.loss(*given.values())
    with pytest.raises(TypeError, match="argument"):
        net.loss(*list(given.values())[:-1])
    with pytest.raises(TypeError, match="target"):
        net.loss(**given, target=given["kind_target"])


def test_the_class_says_what_it_is_judged_by(judges: Case, segments: Case) -> None:
    model = judges.module.Model
    assert model.classes is None
    assert list(model.targets) == TARGETS
    assert model.targets["pixels_target"] == {
        "output": "pixels",
        "shape": (7, 5),
        "classes": 3,
        "loss": "cross_entropy",
        "weight": 0.3,
        "label_smoothing": 0.0,
        "class_weights": (0.5, 2.0, 1.0),
        "ignore_index": -100,
    }
    box = model.targets["box_target"]
    assert (box["shape"], box["classes"], box["delta"]) == ((4,), None, 0.5)
    assert list(segments.module.Model.targets) == ["target"]
    assert "target" not in segments.module.Model.input_shapes


PROGRAM = """
from typing import Any
import numpy as np
from numpy.typing import NDArray
import judges

net = judges.Model()
image = np.zeros((2, 2, 7, 5), np.uint8)
extra = np.zeros((2, 6), np.float32)
classes = np.zeros((2, 7, 5), np.int64)
loss: float = net.loss(image, extra, classes, classes, extra, extra, extra, extra)
loss = net.train_step(
    image, extra, pixels_target=classes, kind_target=classes,
    box_target=extra, marks_target=extra, far_target=extra, plane_target=extra,
)
kind, spare, pixels, box, marks, far, plane = net(image, extra)
total: NDArray[np.float32] = kind + far
output: str = judges.Model.targets["box_target"]["output"]
"""
REFUSED = """
import numpy as np
import judges
net = judges.Model()
a = np.zeros((2, 2, 7, 5), np.float32)
net.train_step(a, a, a, a, a, a, a)  # wrong
net.loss(a, a, a, a, a, a, a, target=a)  # wrong
kind, spare = net(a, a)  # wrong
"""


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is not installed")
def test_the_stub_knows_the_targets(judges: Case, tmp_path: Path) -> None:
    shutil.copy(judges.compiled.stub, tmp_path)
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(REFUSED)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"),
         "--config-file", os.devnull, "right.py", "wrong.py", "judges.pyi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    complaints = set(re.findall(r"^(\w+\.pyi?):(\d+): error", ran.stdout, re.MULTILINE))
    wanted = {
        ("wrong.py", str(number))
        for number, line in enumerate(REFUSED.splitlines(), 1)
        if line.endswith("# wrong")
    }
    assert complaints == wanted, ran.stdout + ran.stderr
