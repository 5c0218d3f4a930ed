"""Runs a resolved Graph with torch.nn.functional: the truth that cnnc's networks are compared with.

One function per op, by its class. In training a batchnorm takes the statistics of the batch and
brings the running ones on, in place; dropout is not compared, and must have the rate 0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from cnnc.ir.graph import Graph
from cnnc.ir.interpret import operand_names
from cnnc.ops import adaptive_avgpool, add, avgpool, batchnorm, binary_cross_entropy
from cnnc.ops import channel_dropout, concat, conv, conv_transpose, crop, cross_entropy, dense
from cnnc.ops import dropout, elu, flatten, gelu, global_avgpool, global_maxpool, groupnorm
from cnnc.ops import hardsigmoid, hardswish, huber, identity, l1, layernorm, leaky_relu
from cnnc.ops import log_softmax, maxpool, mse, mul, normalize, prelu, relu, relu6, reshape
from cnnc.ops import scale, sigmoid, silu, slice, softmax, softplus, sub, tanh, upsample, zero_pad
from cnnc.ops.op import Gradient, Input, LossOp, Op
from cnnc.ops.window import Pads

torch = pytest.importorskip("torch")
functional = torch.nn.functional

Tensor = Any
Tensors = Mapping[str, Tensor]
Layer = Callable[[Any, Tensors], Tensor]
F = TypeVar("F", bound=Callable[..., Tensor])

LAYERS: dict[type[Op], Layer] = {}


def run(graph: Graph, feeds: Tensors, parameters: Tensors, *, training: bool) -> dict[str, Tensor]:
    """Every tensor of a graph as resolve leaves it, by name."""
    values: dict[str, Tensor] = {}
    for node in graph.nodes:
        if isinstance(node.op, Input):
            values[node.name] = feeds[node.name]
            continue
        assert not isinstance(node.op, Gradient)
        bound = operand_names(node).items()
        read = {k: parameters[v] if v in node.parameters else values[v] for k, v in bound}
        values[node.name] = forward(node.op, read, training=training)
    return values


def forward(op: Op, operands: Tensors, *, training: bool = False) -> Tensor:
    """An op's value, of its inputs and parameters by operand name."""
    if isinstance(op, batchnorm.BatchNorm):
        return batch_norm(op, operands, training=training)
    if training and isinstance(op, dropout.Dropout | channel_dropout.ChannelDropout):
        assert op.rate == 0
    return LAYERS[type(op)](op, operands)


def layer(*kinds: type[Op]) -> Callable[[F], F]:
    """Let a function stand for ops."""

    def add_it(function: F) -> F:
        LAYERS.update(dict.fromkeys(kinds, function))
        return function

    return add_it


# convolutions


@layer(conv.Conv)
def _conv(op: conv.Conv, of: Tensors) -> Tensor:
    x, pad = _padded(of["input"], op.pad)
    function = _ranked("conv{}d", op.kernel)
    return function(x, of["weight"], of.get("bias"), op.stride, pad, op.dilation, op.groups)


@layer(conv_transpose.ConvTranspose)
def _conv_transpose(op: conv_transpose.ConvTranspose, of: Tensors) -> Tensor:
    function = _ranked("conv_transpose{}d", op.kernel)
    rest = {"stride": op.stride, "dilation": op.dilation, "groups": op.groups}
    bias, most = of.get("bias"), map(max, zip(op.stride, op.dilation, strict=True))
    fits = all(more < limit for more, limit in zip(op.output_pad, most, strict=True))
    if _even(op.pad) and fits:
        pad = tuple(before for before, _ in op.pad)
        args = {"padding": pad, "output_padding": op.output_pad, **rest}
        return function(of["input"], of["weight"], bias, **args)
    y = function(of["input"], of["weight"], None, **rest)
    cut = zip(op.pad, op.output_pad, strict=True)
    y = functional.pad(y, _sides([(-before, more - after) for (before, after), more in cut]))
    return y if bias is None else y + _per_channel(bias, y)


@layer(dense.Dense)
def _dense(op: dense.Dense, of: Tensors) -> Tensor:
    return functional.linear(of["input"], of["weight"], of.get("bias"))


# pools


@layer(maxpool.MaxPool)
def _maxpool(op: maxpool.MaxPool, of: Tensors) -> Tensor:
    function = _ranked("max_pool{}d", op.size)
    x, pad = _padded(of["input"], op.pad, op.size, float("-inf"))
    y = function(x, op.size, op.stride, pad, ceil_mode=op.ceil)
    return _cropped(y, op, of["input"])


