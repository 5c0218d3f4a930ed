from __future__ import annotations

import numpy as np
import pytest

from cnnc.runtime import DataError, for_input
from cnnc.runtime.inputs import as_dtype, as_inputs, as_targets


def test_axes():
    grey = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert for_input(grey, (3, 4)) is grey
    np.testing.assert_array_equal(for_input(grey, (1, 3, 4))[:, 0], grey)
    np.testing.assert_array_equal(for_input(grey[..., None], (1, 3, 4))[:, 0], grey)
    colour = np.random.default_rng(0).integers(0, 255, (2, 4, 5, 3), dtype=np.uint8)
    turned = for_input(colour, (3, 4, 5))
    np.testing.assert_array_equal(turned[:, 1], colour[..., 1])
    assert turned.flags.c_contiguous
    assert turned.dtype == np.uint8
    # a shape that already fits is never turned
    cube = np.arange(54).reshape(2, 3, 3, 3)
    assert for_input(cube, (3, 3, 3)) is cube
    assert for_input(np.zeros((0, 28, 28)), (1, 28, 28)).shape == (0, 1, 28, 28)
    signal = np.zeros((2, 10))
    assert for_input(signal, (1, 10)).shape == (2, 1, 10)


@pytest.mark.parametrize("shape", [(), (28, 28), (5, 28, 27), (5, 3, 28, 28), (5, 784)], ids=str)
def test_axes_that_do_not_fit_name_both_sides(shape):
    with pytest.raises(DataError) as caught:
        for_input(np.zeros(shape), (1, 28, 28))
    assert str(shape) in str(caught.value)
    assert "(n, 1, 28, 28)" in str(caught.value)


def test_types():
    assert as_dtype(np.array([1.5], ">f8"), "float32").dtype.isnative
    assert as_dtype(np.array([0, 255], np.int64), "uint8").tolist() == [0, 255]
    assert as_dtype(np.array([True]), "float32").tolist() == [1]
    assert as_dtype(np.zeros((0, 3), np.int16), "uint8").dtype == np.uint8
    for bad, dtype in [([256], "uint8"), ([-1], "uint8"), ([0.5], "uint8"), (["a"], "float32")]:
        with pytest.raises(DataError, match=f"expected {dtype}"):
            as_dtype(np.array(bad), dtype)
    with pytest.raises(DataError, match="complex128"):
        as_dtype(np.array([1j]), "float32")


def test_targets_of_a_classifier(net):
    assert _target(np.array([0, 2], np.uint8), net).dtype == np.int64
    for bad in ([0, 3], [-1], [0.0], [[0]]):
        with pytest.raises(DataError):
            as_targets(np.array(bad), net)
    with pytest.raises(DataError, match=r"0\.\.3, but softmax has classes 0\.\.2"):
        as_targets(np.array([0, 3]), net)


def test_targets_of_a_regression(net):
    net.targets = {"target": {"output": "y", "shape": (1,), "classes": None}}
    assert _target(np.array([1, 2]), net).shape == (2, 1)
    net.targets["target"]["shape"] = (1, 2, 3)
    assert _target(np.ones((4, 2, 3)), net).shape == (4, 1, 2, 3)
    assert _target(np.ones((4, 1, 2, 3)), net).shape == (4, 1, 2, 3)
    net.targets["target"]["shape"] = (2,)
    assert _target(np.ones((4, 2)), net).dtype == np.float32
    for bad in (np.ones(4), np.float32(3)):
        with pytest.raises(DataError, match=r"targets of shape .*, expected \(n, 2\)"):
            as_targets(bad, net)


def test_labels_of_positions_and_labels_to_be_ignored(net):
    target = net.targets["target"]
    target |= {"shape": (2, 2), "ignore_index": 255}
    labels = np.array([[[0, 255], [2, 1]]], np.uint8)
    assert _target(labels, net) is labels
    for bad in (labels[0], labels.astype(float), np.full((1, 2, 2), 3), np.full((1, 2, 2), -1)):
        with pytest.raises(DataError, match=r"\(n, 2, 2\)|but softmax has classes 0..2"):
            _target(bad, net)
    assert _target(np.full((3, 2, 2), 255), net).shape == (3, 2, 2)
    target |= {"shape": (), "ignore_index": -100}
    assert _target(np.array([-100, 2]), net).tolist() == [-100, 2]


def _target(labels, net):
    ((name, found),) = as_targets(labels, net).items()
    assert name == "target"
    return found


def test_several_inputs_and_targets_come_by_name(net):
    net.input_shapes = {"left": (1, 2), "right": (3,)}
    net.input_dtypes = {"left": "uint8", "right": "float32"}
    net.targets = {"a_target": net.targets["target"], "b_target": net.targets["target"]}
    given = {"right": np.ones((5, 3)), "left": np.ones((5, 2), np.int16)}
    found = as_inputs(given, net)
    assert list(found) == ["left", "right"]
    assert found["left"].shape == (5, 1, 2)
    assert found["left"].dtype == np.uint8
    assert list(as_targets({"b_target": [1], "a_target": [0]}, net)) == ["a_target", "b_target"]
    for bad, words in [
        (np.ones((5, 2)), "softmax takes the inputs left, right; expected a dict with an array"),
        ({"left": np.ones((5, 2))}, "inputs left, but softmax takes left, right"),
        ({}, "inputs nothing, but softmax takes left, right"),
        ({**given, "right": np.ones((5, 4))}, r"right: images of shape \(5, 4\), expected \(n, 3"),
        ({**given, "left": np.ones((5, 2))}, "left: elements of type float64, expected uint8"),
    ]:
        with pytest.raises(DataError, match=words):
            as_inputs(bad, net)
    with pytest.raises(DataError, match=r"b_target: labels within 7\.\.7"):
        as_targets({"b_target": np.array([7]), "a_target": np.array([0])}, net)
