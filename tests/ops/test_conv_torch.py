"""conv, depthwise and conv_transpose beside torch.nn.functional: outputs and every gradient."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.compiler import compile_spec
from cnnc.ops import OPS
from cnnc.ops.conv import Conv
from cnnc.ops.conv_transpose import ConvTranspose
from cnnc.ops.shapes import Array, Shape

torch = pytest.importorskip("torch")

SPACES: dict[int, Shape] = {1: (4, 13), 2: (4, 11, 8), 3: (4, 6, 5, 7)}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "pad": 1},
    {"kernel": 2, "stride": 3},
    {"pad": 2, "dilation": 2},
    {"stride": 2, "pad": 2, "dilation": 3, "kernel": 2},
    {"groups": 2, "pad": 1, "bias": False},
    {"groups": 4, "stride": 2, "dilation": 2, "pad": 2},
]
ADDED: list[dict[str, Any]] = [
    {"stride": 2, "output_pad": 1},
    {"stride": 3, "pad": 1, "output_pad": 2, "groups": 2},
    {"dilation": 2, "output_pad": 1},
]


def bound(name: str, shape: Shape, given: Mapping[str, Any]) -> Any:
    """The op, as a spec with these arguments makes it."""
    defaults = {field.name: field.default for field in OPS[name].FIELDS}
    return OPS[name].bind({**defaults, "filters": 8, "kernel": 3, **given}, (shape,))


def operands_of(op: Any, shape: Shape) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shapes = {"input": (3, *shape), **{p.name: p.shape for p in op.parameters((shape,))}}
    return {name: rng.standard_normal(full) for name, full in shapes.items()}


def theirs(op: Conv | ConvTranspose, operands: Mapping[str, Any]) -> Any:
    """torch's output; padding as the op has it, symmetric."""
    rank, pad = len(op.kernel), tuple(before for before, _ in op.pad)
    x, weight, bias = operands["input"], operands["weight"], operands.get("bias")
    if isinstance(op, Conv):
        function = getattr(torch.nn.functional, f"conv{rank}d")
        return function(x, weight, bias, op.stride, pad, op.dilation, op.groups)
    function = getattr(torch.nn.functional, f"conv_transpose{rank}d")
    return function(x, weight, bias, op.stride, pad, op.output_pad, op.groups, op.dilation)


def assert_close(found: Array, wanted: Array) -> None:
    assert found.shape == wanted.shape
    assert abs(found - wanted).max() <= 1e-5 * abs(wanted).max()


def id_of(given: object) -> str:
    return str(given).replace(" ", "").replace("'", "")


CASES = [("conv", given) for given in OPTIONS]
CASES += [("conv_transpose", given) for given in [*OPTIONS, *ADDED]]


@pytest.mark.parametrize("rank", SPACES)
@pytest.mark.parametrize(("name", "given"), CASES, ids=id_of)
def test_references_equal_torch(name: str, given: dict[str, Any], rank: int) -> None:
    shape = SPACES[rank]
    op = bound(name, shape, given)
    operands = operands_of(op, shape)
    leaves = {n: torch.tensor(a, requires_grad=True) for n, a in operands.items()}
    output = theirs(op, leaves)
    assert_close(op.forward(operands), output.detach().numpy())
    grad = np.random.default_rng(1).standard_normal(output.shape)
    output.backward(torch.tensor(grad))
    for operand, leaf in leaves.items():
        reads = {read: operands[read] for read in op.gradient_reads(operand)}
        wanted = shape if operand == "input" else operands[operand].shape
        assert_close(op.backward(operand, grad, reads, wanted), leaf.grad.numpy())


SPEC = """
model stack {
    input image: float32[5, 17, 14]
    conv(12, 3x3, pad=2, dilation=2) -> relu
    depthwise(5x5, stride=2, pad=2, multiplier=2) -> relu
    conv(20, 1x1, groups=4) -> relu
    conv_transpose(9, 4x4, stride=2, pad=1) -> relu
    conv_transpose(6, 3x3, stride=2, pad=1, output_pad=1, groups=3, bias=no) -> relu
    conv(4, 3x3, stride=3, groups=2)
}
train { loss mse; optimizer sgd(lr=0.1); batch 8; epochs 1 }
"""


def stacked(x: Any, p: Mapping[str, Any]) -> Any:
    """The same in torch, given parameters in order."""
    f, w = torch.nn.functional, list(p.values())
    x = f.conv2d(x, w[0], w[1], padding=2, dilation=2).relu()
    x = f.conv2d(x, w[2], w[3], stride=2, padding=2, groups=12).relu()
    x = f.conv2d(x, w[4], w[5], groups=4).relu()
    x = f.conv_transpose2d(x, w[6], w[7], stride=2, padding=1).relu()
    x = f.conv_transpose2d(x, w[8], None, 2, 1, 1, groups=3).relu()
    return f.conv2d(x, w[9], w[10], stride=3, groups=2)


@pytest.mark.parametrize("samples", [1, 19])
def test_a_compiled_stack_of_all_of_them_equals_torch(tmp_path: Path, samples: int) -> None:
    path = tmp_path / "stack.cnn"
    path.write_text(SPEC)
    net = compile_spec(path).load().Model(seed=1, threads=1)
    rng = np.random.default_rng(2)
    image = rng.standard_normal((samples, 5, 17, 14)).astype(np.float32)
    leaves = {
        name: torch.tensor(np.array(a), dtype=torch.float64, requires_grad=True)
        for name, a in net.parameters.items()
    }
    output = stacked(torch.tensor(image, dtype=torch.float64), leaves)
    assert_close(net(image), output.detach().numpy())
    target = rng.standard_normal(output.shape).astype(np.float32)
    torch.nn.functional.mse_loss(output, torch.tensor(target, dtype=torch.float64)).backward()
    net.compute_gradients(image, target)
    for name, leaf in leaves.items():
        assert_close(net.gradients[name], leaf.grad.numpy())