@layer(avgpool.AvgPool)
def _avgpool(op: avgpool.AvgPool, of: Tensors) -> Tensor:
    function = _ranked("avg_pool{}d", op.size)
    x, pad = _padded(of["input"], op.pad, op.size)
    if any(pad) or x is of["input"]:
        return function(x, op.size, op.stride, pad, op.ceil, op.count_pad)
    counted, _ = _padded(torch.ones_like(of["input"]), op.pad, op.size, float(op.count_pad))
    means = [function(part, op.size, op.stride, 0, op.ceil) for part in (x, counted)]
    return _cropped(means[0] / means[1], op, of["input"])


@layer(adaptive_avgpool.AdaptiveAvgPool)
def _adaptive_avgpool(op: adaptive_avgpool.AdaptiveAvgPool, of: Tensors) -> Tensor:
    return _ranked("adaptive_avg_pool{}d", op.size)(of["input"], op.size)


@layer(global_avgpool.GlobalAvgPool, global_maxpool.GlobalMaxPool)
def _global_pool(op: Any, of: Tensors) -> Tensor:
    kind = "avg" if isinstance(op, global_avgpool.GlobalAvgPool) else "max"
    y = _ranked(f"adaptive_{kind}_pool{{}}d", of["input"].shape[2:])(of["input"], 1)
    return y if op.keep else y.flatten(1)


# normalisation


def batch_norm(op: batchnorm.BatchNorm, of: Tensors, *, training: bool) -> Tensor:
    """In training the running statistics are brought on in place."""
    affine = (of.get("weight"), of.get("bias"))
    running = (of["running_mean"], of["running_var"])
    return functional.batch_norm(of["input"], *running, *affine, training, op.momentum, op.eps)


@layer(groupnorm.GroupNorm)
def _groupnorm(op: groupnorm.GroupNorm, of: Tensors) -> Tensor:
    return functional.group_norm(of["input"], op.groups, of.get("weight"), of.get("bias"), op.eps)


@layer(layernorm.LayerNorm)
def _layernorm(op: layernorm.LayerNorm, of: Tensors) -> Tensor:
    x = of["input"]
    return functional.layer_norm(x, x.shape[1:], of.get("weight"), of.get("bias"), op.eps)


@layer(normalize.Normalize)
def _normalize(op: normalize.Normalize, of: Tensors) -> Tensor:
    x = of["input"]
    mean, std = (_per_channel(x.new_tensor(numbers), x) for numbers in (op.mean, op.std))
    return (x - mean) / std


@layer(scale.Scale)
def _scale(op: scale.Scale, of: Tensors) -> Tensor:
    return of["input"] * op.factor


# places


@layer(dropout.Dropout, channel_dropout.ChannelDropout, identity.Identity)
def _same(op: Op, of: Tensors) -> Tensor:
    return of["input"]


@layer(flatten.Flatten)
def _flatten(op: flatten.Flatten, of: Tensors) -> Tensor:
    return of["input"].flatten(1)


@layer(reshape.Reshape)
def _reshape(op: reshape.Reshape, of: Tensors) -> Tensor:
    return of["input"].reshape(-1, *op.dims)


@layer(slice.Slice)
def _slice(op: slice.Slice, of: Tensors) -> Tensor:
    return of["input"][:, op.start : op.stop]


@layer(zero_pad.ZeroPad)
def _zero_pad(op: zero_pad.ZeroPad, of: Tensors) -> Tensor:
    return functional.pad(of["input"], _sides(op.pad))


@layer(crop.Crop)
def _crop(op: crop.Crop, of: Tensors) -> Tensor:
    return functional.pad(of["input"], _sides([(-before, -after) for before, after in op.pad]))


@layer(upsample.Upsample)
def _upsample(op: upsample.Upsample, of: Tensors) -> Tensor:
    factor = tuple(map(float, op.factor))
    if op.mode == "nearest":
        return functional.interpolate(of["input"], scale_factor=factor)
    mode = ("linear", "bilinear", "trilinear")[len(factor) - 1]
    given = {"scale_factor": factor, "mode": mode, "align_corners": op.align_corners}
    return functional.interpolate(of["input"], **given)


# activations

_PLAIN: dict[type[Op], Callable[[Any, Tensor], Tensor]] = {
    relu.Relu: lambda op, x: functional.relu(x),
    relu6.Relu6: lambda op, x: functional.relu6(x),
    leaky_relu.LeakyRelu: lambda op, x: functional.leaky_relu(x, op.slope),
    elu.Elu: lambda op, x: functional.elu(x, op.alpha),
    gelu.Gelu: lambda op, x: functional.gelu(x, approximate="tanh" if op.approximate else "none"),
    silu.Silu: lambda op, x: functional.silu(x),
    hardswish.HardSwish: lambda op, x: functional.hardswish(x),
    sigmoid.Sigmoid: lambda op, x: torch.sigmoid(x),
    hardsigmoid.HardSigmoid: lambda op, x: functional.hardsigmoid(x),
    tanh.Tanh: lambda op, x: torch.tanh(x),
    softplus.Softplus: lambda op, x: functional.softplus(x, op.beta),
    softmax.Softmax: lambda op, x: functional.softmax(x, 1),
    log_softmax.LogSoftmax: lambda op, x: functional.log_softmax(x, 1),
}


