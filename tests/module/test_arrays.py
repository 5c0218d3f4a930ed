"""The caller's arrays: each is read as it is, or refused with both sides named; never misread."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tests.module.conftest import Case


class Tagged(np.ndarray):
    pass


def _reversed(array):
    return array[::-1, ..., ::-1].copy()[::-1, ..., ::-1]


def _every_second(array):
    room = np.full((2 * len(array), *array.shape[1:-1], 3 * array.shape[-1]), 99, array.dtype)
    room[::2, ..., ::3] = array
    return room[::2, ..., ::3]


def _channels_last(array):
    return np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def _unaligned(array):
    room = np.empty(array.nbytes + 1, np.uint8)
    view = room[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": _reversed,
    "every second": _every_second,
    "channels last": _channels_last,
    "read-only": _read_only,
    "unaligned": _unaligned,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "subclass": lambda a: a.view(Tagged),
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_image_is_read_in_any_layout(digits: Case, layout: str, dtype) -> None:
    net = digits.model()
    image = digits.inputs(17)[0].astype(dtype)
    given = LAYOUTS[layout](image)
    plain = np.array(given.tolist(), dtype)
    found = net(given)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, net(plain))
    assert found.any()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_target_of_mse_is_read_in_any_layout(wind: Case, layout: str) -> None:
    net = wind.model()
    inputs, target = wind.inputs(17), wind.target(17)
    given = LAYOUTS[layout](target)
    assert net.loss(*inputs, given) == net.loss(*inputs, np.array(given.tolist(), np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_labels_are_read_in_any_integer_type_and_layout(digits: Case, dtype, layout) -> None:
    net = digits.model()
    inputs, labels = digits.inputs(17), digits.target(17)
    given = labels.astype(dtype)
    if layout not in {"channels last", "every second", "reversed"}:
        given = LAYOUTS[layout](given)
    else:
        given = np.stack([given, given + 100], axis=1).astype(dtype)[:, 0]
    assert net.loss(*inputs, given) == net.loss(*inputs, np.array(given.tolist()))


def test_an_array_in_a_file_is_read(digits: Case, tmp_path) -> None:
    net = digits.model()
    (image,) = digits.inputs(20)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    np.testing.assert_array_equal(net(mapped[3:]), net(image[3:]))


def test_arrays_of_the_caller_stay_as_they_are(digits: Case, wind: Case) -> None:
    for case in (digits, wind):
        net = case.model()
        inputs, target = case.inputs(17), case.target(17)
        copies = [a.copy() for a in (*inputs, target)]
        net(*inputs)
        net.train_step(*inputs, target)
        for array, copy in zip((*inputs, target), copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_a_masked_array_is_refused(wind: Case) -> None:
    # Its mask has no place in the kernels, and what lies under it is garbage.
    signal, extra = wind.inputs(4)
    masked = np.ma.masked_array(signal, mask=signal > 0)
    with pytest.raises(TypeError, match=r"signal.*mask"):
        wind.model()(signal=masked, extra=extra)


WRONG_IMAGES = {
    "list": (lambda a: a.tolist(), TypeError, r"image: .*uint8 or float32.*list"),
    "none": (lambda _: None, TypeError, r"image: .*uint8 or float32.*NoneType"),
    "bytes": (lambda a: a.tobytes(), TypeError, r"image: .*uint8 or float32.*bytes"),
    "memoryview": (lambda a: a.data, TypeError, r"image: .*uint8 or float32.*memoryview"),
    "scalar": (lambda _: np.float32(1), TypeError, r"image: .*uint8 or float32"),
    "float64": (lambda a: a.astype("f8"), TypeError, r"image: .*uint8 or float32.*float64"),
    "float16": (lambda a: a.astype("f2"), TypeError, r"image: .*uint8 or float32.*float16"),
    "int8": (lambda a: a.view("i1"), TypeError, r"image: .*uint8 or float32.*int8"),
    "int64": (lambda a: a.astype("i8"), TypeError, r"image: .*uint8 or float32.*int64"),
    "bool": (lambda a: a > 0, TypeError, r"image: .*uint8 or float32.*bool"),
    "complex": (lambda a: a.astype("c8"), TypeError, r"image: .*uint8 or float32.*complex64"),
    "object": (lambda a: a.astype(object), TypeError, r"image: .*uint8 or float32.*object"),
    "text": (lambda a: a.astype(str), TypeError, r"image: .*uint8 or float32.*str"),
    "bytes text": (lambda a: a.astype("S3"), TypeError, r"image: .*uint8 or float32.*bytes"),
    "record": (
        lambda a: a.view([("byte", "u1")]),
        TypeError,
        r"image: .*uint8 or float32.*(void|record)",
    ),
    "date": (lambda a: a.astype("M8[s]"), TypeError, r"image: .*uint8 or float32.*datetime"),
    "one sample": (lambda a: a[0], ValueError, r"image: .*\(n, 2, 9, 7\).*\(2, 9, 7\)"),
    "no axes": (lambda a: a[0, 0, 0, 0:1].reshape(()), ValueError, r"image: .*\(n, 2, 9, 7\)"),
    "one more axis": (lambda a: a[None], ValueError, r"image: .*\(n, 2, 9, 7\).*\(1, 4, 2, 9, 7\)"),
    "a column less": (lambda a: a[..., :-1], ValueError, r"\(n, 2, 9, 7\).*\(4, 2, 9, 6\)"),
    "transposed": (lambda a: a.swapaxes(2, 3), ValueError, r"\(n, 2, 9, 7\).*\(4, 2, 7, 9\)"),
    "flat": (lambda a: a.reshape(4, -1), ValueError, r"\(n, 2, 9, 7\).*\(4, 126\)"),
    "no channels": (lambda a: a[:, :0], ValueError, r"\(n, 2, 9, 7\).*\(4, 0, 9, 7\)"),
}


@pytest.mark.parametrize("what", WRONG_IMAGES)
def test_a_wrong_image_is_refused_everywhere(digits: Case, what: str) -> None:
    make, error, message = WRONG_IMAGES[what]
    net = digits.model()
    wrong, labels = make(digits.inputs(4)[0]), digits.target(4)
    before = {name: view.copy() for name, view in net.parameters.items()}
    for call in (net, net.predict):
        with pytest.raises(error, match=message):
            call(wrong)
    for call in (net.loss, net.compute_gradients, net.train_step):
        with pytest.raises(error, match=message):
            call(wrong, labels)
    for name, view in net.parameters.items():
        np.testing.assert_array_equal(view, before[name])


WRONG_LABELS = {
    "too large": (lambda y: np.where(y == y[2], 5, y), ValueError, r"target.*\[0, 5\).*5"),
    "negative": (lambda y: np.where(y == y[2], -1, y), ValueError, r"target.*\[0, 5\).*-1"),
    "huge": (lambda y: y.astype("u8") + 2**63, ValueError, r"target.*\[0, 5\).*9223"),
    # 2**32 + 1 would be 1 in an int32
    "wraps": (lambda y: y + 2**32, ValueError, r"target.*\[0, 5\).*4294967"),
    "wraps twice": (lambda y: y.astype("u8") + 2**32, ValueError, r"target.*\[0, 5\)"),
    "float": (lambda y: y.astype("f4"), TypeError, r"target.*integer.*float32"),
    "bool": (lambda y: y > 0, TypeError, r"target.*integer.*bool"),
    "text": (lambda y: y.astype(str), TypeError, r"target.*integer.*str"),
    "object": (lambda y: y.astype(object), TypeError, r"target.*integer.*object"),
    "one-hot": (lambda y: np.eye(5, dtype=int)[y], ValueError, r"target.*\(4,\).*\(4, 5\)"),
    "column": (lambda y: y[:, None], ValueError, r"target.*\(4,\).*\(4, 1\)"),
    "one": (lambda y: y[0], ValueError, r"target.*\(4,\).*\(\)"),
    "too few": (lambda y: y[:3], ValueError, r"target.*\(4,\).*\(3,\)"),
    "too many": (lambda y: np.append(y, 0), ValueError, r"target.*\(4,\).*\(5,\)"),
    "empty": (lambda y: y[:0], ValueError, r"target.*\(4,\).*\(0,\)"),
    "dict": (lambda _: {}, TypeError, r"target.*integer"),
}


@pytest.mark.parametrize("what", WRONG_LABELS)
def test_wrong_labels_are_refused(digits: Case, what: str) -> None:
    make, error, message = WRONG_LABELS[what]
    net = digits.model()
    inputs, wrong = digits.inputs(4), make(digits.target(4))
    for call in (net.loss, net.compute_gradients, net.train_step):
        with pytest.raises(error, match=message):
            call(*inputs, wrong)


WRONG_TARGETS = {
    "list": (lambda t: t.tolist(), TypeError, "target.*float32.*list"),
    "float64": (lambda t: t.astype("f8"), TypeError, "target.*float32.*float64"),
    "uint8": (lambda t: t.astype("u1"), TypeError, "target.*float32.*uint8"),
    "shape": (lambda t: t[:, :2], ValueError, r"target.*\(n, 3\).*\(4, 2\)"),
    "rank": (lambda t: t[:, 0], ValueError, r"target.*\(n, 3\).*\(4,\)"),
    "too few": (lambda t: t[:3], ValueError, "target.*4.*3"),
    "too many": (lambda t: np.concatenate([t, t]), ValueError, "target.*4.*8"),
}


@pytest.mark.parametrize("what", WRONG_TARGETS)
def test_wrong_targets_of_mse_are_refused(wind: Case, what: str) -> None:
    make, error, message = WRONG_TARGETS[what]
    net = wind.model()
    inputs, wrong = wind.inputs(4), make(wind.target(4))
    for call in (net.loss, net.compute_gradients, net.train_step):
        with pytest.raises(error, match=message):
            call(*inputs, wrong)


@pytest.mark.parametrize("call", ["loss", "compute_gradients", "train_step"])
@pytest.mark.parametrize("fixture", ["digits", "wind"])
def test_none_is_no_target(request: pytest.FixtureRequest, fixture: str, call: str) -> None:
    # In a process of its own: it was a segmentation fault once.
    case: Case = request.getfixturevalue(fixture)
    script = f"""
