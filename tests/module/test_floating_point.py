"""Denormals, NaN and infinity: inside the kernels, and what the caller sees of them."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from tests.module.conftest import Case

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the C library's numbers are x86's")

# A normal number, and one that only a denormal can hold.
SMALL, TINY = 1e-30, 1e-40


def _denormals_live() -> bool:
    return bool(np.float32(TINY) * np.float32(0.5) > 0) and bool(
        (np.full(64, TINY, np.float32) * np.float32(0.5) > 0).all()
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_zero_inside_and_alive_outside(line: Case, threads: int) -> None:
    net = line.module.Model(threads=threads)
    weight = net.parameters["dense1.weight"]
    assert _denormals_live()
    for x, w in ((SMALL, 1e-10), (TINY, 1e30), (1e30, TINY)):
        weight[...] = w
        image = np.full((64, 1), x, np.float32)
        assert (image * weight[0] > 0).all()
        assert not net(image).any(), f"{x} * {w}"
        assert not net.loss(image, np.zeros_like(image))
        assert _denormals_live()


def test_denormals_live_on_after_every_kind_of_call(line: Case, wind: Case) -> None:
    for case in (line, wind):
        net = case.model(threads=2)
        inputs, target = case.inputs(40), case.target(40)
        for call in (
            lambda n=net, i=inputs: n(*i),
            lambda n=net, i=inputs, t=target: n.loss(*i, t),
            lambda n=net, i=inputs, t=target: n.compute_gradients(*i, t),
            lambda n=net, i=inputs, t=target: n.train_step(*i, t),
        ):
            call()
            assert _denormals_live()


def test_sums_of_gradients_are_flushed_alike(line: Case) -> None:
    # Two blocks whose gradients, both normal, leave a denormal difference.
    found = []
    for call in ("compute_gradients", "train_step"):
        net = line.module.Model(threads=1)
        net.parameters["dense1.weight"][...] = 0
        x, target = np.zeros((64, 1), np.float32), np.zeros((64, 1), np.float32)
        x[0], target[0] = 1e-19, -64 * 0.75e-19
        x[-1], target[-1] = 1e-19, 64 * 0.65e-19
        getattr(net, call)(x, target)
        found.append(net.gradients["dense1.weight"].item())
    assert found == [0, 0]


def test_no_warning_or_error_of_numpy_s_comes_out(digits: Case, line: Case) -> None:
    net = line.module.Model()
    huge = np.full((20, 1), 3e38, np.float32)
    net.parameters["dense1.weight"][...] = 3e38
    with np.errstate(all="raise"):
        assert np.isposinf(net(huge)).all()
        assert np.isposinf(net.loss(huge, huge))
        net.train_step(huge, huge)
        net = digits.model()
        image = digits.inputs(20)[0].astype(np.float32)
        image[3] = np.nan
        net.train_step(image, digits.target(20))


@x86
@pytest.mark.parametrize("threads", [1, 2])
def test_the_caller_s_floating_point_mode_neither_matters_nor_changes(
    lenet: Case, threads: int
) -> None:
    script = f"""
import ctypes, sys
import numpy as np
sys.path.insert(0, {str(lenet.compiled.extension.parent)!r})
from lenet import Model
net, plain = Model(seed=1, threads={threads}), Model(seed=1, threads={threads})
image = np.random.default_rng(0).normal(0, 99, (40, 1, 28, 28)).astype(np.float32)
labels = np.arange(40) % 10
wanted = plain(image), plain.train_step(image, labels)
libm = ctypes.CDLL("libm.so.6")
UPWARD, TRAPS = 0x800, 0x1 | 0x4 | 0x8   # of invalid operations, divisions by zero, overflows
libm.fesetround(UPWARD)
libm.feenableexcept(TRAPS)
found = net(image), net.train_step(image, labels)
modes = libm.fegetround(), libm.fegetexcept()
image[3] = np.inf
strange = net(image)
libm.fedisableexcept(TRAPS)
libm.fesetround(0)
assert modes == (UPWARD, TRAPS), modes
assert found[0].tobytes() == wanted[0].tobytes()
assert abs(found[1] - wanted[1]) < 1e-14, (found[1], wanted[1])
assert not np.isfinite(strange[3]).any() and np.isfinite(strange[4]).all()
for name, view in net.parameters.items():
    assert view.tobytes() == plain.parameters[name].tobytes(), name
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"exit {ran.returncode}: {ran.stderr}"