@layer(*_PLAIN)
def _activation(op: Op, of: Tensors) -> Tensor:
    return _PLAIN[type(op)](op, of["input"])


@layer(prelu.Prelu)
def _prelu(op: prelu.Prelu, of: Tensors) -> Tensor:
    return functional.prelu(of["input"], of["weight"])


# joins


@layer(add.Add)
def _add(op: add.Add, of: Tensors) -> Tensor:
    return sum(of.values())


@layer(concat.Concat)
def _concat(op: concat.Concat, of: Tensors) -> Tensor:
    return torch.cat(tuple(of.values()), 1)


@layer(sub.Sub)
def _sub(op: sub.Sub, of: Tensors) -> Tensor:
    return torch.sub(*_spread(of))


@layer(mul.Mul)
def _mul(op: mul.Mul, of: Tensors) -> Tensor:
    return torch.mul(*_spread(of))


# losses


def network_loss(op: LossOp, x: Tensor, target: Tensor) -> Tensor:
    """The loss of a batch, as PyTorch reduces it by default."""
    return _loss(op, x, target, "mean")


def sample_losses(op: LossOp, x: Tensor, target: Tensor) -> Tensor:
    """Each sample's loss as LossOp.forward has it: a sum where labels count differently."""
    each = _loss(op, x, target, "none").reshape(len(x), -1)
    return each.mean(1) if op.label_weights() is None else each.sum(1)


def _loss(op: LossOp, x: Tensor, target: Tensor, reduction: str) -> Tensor:
    match op:
        case cross_entropy.CrossEntropy(smoothing, weights, ignored):
            given = {
                "weight": None if weights is None else x.new_tensor(weights),
                "ignore_index": -1000 if ignored is None else ignored,
                "label_smoothing": smoothing,
            }
            return functional.cross_entropy(x, target, reduction=reduction, **given)
        case binary_cross_entropy.BinaryCrossEntropy(factors):
            factor = _per_channel(x.new_tensor(factors or (1.0,)), x)[0]
            function = functional.binary_cross_entropy_with_logits
            return function(x, target, pos_weight=factor, reduction=reduction)
        case mse.Mse():
            return functional.mse_loss(x, target, reduction=reduction)
        case l1.L1():
            return functional.l1_loss(x, target, reduction=reduction)
        case huber.Huber(delta):
            return functional.huber_loss(x, target, delta=delta, reduction=reduction)
    raise TypeError(op.NAME)


# shapes


def _ranked(name: str, space: tuple[int, ...]) -> Callable[..., Tensor]:
    """The function for 1, 2 or 3 axes of space."""
    found: Callable[..., Tensor] = getattr(functional, name.format(len(space)))
    return found


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(1, -1, *(1 for _ in like.shape[2:]))


def _sides(pads: Any) -> tuple[int, ...]:
    """Pads as functional.pad wants them: of the last axis first."""
    return tuple(side for pair in reversed(list(pads)) for side in pair)


def _even(pads: Pads) -> bool:
    return all(before == after for before, after in pads)


def _padded(
    x: Tensor, pads: Pads, window: tuple[int, ...] = (), value: float = 0.0
) -> tuple[Tensor, tuple[int, ...]]:
    """The input, padded where the function itself cannot, and the padding that is left to it."""
    allowed = all(2 * before <= k for (before, _), k in zip(pads, window, strict=False))
    if _even(pads) and allowed:
        return x, tuple(before for before, _ in pads)
    return functional.pad(x, _sides(pads), value=value), (0,) * len(pads)


def _cropped(y: Tensor, op: Op, x: Tensor) -> Tensor:
    """Without windows that start in a padding that the function took for input."""
    extents = op.output_shape((tuple(x.shape[1:]),))[1:]
    for axis, n in enumerate(extents, 2):
        y = y.narrow(axis, 0, n)
    return y


def _spread(of: Tensors) -> tuple[Tensor, Tensor]:
    """The second operand with the axes that it lacks, each of extent 1."""
    first, second = of["input0"], of["input1"]
    return first, second.reshape(*second.shape, *(1,) * (first.ndim - second.ndim))
