"""Pools, upsampling and normalisation against PyTorch: values, and gradients by its autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cnnc.ops import OPS
from cnnc.ops.op import Op
from cnnc.ops.shapes import Shape

torch = pytest.importorskip("torch")

Torch = Callable[..., Any]


def bound(name: str, shape: Shape, arguments: dict[str, Any]) -> Op:
    """The op, with defaults for what is not given."""
    defaults = {field.name: field.default for field in OPS[name].FIELDS}
    op: Op = OPS[name].bind({**defaults, **arguments}, (shape,))
    return op


def check(op: Op, shape: Shape, function: Torch, *weights: str) -> None:
    """The op's value and all its gradients equal the function's, of input and `weights`."""
    rng = np.random.default_rng(4)
    shapes = {p.name: p.shape for p in op.parameters((shape,))}
    operands = {"input": rng.standard_normal((3, *shape))}
    operands |= {name: rng.standard_normal(shapes[name]) for name in weights}
    tensors = {k: torch.from_numpy(v.copy()).requires_grad_() for k, v in operands.items()}
    wanted = function(*tensors.values())
    found = op.forward(operands)
    assert_close(found, wanted.detach().numpy())
    grad = rng.standard_normal(found.shape)
    wanted.backward(torch.from_numpy(grad))
    operands["output"] = found
    for name, tensor in tensors.items():
        reads = {read: operands[read] for read in op.gradient_reads(name)}
        shape_of = tensor.shape[1:] if name == "input" else tensor.shape
        assert_close(op.backward(name, grad, reads, tuple(shape_of)), tensor.grad.numpy())


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.shape == wanted.shape
    assert abs(found - wanted).max() <= 1e-12 * max(1.0, abs(wanted).max())


def pool_function(kind: str, shape: Shape) -> Torch:
    found: Torch = getattr(torch.nn.functional, f"{kind}_pool{len(shape) - 1}d")
    return found


WINDOWS: list[tuple[Shape, dict[str, Any]]] = [
    ((3, 7, 8), {"size": 2}),
    ((1, 8, 9), {"size": 3, "stride": 2, "pad": 1}),
    ((2, 8, 9), {"size": 3, "stride": 2, "pad": 1, "ceil": True}),
    ((2, 5, 6), {"size": 2, "stride": 3, "ceil": True}),
    ((2, 5, 6), {"size": 3, "stride": 3, "pad": 1, "ceil": True}),
    ((2, 2, 2), {"size": 3, "stride": 2, "ceil": True}),
    ((17, 11), {"size": 4, "stride": 3, "pad": 2, "ceil": True}),
    ((2, 5, 4, 6), {"size": (3, 2, 2), "stride": (2, 1, 3), "pad": [1, 0, 1], "ceil": True}),
]


@pytest.mark.parametrize(("shape", "given"), WINDOWS)
def test_maxpool(shape: Shape, given: dict[str, Any]) -> None:
    op = bound("maxpool", shape, given)
    function = pool_function("max", shape)
    pad, ceil = given.get("pad", 0), given.get("ceil", False)
    size, stride = given["size"], given.get("stride")
    check(op, shape, lambda x: function(x, size, stride, pad, ceil_mode=ceil))


@pytest.mark.parametrize("count_pad", [True, False])
@pytest.mark.parametrize(("shape", "given"), WINDOWS)
def test_avgpool(shape: Shape, given: dict[str, Any], count_pad: bool) -> None:
    op = bound("avgpool", shape, {**given, "count_pad": count_pad})
    function = pool_function("avg", shape)
    pad, ceil = given.get("pad", 0), given.get("ceil", False)
    size, stride = given["size"], given.get("stride")
    check(op, shape, lambda x: function(x, size, stride, pad, ceil, count_pad))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 13, 13), (6, 6)),
        ((2, 1, 2), (7, 7)),
        ((1, 8, 9), (4, 2)),
        ((2, 9), (4,)),
        ((2, 3, 4, 5), (2, 4, 3)),
    ],
)
def test_adaptive_avgpool(shape: Shape, size: tuple[int, ...]) -> None:
    op = bound("adaptive_avgpool", shape, {"size": size})
    function = pool_function("adaptive_avg", shape)
    check(op, shape, lambda x: function(x, size))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("shape", [(3, 5, 4), (2, 7), (1, 2, 3, 4)])
def test_global_pools(shape: Shape, kind: str, keep: bool) -> None:
    op = bound(f"global_{kind}pool", shape, {"keep": keep})
    function = pool_function(f"adaptive_{kind}", shape)
    check(op, shape, lambda x: function(x, 1) if keep else function(x, 1).flatten(1))


@pytest.mark.parametrize(("shape", "factor"), [((3, 4, 5), 2), ((2, 1, 3), (4, 3)), ((2, 5), 3)])
def test_upsample_nearest(shape: Shape, factor: Any) -> None:
    op = bound("upsample", shape, {"factor": factor})
    check(op, shape, lambda x: torch.nn.functional.interpolate(x, scale_factor=factor))


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize(
    ("shape", "factor"),
    [((3, 4, 5), 2), ((2, 1, 3), (4, 3)), ((2, 5), 3), ((1, 6), 1), ((2, 2, 3, 1), (2, 1, 5))],
)
def test_upsample_linear(shape: Shape, factor: Any, align: bool) -> None:
    mode = ("linear", "bilinear", "trilinear")[len(shape) - 2]
    word = "linear" if mode == "trilinear" else mode
    op = bound("upsample", shape, {"factor": factor, "mode": word, "align_corners": align})
    scale = tuple(map(float, op.factor))  # type: ignore[attr-defined]
    interpolate = torch.nn.functional.interpolate
    check(op, shape, lambda x: interpolate(x, scale_factor=scale, mode=mode, align_corners=align))


@pytest.mark.parametrize(("shape", "groups"), [((6, 3, 5), 2), ((4, 7), 4), ((12,), 3)])
def test_groupnorm(shape: Shape, groups: int) -> None:
    function = torch.nn.functional.group_norm
    plain = bound("groupnorm", shape, {"groups": groups, "affine": False})
    check(plain, shape, lambda x: function(x, groups))
    op = bound("groupnorm", shape, {"groups": groups, "eps": 0.01})
    check(op, shape, lambda x, w, b: function(x, groups, w, b, 0.01), "weight", "bias")


def test_groupnorm_with_a_group_a_channel_is_instance_normalisation() -> None:
    op = bound("groupnorm", (5, 4, 3), {"groups": 5, "affine": False})
    check(op, (5, 4, 3), torch.nn.functional.instance_norm)


@pytest.mark.parametrize("shape", [(3, 4, 5), (17,)])
def test_layernorm(shape: Shape) -> None:
    function = torch.nn.functional.layer_norm
    check(bound("layernorm", shape, {"affine": False}), shape, lambda x: function(x, shape))
    op = bound("layernorm", shape, {})
    check(op, shape, lambda x, w, b: function(x, shape, w, b), "weight", "bias")


def test_zero_pad_and_crop() -> None:
    pad = [(1, 2), (0, 3)]
    sides = (0, 3, 1, 2)
    function = torch.nn.functional.pad
    check(bound("zero_pad", (2, 4, 5), {"pad": pad}), (2, 4, 5), lambda x: function(x, sides))
    cut = tuple(-side for side in sides)
    check(bound("crop", (2, 4, 5), {"pad": pad}), (2, 4, 5), lambda x: function(x, cut))


def test_slice_and_reshape() -> None:
    op = bound("slice", (6, 2, 3), {"start": 1, "stop": 5})
    check(op, (6, 2, 3), lambda x: x[:, 1:5])
    op = bound("reshape", (6, 2, 3), {"dims": [4, 9]})
    check(op, (6, 2, 3), lambda x: x.reshape(3, 4, 9))
