"""The lecture's examples through the compiled kernels, each as docs/tutorial.md works it out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.matrix import convolution_matrix
from cnnc.runtime import load_dataset
from tests.lecture.conftest import Compile, grid

EDGES = grid(
    "-3 -4 -4 -4 -4 -3 / -3 -4 -4 -3 -1 0 / 0 0 0 0 0 0 / 2 1 0 1 3 3 / 2 1 0 1 3 3 / 1 3 4 3 1 0"
)
IDENTITY = grid("0 0 0 / 0 1 0 / 0 0 0")


def with_weight(model: Any, weight: Any, layer: str = "conv1") -> Any:
    net = model()
    net.parameters[f"{layer}.weight"][...] = weight
    return net


@pytest.mark.parametrize(
    ("signal", "differences"),
    [
        ([0, 1, 0, 1, 1], [1, -1, 1, 0]),
        # Often drawn with -1 in second place; arithmetic says -2.
        ([0, 1, -1, 1, 1], [1, -2, 2, 0]),
    ],
)
def test_convolution_of_a_signal(
    compiled: Compile, signal: list[int], differences: list[int]
) -> None:
    net = with_weight(compiled("differences"), [-1, 1])
    assert net(np.float32([[signal]])).tolist() == [[differences]]
    assert np.correlate(signal, [-1, 1], "valid").tolist() == differences
    matrix = convolution_matrix([[[-1, 1]]], (1, 5))
    assert (matrix @ signal).tolist() == differences


def test_convolution_in_the_mathematical_sense_has_its_filter_turned_around(
    compiled: Compile,
) -> None:
    signal = [0, 1, 0, 1, 1]
    net = with_weight(compiled("differences"), [-1, 1][::-1])
    assert net(np.float32([[signal]])).ravel().tolist() == [-1, 1, -1, 0]
    assert np.convolve(signal, [-1, 1], "valid").tolist() == [-1, 1, -1, 0]


def test_edges_of_an_image(compiled: Compile, image: Any, edge_filter: Any) -> None:
    net = with_weight(compiled("edge"), edge_filter)
    np.testing.assert_array_equal(net(image[None, None])[0, 0], EDGES)


def test_edges_by_the_definition(image: Any, edge_filter: Any) -> None:
    """The expectation itself, by plain loops: where a drawing disagrees, arithmetic wins."""
    found = [
        [np.sum(image[r : r + 3, c : c + 3] * edge_filter) for c in range(6)] for r in range(6)
    ]
    np.testing.assert_array_equal(found, EDGES)


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 40])
def test_every_sample_of_a_batch_gets_the_same_filter(
    compiled: Compile, image: Any, edge_filter: Any, samples: int
) -> None:
    net = with_weight(compiled("edge"), edge_filter)
    factors = np.arange(samples, dtype=np.float32).reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(net(factors * image), factors * EDGES)


def test_the_identity_filter_is_the_identity_matrix(compiled: Compile, image: Any) -> None:
    net = with_weight(compiled("windows"), IDENTITY, "full")
    full, _ = net(image[None, None])
    np.testing.assert_array_equal(full[0, 0], image)
    matrix = convolution_matrix(net.parameters["full.weight"], (1, 8, 8), pad=1)
    np.testing.assert_array_equal(matrix, np.eye(64))
    np.testing.assert_array_equal(convolution_matrix([[[1]]], (1, 5)), np.eye(5))


def test_padding_keeps_the_size_and_stride_two_halves_it(
    compiled: Compile, image: Any, edge_filter: Any
) -> None:
    windows = compiled("windows")
    assert windows.output_shapes == {"full": (1, 8, 8), "half": (1, 4, 4)}
    net = with_weight(windows, edge_filter, "full")
    net.parameters["half.weight"][...] = edge_filter
    full, half = net(image[None, None])
    np.testing.assert_array_equal(full[0, 0, 1:-1, 1:-1], EDGES)
    np.testing.assert_array_equal(full[0, 0, 0], [0, 0, 0, 0, -1, -3, -3, -1])
    np.testing.assert_array_equal(half, full[:, :, ::2, ::2])
    np.testing.assert_array_equal(half[0, 0], grid("0 0 -1 -3 / -1 -4 -3 0 / 1 1 1 3 / 0 3 3 0"))


def test_several_channels_and_several_filters(compiled: Compile) -> None:
    channels = compiled("channels")
    assert channels.num_parameters == 2 * 2 * 2 * 2 + 2
    net = channels()
    net.parameters["conv1.weight"][0] = [[[1, 0], [0, -1]], [[1, 0], [0, 1]]]
    net.parameters["conv1.weight"][1] = [[[0, 1], [0, 0]], [[0, 0], [0, 10]]]
    net.parameters["conv1.bias"][...] = [0, 1]
    image = np.stack([grid("1 2 3 / 4 5 6 / 7 8 9"), grid("1 0 1 / 0 1 0 / 1 0 1")])
    expected = [grid("-2 -4 / -4 -2"), grid("13 4 / 6 17")]
    np.testing.assert_array_equal(net(image[None])[0], expected)


@pytest.mark.parametrize(
    ("name", "layer", "shape", "stride", "pad"),
    [
        ("differences", "conv1", (1, 5), 1, 0),
        ("edge", "conv1", (1, 8, 8), 1, 0),
        ("windows", "full", (1, 8, 8), 1, 1),
        ("windows", "half", (1, 8, 8), 2, 1),
        ("channels", "conv1", (2, 3, 3), 1, 0),
    ],
)
def test_a_compiled_convolution_is_a_product_with_a_matrix(
    compiled: Compile, name: str, layer: str, shape: tuple[int, ...], stride: int, pad: int
) -> None:
    rng = np.random.default_rng(7)
    net = compiled(name)(seed=5)
    # Small integers: float32 has no rounding to hide behind.
    for values in net.parameters.values():
        values[...] = rng.integers(-4, 5, values.shape)
    batch = rng.integers(-4, 5, (19, *shape)).astype(np.float32)
    found = net(batch)
    if isinstance(found, tuple):
        found = found[list(net.output_shapes).index(layer)]
    matrix = convolution_matrix(net.parameters[f"{layer}.weight"], shape, stride, pad)
    expected = batch.reshape(19, -1) @ matrix.T
    if f"{layer}.bias" in net.parameters:
        bias = net.parameters[f"{layer}.bias"]
        expected += np.repeat(bias, matrix.shape[0] // len(bias))
    np.testing.assert_array_equal(found.reshape(19, -1), expected)


def test_parameters_of_a_dense_layer(compiled: Compile) -> None:
    net = compiled("perceptron")()
    sizes = {name: values.size for name, values in net.parameters.items()}
    assert sizes["dense1.weight"] + sizes["dense1.bias"] == 784 * 16 + 16
    assert net.num_parameters == sum(sizes.values()) == 784 * 16 + 16 + 16 * 10 + 10


def test_two_dense_layers_on_a_large_image_need_about_three_million(compiled: Compile) -> None:
    """One gray channel of 426x426, a hidden layer of 16, 10 outputs."""
    perceptron = compiled("perceptron", side=426)
    assert perceptron.num_parameters == 426 * 426 * 16 + 16 + 16 * 10 + 10 == 2_903_802
    net = perceptron()
    net.parameters["dense1.weight"][...] = 0
    net.parameters["dense1.weight"][3, -1] = 255
    net.parameters["dense2.weight"][...] = 0
    net.parameters["dense2.weight"][7, 3] = 2
    image = np.zeros((1, 1, 426, 426), np.uint8)
    image[0, 0, -1, -1] = 3
    # The last pixel reaches the output through its own weight, and through no other one.
    np.testing.assert_allclose(net(image), [[0, 0, 0, 0, 0, 0, 0, 6, 0, 0]], rtol=1e-6)


def test_pooling_of_detections_under_a_shift(compiled: Compile) -> None:
    net = compiled("spikes")()
    row = np.float32([0, 0, 1, 0, 0, 0, 1, 0])
    pooled = {shift: net(np.roll(row, shift)[None, None]) for shift in (0, 1, -1)}
    changed = {
        shift: tuple(int(np.sum(a != b)) for a, b in zip(pooled[0], pooled[shift], strict=True))
        for shift in (1, -1)
    }
    assert np.sum(row != np.roll(row, 1)) == np.sum(row != np.roll(row, -1)) == 4
    assert changed == {1: (0, 0), -1: (4, 0)}


@pytest.mark.parametrize(("axis", "step"), [(-1, 1), (-1, -1), (-2, 1), (-2, -1)])
def test_larger_windows_change_less_under_a_shift(compiled: Compile, axis: int, step: int) -> None:
    net = compiled("pooling")()
    test_images = load_dataset("mnist").test_images[:300]
    # MNIST's digits lie in the middle 20x20 or close to it; a border of zeros wraps to itself.
    digits = (test_images >= 128).astype(np.uint8).reshape(-1, 1, 28, 28)
    digits[:, :, [0, -1]] = digits[:, :, :, [0, -1]] = 0
    shifted = np.roll(digits, step, axis)
    counts, shares = [], []
    pairs = zip((digits, *net(digits)), (shifted, *net(shifted)), strict=True)
    for before, after in pairs:
        changed, white = np.sum(before != after), np.sum((before > 0) | (after > 0))
        counts.append(changed)
        shares.append(changed / white)
    assert counts == sorted(counts, reverse=True)
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.35
    assert shares[-1] < 0.1


def test_pooled_values_are_the_largest_of_their_windows(compiled: Compile) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (5, 1, 28, 28)).astype(np.uint8)
    for size, found in zip((2, 4, 7, 14), compiled("pooling")()(pixels), strict=True):
        windows = pixels.reshape(5, 1, 28 // size, size, 28 // size, size)
        np.testing.assert_array_equal(found, windows.max((3, 5)))


def test_the_edge_filter_can_be_learned(compiled: Compile, edge_filter: Any) -> None:
    edge = compiled("edge")
    images = np.random.default_rng(0).random((512, 1, 8, 8), dtype=np.float32)
    wanted = with_weight(edge, edge_filter)(images)
    student = edge(seed=1)
    for _ in range(5):
        for start in range(0, 512, 16):
            student.train_step(images[start : start + 16], wanted[start : start + 16])
    np.testing.assert_allclose(student.parameters["conv1.weight"][0, 0], edge_filter, atol=0.01)
