"""Runs a resolved Graph with torch.nn.functional: the truth that cnnc's networks are compared with.

One function per op, by its name. In training a batchnorm takes the statistics of the batch and
brings the running ones on, in place; dropout is not compared, and must have the rate 0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from cnnc.ir.graph import Graph
from cnnc.ir.interpret import operand_names
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Gradient, Input, Op
from cnnc.ops.window import Pads

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # its threads would wait for those of compilers that run beside it
functional = torch.nn.functional

Tensor = Any
Tensors = Mapping[str, Tensor]
Layer = Callable[[Any, Tensors], Tensor]
F = TypeVar("F", bound=Callable[..., Tensor])

LAYERS: dict[str, Layer] = {}


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
    if op.NAME == "batchnorm":
        return batch_norm(op, operands, training=training)
    if op.NAME in {"dropout", "channel_dropout"} and training:
        assert op.rate == 0  # type: ignore[attr-defined]
    return LAYERS[op.NAME](op, operands)


def layer(*names: str) -> Callable[[F], F]:
    """Let a function stand for the ops of these names."""

    def add_it(function: F) -> F:
        LAYERS.update(dict.fromkeys(names, function))
        return function

    return add_it


# convolutions


@layer("conv")
def _conv(op: Any, of: Tensors) -> Tensor:
    x, pad = _padded(of["input"], op.pad)
    function = _ranked("conv{}d", op.kernel)
    return function(x, of["weight"], of.get("bias"), op.stride, pad, op.dilation, op.groups)


@layer("conv_transpose")
def _conv_transpose(op: Any, of: Tensors) -> Tensor:
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


@layer("dense")
def _dense(op: Any, of: Tensors) -> Tensor:
    return functional.linear(of["input"], of["weight"], of.get("bias"))


# pools


@layer("maxpool")
def _maxpool(op: Any, of: Tensors) -> Tensor:
    function = _ranked("max_pool{}d", op.size)
    x, pad = _padded(of["input"], op.pad, op.size, float("-inf"))
    y = function(x, op.size, op.stride, pad, ceil_mode=op.ceil)
    return _cropped(y, op, of["input"])


@layer("avgpool")
def _avgpool(op: Any, of: Tensors) -> Tensor:
    function = _ranked("avg_pool{}d", op.size)
    x, pad = _padded(of["input"], op.pad, op.size)
    if any(pad) or x is of["input"]:
        return function(x, op.size, op.stride, pad, op.ceil, op.count_pad)
    counted, _ = _padded(torch.ones_like(of["input"]), op.pad, op.size, float(op.count_pad))
    means = [function(part, op.size, op.stride, 0, op.ceil) for part in (x, counted)]
    return _cropped(means[0] / means[1], op, of["input"])


@layer("adaptive_avgpool")
def _adaptive_avgpool(op: Any, of: Tensors) -> Tensor:
    return _ranked("adaptive_avg_pool{}d", op.size)(of["input"], op.size)


@layer("global_avgpool", "global_maxpool")
def _global_pool(op: Any, of: Tensors) -> Tensor:
    kind = "avg" if op.NAME == "global_avgpool" else "max"
    y = _ranked(f"adaptive_{kind}_pool{{}}d", of["input"].shape[2:])(of["input"], 1)
    return y if op.keep else y.flatten(1)


# normalisation


def batch_norm(op: Any, of: Tensors, *, training: bool) -> Tensor:
    """In training the running statistics are brought on in place."""
    affine = (of.get("weight"), of.get("bias"))
    running = (of["running_mean"], of["running_var"])
    return functional.batch_norm(of["input"], *running, *affine, training, op.momentum, op.eps)


@layer("groupnorm")
def _groupnorm(op: Any, of: Tensors) -> Tensor:
    return functional.group_norm(of["input"], op.groups, of.get("weight"), of.get("bias"), op.eps)


@layer("layernorm")
def _layernorm(op: Any, of: Tensors) -> Tensor:
    x = of["input"]
    return functional.layer_norm(x, x.shape[1:], of.get("weight"), of.get("bias"), op.eps)


@layer("normalize")
def _normalize(op: Any, of: Tensors) -> Tensor:
    x = of["input"]
    mean, std = (_per_channel(x.new_tensor(numbers), x) for numbers in (op.mean, op.std))
    return (x - mean) / std


@layer("scale")
def _scale(op: Any, of: Tensors) -> Tensor:
    return of["input"] * op.factor


# places


@layer("dropout", "channel_dropout", "identity")
def _same(op: Any, of: Tensors) -> Tensor:
    return of["input"]


@layer("flatten")
def _flatten(op: Any, of: Tensors) -> Tensor:
    return of["input"].flatten(1)


@layer("reshape")
def _reshape(op: Any, of: Tensors) -> Tensor:
    return of["input"].reshape(-1, *op.dims)


@layer("slice")
def _slice(op: Any, of: Tensors) -> Tensor:
    return of["input"][:, op.start : op.stop]


@layer("zero_pad")
def _zero_pad(op: Any, of: Tensors) -> Tensor:
    return functional.pad(of["input"], _sides(op.pad))


@layer("crop")
def _crop(op: Any, of: Tensors) -> Tensor:
    return functional.pad(of["input"], _sides([(-before, -after) for before, after in op.pad]))


@layer("upsample")
def _upsample(op: Any, of: Tensors) -> Tensor:
    factor = tuple(map(float, op.factor))
    if op.mode == "nearest":
        return functional.interpolate(of["input"], scale_factor=factor)
    mode = ("linear", "bilinear", "trilinear")[len(factor) - 1]
    given = {"scale_factor": factor, "mode": mode, "align_corners": op.align_corners}
    return functional.interpolate(of["input"], **given)


# activations

_PLAIN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "relu": lambda op, x: functional.relu(x),
    "relu6": lambda op, x: functional.relu6(x),
    "leaky_relu": lambda op, x: functional.leaky_relu(x, op.slope),
    "elu": lambda op, x: functional.elu(x, op.alpha),
    "gelu": lambda op, x: functional.gelu(x, approximate="tanh" if op.approximate else "none"),
    "silu": lambda op, x: functional.silu(x),
    "hardswish": lambda op, x: functional.hardswish(x),
    "sigmoid": lambda op, x: torch.sigmoid(x),
    "hardsigmoid": lambda op, x: functional.hardsigmoid(x),
    "tanh": lambda op, x: torch.tanh(x),
    "softplus": lambda op, x: functional.softplus(x, op.beta),
    "softmax": lambda op, x: functional.softmax(x, 1),
    "log_softmax": lambda op, x: functional.log_softmax(x, 1),
}


@layer(*_PLAIN)
def _activation(op: Any, of: Tensors) -> Tensor:
    return _PLAIN[op.NAME](op, of["input"])


@layer("prelu")
def _prelu(op: Any, of: Tensors) -> Tensor:
    return functional.prelu(of["input"], of["weight"])


# joins


@layer("add")
def _add(op: Any, of: Tensors) -> Tensor:
    return sum(of.values())


@layer("concat")
def _concat(op: Any, of: Tensors) -> Tensor:
    return torch.cat(tuple(of.values()), 1)


@layer("sub")
def _sub(op: Any, of: Tensors) -> Tensor:
    return torch.sub(*_spread(of))


@layer("mul")
def _mul(op: Any, of: Tensors) -> Tensor:
    return torch.mul(*_spread(of))


# losses


def network_loss(op: LossOp, x: Tensor, target: Tensor) -> Tensor:
    """The loss of a batch, as PyTorch reduces it by default."""
    return _loss(op, x, target, "mean")


def sample_losses(op: LossOp, x: Tensor, target: Tensor) -> Tensor:
    """Each sample's loss as LossOp.forward has it: a sum where labels count differently."""
    each = _loss(op, x, target, "none").reshape(len(x), -1)
    return each.mean(1) if op.label_weights() is None else each.sum(1)


def _loss(op: Any, x: Tensor, target: Tensor, reduction: str) -> Tensor:
    given: dict[str, Any] = {"reduction": reduction}
    match op.NAME:
        case "cross_entropy":
            weights, ignored = op.class_weights, op.ignore_index
            given["weight"] = None if weights is None else x.new_tensor(weights)
            given["ignore_index"] = -1000 if ignored is None else ignored
            given["label_smoothing"] = op.label_smoothing
            return functional.cross_entropy(x, target, **given)
        case "binary_cross_entropy":
            given["pos_weight"] = _per_channel(x.new_tensor(op.pos_weight or (1.0,)), x)[0]
            return functional.binary_cross_entropy_with_logits(x, target, **given)
        case "huber":
            return functional.huber_loss(x, target, delta=op.delta, **given)
    return {"mse": functional.mse_loss, "l1": functional.l1_loss}[op.NAME](x, target, **given)


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