import sys
import numpy as np
sys.path.insert(0, {str(case.compiled.extension.parent)!r})
from {case.compiled.name} import Model
inputs = [np.zeros((3, *s), Model.input_dtypes[n]) for n, s in Model.input_shapes.items()]
try:
    Model(threads=1).{call}(*inputs, None)
except TypeError as error:
    assert "target" in str(error), error
else:
    raise SystemExit("None was taken for a target")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"exit {ran.returncode}: {ran.stderr}"


def test_labels_that_change_during_a_step_are_not_read_out_of_bounds(digits: Case) -> None:
    # Another thread may refill its label array as soon as a step lets go of the interpreter.
    script = f"""
import sys, threading, time
import numpy as np
sys.path.insert(0, {str(digits.compiled.extension.parent)!r})
from digits import Model
net, n = Model(threads=1), 1000
while True:
    image = np.zeros((n, 2, 9, 7), np.uint8)
    labels = np.zeros(n, np.int32)
    start = time.perf_counter()
    wanted = net.compute_gradients(image, labels)
    seconds = time.perf_counter() - start
    if seconds > 0.2:
        break
    n *= 2
def spoil():
    time.sleep(seconds / 4)
    labels[:] = 10**7
thread = threading.Thread(target=spoil)
thread.start()
found = net.compute_gradients(image, labels)
thread.join()
assert found == wanted, (found, wanted)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"exit {ran.returncode}: {ran.stderr}"


@pytest.mark.parametrize("call", ["loss", "compute_gradients", "train_step"])
def test_the_loss_of_no_samples_is_refused(digits: Case, wind: Case, call: str) -> None:
    for case in (digits, wind):
        with pytest.raises(ValueError, match=r"no samples|at least one"):
            getattr(case.model(), call)(*case.inputs(0), case.target(0))


def test_inputs_of_different_lengths_are_refused(wind: Case) -> None:
    net = wind.model()
    inputs = wind.inputs(4)
    longer = dict(zip(net.input_shapes, inputs, strict=True))
    for name in net.input_shapes:
        given = {**longer, name: np.concatenate([longer[name], longer[name]])}
        with pytest.raises(ValueError, match=r"(4.*8|8.*4)"):
            net(**given)


def test_the_number_of_inputs_is_checked(wind: Case) -> None:
    net, (signal, extra) = wind.model(), wind.inputs(4)
    for given in ((), (signal,), (signal, extra, signal)):
        with pytest.raises(TypeError, match="argument"):
            net(*given)
    with pytest.raises(TypeError, match="argument"):
        net.train_step(signal, extra)
