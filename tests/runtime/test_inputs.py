from __future__ import annotations

import numpy as np
import pytest

from cnnc.runtime import DataError, for_input
from cnnc.runtime.inputs import as_dtype, as_targets, sole_input


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
    assert as_targets(np.array([0, 2], np.uint8), net).dtype == np.int64
    for bad in ([0, 3], [-1], [0.0], [[0]]):
        with pytest.raises(DataError):
            as_targets(np.array(bad), net)
    with pytest.raises(DataError, match=r"0\.\.3, but softmax has classes 0\.\.2"):
        as_targets(np.array([0, 3]), net)


def test_targets_of_a_regression(net):
    net.classes, net.output_shapes = None, {"y": (1,)}
    assert as_targets(np.array([1, 2]), net).shape == (2, 1)
    net.output_shapes = {"y": (2,)}
    assert as_targets(np.ones((4, 2)), net).dtype == np.float32
    with pytest.raises(DataError, match=r"targets of shape \(4,\), expected \(n, 2\)"):
        as_targets(np.ones(4), net)


def test_several_inputs_are_refused(net):
    net.input_shapes = {"left": (1,), "right": (1,)}
    with pytest.raises(DataError, match="softmax has the inputs left, right"):
        sole_input(net)
