"""Dropout: identity in inference; in training a mask that is random, and the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.diagnostics import CompileError, Source
from cnnc.frontend import parse, resolve
from cnnc.ops.channel_dropout import ChannelDropout
from cnnc.ops.dropout import Dropout
from cnnc.ops.dropout_mask import DropoutMask
from cnnc.ops.shapes import Array
from tests.passes.test_fuse import Network, compiled

SAMPLES = 64
SHAPE = (32, 24, 24)
BITS = np.random.default_rng(11).integers(0, 2**32, SAMPLES, dtype=np.uint32)


def kept(mask: DropoutMask, bits: Array = BITS) -> Array:
    return mask.kept(bits, SHAPE)


def correlation(a: Array, b: Array) -> float:
    """Between two arrays of what is kept, in standard deviations of what chance gives."""
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    return float(abs((x * y).mean() / (x.std() * y.std())) * np.sqrt(x.size))


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.9, 0.999])
def test_the_share_that_is_dropped_is_the_rate(rate: float) -> None:
    stays = kept(DropoutMask(rate, 3))
    deviation = np.sqrt(rate * (1 - rate) / stays.size)
    assert abs(stays.mean() - (1 - rate)) < 4.5 * deviation


def test_the_share_holds_in_each_sample_and_each_channel() -> None:
    stays = kept(DropoutMask(0.5, 1))
    for axes in ((1, 2, 3), (0, 2, 3), (0, 1, 2), (0, 1, 3)):
        shares = stays.mean(axis=axes)
        deviation = 0.5 / np.sqrt(stays.size / shares.size)
        assert abs(shares - 0.5).max() < 5 * deviation
        # Neither too even nor too uneven: the shares' own spread is that of chance.
        spread = shares.std() / deviation
        assert 1 - 4 / np.sqrt(2 * shares.size) < spread < 1 + 4 / np.sqrt(2 * shares.size)


def test_neighbouring_elements_channels_and_samples_are_independent() -> None:
    stays = kept(DropoutMask(0.5, 1))
    for axis in range(4):
        for distance in (1, 2, 8, 16):
            a = np.take(stays, range(stays.shape[axis] - distance), axis)
            b = np.take(stays, range(distance, stays.shape[axis]), axis)
            assert correlation(a, b) < 4.5, (axis, distance)


def test_streams_are_independent() -> None:
    masks = [kept(DropoutMask(0.5, stream)) for stream in range(6)]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert correlation(a, b) < 4.5


def test_bits_that_differ_in_one_place_give_another_mask() -> None:
    base = kept(DropoutMask(0.5, 1))
    for bit in range(32):
        other = kept(DropoutMask(0.5, 1), BITS ^ np.uint32(1 << bit))
        assert correlation(base, other) < 4.5, bit


def test_samples_numbered_one_after_the_other_are_independent() -> None:
    stays = kept(DropoutMask(0.5, 1), np.arange(SAMPLES, dtype=np.uint32))
    assert correlation(stays[:-1], stays[1:]) < 4.5
    assert abs(stays.mean() - 0.5) < 0.005


def test_whole_channels_are_dropped() -> None:
    stays = kept(DropoutMask(0.5, 1, channels=True))
    assert (stays == stays[:, :, :1, :1]).all()
    assert 0.4 < stays.mean() < 0.6


def test_no_rate_keeps_all_and_a_rate_near_1_keeps_little() -> None:
    x = np.ones((SAMPLES, *SHAPE), np.float32)
    operands = {"input": x, "random": BITS}
    np.testing.assert_array_equal(DropoutMask(0.0, 1).forward(operands), x)
    last = DropoutMask(1 - 2**-30, 1)
    found = last.forward(operands)
    assert np.isfinite(found).all()
    assert np.count_nonzero(found) < 10


def test_the_mean_stays() -> None:
    x = np.ones((SAMPLES, *SHAPE), np.float32)
    found = DropoutMask(0.3, 2).forward({"input": x, "random": BITS})
    assert found.mean() == pytest.approx(1, abs=0.005)
    assert found.dtype == np.float32


def test_the_kernel_drops_just_what_the_reference_drops() -> None:
    net = Network()
    shape, masks = (3, 5, 7), [DropoutMask(r, s) for s, r in enumerate((0.0, 0.1, 0.5, 0.99))]
    masks.append(DropoutMask(0.4, 2_000_000_000, channels=True))
    x, random = net.input("x", shape), net.input("random", ())
    model = compiled(net.graph(*(net.op(mask, x, random) for mask in masks))).Model()
    values = np.random.default_rng(0).standard_normal((SAMPLES + 5, *shape)).astype(np.float32)
    bits = np.random.default_rng(1).integers(0, 2**32, SAMPLES + 5, dtype=np.uint32)
    found = model(values, bits.view(np.float32))
    for mask, result in zip(masks, found, strict=True):
        np.testing.assert_array_equal(result, mask.forward({"input": values, "random": bits}))


def test_in_training_the_layers_become_masks_of_their_own_stream() -> None:
    (step,) = Dropout(0.3).training_steps(7)
    assert step.op == DropoutMask(0.3, 7)
    assert step.reads == ("input", "random")
    (step,) = ChannelDropout(0.3).training_steps(8)
    assert step.op == DropoutMask(0.3, 8, channels=True)


@pytest.mark.parametrize("layer", ["dropout", "channel_dropout"])
@pytest.mark.parametrize("rate", ["1", "-0.1", "1.5"])
def test_a_rate_outside_0_to_1_is_refused(layer: str, rate: str) -> None:
    text = f"model m {{\ninput x: float32[8]\n{layer}({rate})\ndense(2)\n}}\n"
    with pytest.raises(CompileError) as caught:
        resolve(parse(Source("m.cnn", text)))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "bad-value"
