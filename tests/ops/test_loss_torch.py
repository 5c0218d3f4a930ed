"""Every loss against torch.nn.functional, where it is installed: values and gradients.

References over all combinations of options, compiled kernels over the examples; both reduced to
the network's loss as LossOp.label_weights says.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cnnc.ops.binary_cross_entropy import BinaryCrossEntropy
from cnnc.ops.cross_entropy import CrossEntropy
from cnnc.ops.huber import Huber
from cnnc.ops.l1 import L1
from cnnc.ops.loss import LossOp
from cnnc.ops.mse import Mse
from cnnc.ops.op import Example
from cnnc.ops.shapes import Array
from tests.ops.examples import labels
from tests.ops.test_kernels import runnable_targets
from tests.ops.test_loss_kernels import LOSS_EXAMPLES, PADDED, feeds_of, in_bits, losses_of

torch = pytest.importorskip("torch")

SPACES = [(), (6,), (4, 5), (2, 3, 3)]
WEIGHTS = [None, (0.5, 1.0, 3.0), (0.0, 2.0, 0.25)]
SMOOTHING = [0.0, 0.1, 1.0]
IGNORED = [None, -100, 1]
CROSS_ENTROPIES = [
    Example(CrossEntropy(smoothing, weights, ignore), ((3, *space),), classes=3)
    for space, smoothing, weights, ignore in itertools.product(SPACES, SMOOTHING, WEIGHTS, IGNORED)
]
OTHERS = [
    Example(op, (shape, shape))
    for shape in [(1,), (3,), (3, 7), (3, 4, 5)]
    for op in [
        Mse(),
        L1(),
        Huber(),
        Huber(0.3),
        BinaryCrossEntropy(),
        BinaryCrossEntropy((2.5,)),
        *([BinaryCrossEntropy((0.5, 1.0, 3.0))] if shape[0] == 3 else []),
    ]
]


def torch_loss(op: LossOp, x: Any, y: Any) -> Any:
    """The network's loss as PyTorch has it, with its default reduction."""
    functional = torch.nn.functional
    match op:
        case CrossEntropy(smoothing, weights, ignore):
            return functional.cross_entropy(
                x,
                y,
                weight=None if weights is None else torch.tensor(weights, dtype=x.dtype),
                ignore_index=-1000 if ignore is None else ignore,
                label_smoothing=smoothing,
            )
        case BinaryCrossEntropy(factors):
            factor = torch.tensor(factors or (1.0,), dtype=x.dtype)
            factor = factor.reshape(-1, *(1 for _ in x.shape[2:]))
            return functional.binary_cross_entropy_with_logits(x, y, pos_weight=factor)
        case Mse():
            return functional.mse_loss(x, y)
        case L1():
            return functional.l1_loss(x, y)
        case Huber(delta):
            return functional.huber_loss(x, y, delta=delta)
    raise TypeError(op.NAME)


def in_torch(op: LossOp, x: Array, y: Array) -> tuple[float, Array]:
    """PyTorch's loss and its gradient by the output, in float64."""
    logits = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    dtype = torch.int64 if y.dtype.kind == "i" else torch.float64
    loss = torch_loss(op, logits, torch.tensor(y, dtype=dtype))
    loss.backward()
    return loss.item(), logits.grad.numpy()


def shares(op: LossOp, y: Array) -> Array:
    """What each sample's loss is multiplied with in the network's loss."""
    counted = op.label_weights()
    if counted is None:
        return np.full(len(y), 1 / len(y))
    each = np.ones(y.shape)
    if counted.weights is not None:
        classes = len(counted.weights)
        each = np.array(counted.weights)[np.where((y >= 0) & (y < classes), y, 0)]
    return np.full(len(y), 1 / each[y != counted.ignore].sum())


def agree(found: tuple[float, Array], wanted: tuple[float, Array]) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=1e-5, abs=1e-7)
    scale = max(float(abs(wanted[1]).max()), 1e-6)
    np.testing.assert_allclose(found[1] / scale, wanted[1] / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("example", [*CROSS_ENTROPIES, *OTHERS], ids=lambda e: str(e.op))
def test_references_agree(example: Example) -> None:
    op, rng = example.op, np.random.default_rng(7)
    assert isinstance(op, LossOp)
    x = 4 * rng.standard_normal((9, *example.inputs[0]))
    y = labels(example, 9, rng) if example.classes else rng.random((9, *example.inputs[1]))
    operands, share = {"input": x, "target": y}, shares(op, y)
    loss = float((op.forward(operands) * share).sum())
    agree((loss, op.backward("input", share, operands, x.shape[1:])), in_torch(op, x, y))


@pytest.mark.parametrize("samples", [3, 16, 33])
def test_compiled_kernels_agree(samples: int) -> None:
    graph, module = losses_of(runnable_targets()[0])
    examples, feeds = LOSS_EXAMPLES | PADDED, feeds_of(samples)
    for stem, example in examples.items():
        assert isinstance(example.op, LossOp)
        share = shares(example.op, feeds[f"{stem}_y"])
        feeds[f"{stem}_share"] = share.astype(np.float32)
    names = [output.tensor for output in graph.outputs]
    found = dict(zip(names, module.Model()(*in_bits(feeds)), strict=True))
    for stem, example in examples.items():
        op, x, y = example.op, feeds[f"{stem}_x"], feeds[f"{stem}_y"]
        assert isinstance(op, LossOp)
        loss = float((found[f"{stem}_loss"] * feeds[f"{stem}_share"]).sum())
        agree((loss, found[f"{stem}_slope"]), in_torch(op, x, y))


@pytest.mark.parametrize("size", [1e4, 80.0, 10.0])
def test_extreme_logits_agree(size: float) -> None:
    x, y = np.array([[size, -size, 0.0], [-size, size, 0.0]]), np.array([0, 0])
    for op in (CrossEntropy(), CrossEntropy(0.1, (1.0, 2.0, 3.0))):
        operands, share = {"input": x, "target": y}, shares(op, y)
        loss = float((op.forward(operands) * share).sum())
        agree((loss, op.backward("input", share, operands, (3,))), in_torch(op, x, y))