def _same_kind(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    np.testing.assert_array_equal(np.isposinf(found), np.isposinf(wanted))
    np.testing.assert_array_equal(np.isneginf(found), np.isneginf(wanted))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fixture", ["lenet", "digits", "means", "wind"])
def test_nan_and_infinity_go_where_the_reference_lets_them(
    request: pytest.FixtureRequest, fixture: str, value: float
) -> None:
    case: Case = request.getfixturevalue(fixture)
    net = case.model()
    inputs = [a.astype(np.float32) for a in case.inputs(20)]
    inputs[0][3, 0, ..., 4] = value
    inputs[0][17].flat[0] = value
    target = case.target(20)
    with np.errstate(all="ignore"):
        (wanted,) = case.reference(net).outputs(*inputs)
        loss, grads = case.reference(net).gradients(*inputs, target=target)
    found = net(*inputs)
    if np.isnan(value):
        assert np.isnan(wanted[3]).all()
    assert np.isfinite(np.delete(found, [3, 17], axis=0)).all()
    _same_kind(found, wanted)
    _same_kind(np.float64(net.loss(*inputs, target)), np.float64(loss))
    assert net.compute_gradients(*inputs, target) == pytest.approx(loss, rel=1e-4, nan_ok=True)
    last = list(grads)[-1]
    _same_kind(net.gradients[last], grads[last])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_strange_weight_shows(lenet: Case, value: float) -> None:
    net = lenet.model()
    net.parameters["conv2.weight"][5, 2, 1, 1] = value
    (image,) = lenet.inputs(17)
    with np.errstate(all="ignore"):
        (wanted,) = lenet.reference(net).outputs(image)
    _same_kind(net(image), wanted)
    assert np.isnan(net.train_step(image, lenet.target(17)))


def test_lanes_beyond_the_batch_stay_out_of_the_gradients(wind: Case) -> None:
    # In the samples the infinite weight meets -1 and ends in relu's zero; in empty lanes it meets
    # zero, which is NaN.
    net = wind.module.Model(seed=1, threads=1)
    net.parameters["dense1.weight"][0] = 0
    net.parameters["dense2.weight"][0, 12] = np.inf
    inputs = dict(zip(net.input_shapes, wind.inputs(3), strict=True))
    inputs["extra"][:, 0] = -1
    given, target = list(inputs.values()), wind.target(3)
    with np.errstate(all="ignore"):
        loss, grads = wind.reference(net).gradients(*given, target=target)
    assert np.isfinite(loss)
    assert net.compute_gradients(*given, target) == pytest.approx(loss, rel=1e-5)
    for name in ("dense3.weight", "dense3.bias", "dense2.bias"):
        assert np.isfinite(grads[name]).all()
        assert np.isfinite(net.gradients[name]).all(), name


def test_extreme_logits_give_finite_losses(lenet: Case) -> None:
    net = lenet.module.Model()
    for view in net.parameters.values():
        view[...] = 0
    bias = net.parameters["dense3.bias"]
    (image,) = lenet.inputs(20)
    labels = np.zeros(20, int)
    bias[...] = [1e4, *[-1e4] * 9]
    assert net.loss(image, labels) == 0
    assert net.loss(image, labels + 1) == 2e4
    bias[...] = 3e38
    assert net.loss(image, labels) == pytest.approx(np.log(10), rel=1e-6)
    net.compute_gradients(image, labels)
    wanted = np.full(10, 0.1)
    wanted[0] -= 1
    np.testing.assert_allclose(net.gradients["dense3.bias"], wanted, rtol=1e-5)
