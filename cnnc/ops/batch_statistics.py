"""What batchnorm is made of: statistics of a batch, and channels scaled and shifted by them.

None of these is named in a spec; see batchnorm.py. Tensors of the whole batch have no sample axis:
statistics (2, channels) are means and variances, an affine form (2, channels) scales and shifts.
Ioffe and Szegedy 2015, algorithm 1 and the gradients of section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnnc.ops.channel_forms import (
    ChannelNumbers,
    FinishParts,
    parts,
)
from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import ANYWHERE, Cut, Op, Operands, Trait, as_float, channel_sums, per_channel
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.single import Single
from cnnc.ops.single_affine import SingleAffine
from cnnc.ops.window import Pads

_BATCH = frozenset({Trait.BATCH})
_ELEMENTWISE = frozenset({Trait.ELEMENTWISE, Trait.PLACED})


@dataclass(frozen=True, slots=True)
class BatchStatistics(Op):
    """(channels, *space) of every sample -> (2, channels): mean and biased variance of a channel.

    The running statistics go the share `momentum` towards them, the variance to its unbiased
    estimate, when the training step has them.
    """

    momentum: float

    NAME: ClassVar[str] = "batch_statistics"
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (2, inputs[0][0])

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        axes = (0, *range(2, x.ndim))
        return np.stack([x.mean(axis=axes), x.var(axis=axes)])

    def running(self, statistics: Array, mean: Array, variance: Array, count: int) -> list[Array]:
        """The running mean and variance after a batch of `count` values a channel."""
        unbiased = statistics[1] * (count / max(count - 1, 1))
        keep = 1 - self.momentum
        return [
            keep * mean + self.momentum * statistics[0],
            keep * variance + self.momentum * unbiased,
        ]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return parts("statistics", ("input",), layouts)

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        return ANYWHERE

    def finish_form(self, layouts: Layouts) -> Form:
        return FinishParts("statistics", ("running_mean", "running_var"), self.momentum)


@dataclass(frozen=True, slots=True)
class BatchAffine(Op):
    """Statistics (2, channels) -> (2, channels): the scale and the shift that normalise.

    scale = weight / sqrt(variance + eps), shift = bias - mean * scale.
    """

    eps: float
    affine: bool

    NAME: ClassVar[str] = "batch_affine"
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def forward(self, operands: Operands) -> Array:
        mean, variance = operands["input"]
        return affine_form(mean, variance, self.eps, operands)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input", "weight", "bias") if self.affine else ("input",)
        return ChannelNumbers("batch_affine", reads, self.eps)


@dataclass(frozen=True, slots=True)
class RunningAffine(Op):
    """The same of the running statistics, which are parameters that nothing trains."""

    eps: float
    affine: bool
    channels: int

    NAME: ClassVar[str] = "running_affine"
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (2, self.channels)

    def input_names(self, count: int) -> tuple[str, ...]:
        return ()

    def forward(self, operands: Operands) -> Array:
        return affine_form(operands["running_mean"], operands["running_var"], self.eps, operands)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads: tuple[str, ...] = ("running_mean", "running_var")
        reads += ("weight", "bias") if self.affine else ()
        return ChannelNumbers("running_affine", reads, self.eps)


def affine_form(mean: Array, variance: Array, eps: float, operands: Operands) -> Array:
    """(2, channels) from statistics, and the weight and bias if there are any."""
    scale = operands.get("weight", 1.0) / np.sqrt(variance + eps)
    return np.stack([scale, operands.get("bias", 0.0) - mean * scale])


@dataclass(frozen=True, slots=True)
class ChannelAffine(Op):
    """y = scale[channel] * x + shift[channel]; the second input, (2, channels), holds both."""

    channels: int

    NAME: ClassVar[str] = "channel_affine"
    INPUTS: ClassVar[int | None] = 2
    TRAITS: ClassVar[frozenset[Trait]] = _ELEMENTWISE

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", "affine")

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        scale, shift = operands["affine"]
        return np.asarray(x * per_channel(scale, x.ndim) + per_channel(shift, x.ndim))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("input", "affine"), layouts)

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return Single(SingleAffine(self.channels, lanes))

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        return ANYWHERE


@dataclass(frozen=True, slots=True)
class BatchSums(Op):
    """(gradient g, x, statistics) -> (3, channels): sum of g, of g (x - mean), count of values."""

    NAME: ClassVar[str] = "batch_sums"
    INPUTS: ClassVar[int | None] = 3
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (3, inputs[0][0])

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("output_grad", "input", "statistics")

    def forward(self, operands: Operands) -> Array:
        g, x = operands["output_grad"], operands["input"]
        centred = x - per_channel(operands["statistics"][0], x.ndim)
        count = np.full(x.shape[1], x.size // x.shape[1], g.dtype)
        return np.stack([channel_sums(g), channel_sums(g * centred), count])

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return parts("sums", ("output_grad", "input", "statistics"), layouts)

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        return ANYWHERE

    def finish_form(self, layouts: Layouts) -> Form:
        return FinishParts("sums", ())


@dataclass(frozen=True, slots=True)
class BatchWeightGradient(Op):
    """(sums, statistics) -> (channels): sum of g (x - mean) / sqrt(variance + eps)."""

    eps: float

    NAME: ClassVar[str] = "batch_weight_gradient"
    INPUTS: ClassVar[int | None] = 2
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0][1:]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("sums", "statistics")

    def forward(self, operands: Operands) -> Array:
        result: Array = operands["sums"][1] / np.sqrt(operands["statistics"][1] + self.eps)
        return result

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return ChannelNumbers("weight_gradient", ("sums", "statistics"), self.eps)


@dataclass(frozen=True, slots=True)
class BatchBiasGradient(Op):
    """Sums (3, channels) -> (channels): the sum of g."""

    NAME: ClassVar[str] = "batch_bias_gradient"
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0][1:]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("sums",)

    def forward(self, operands: Operands) -> Array:
        return np.asarray(operands["sums"][0])

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return ChannelNumbers("bias_gradient", ("sums",), 0.0)


@dataclass(frozen=True, slots=True)
class BatchSlope(Op):
    """(sums, statistics) -> (3, channels): a, b, c of the input's gradient a g + b x + c.

    With s = 1 / sqrt(variance + eps) and N values a channel: a = weight s,
    b = -a s^2 sum(g (x - mean)) / N, c = -a sum(g) / N - b mean.
    """

    eps: float
    affine: bool

    NAME: ClassVar[str] = "batch_slope"
    INPUTS: ClassVar[int | None] = 2
    TRAITS: ClassVar[frozenset[Trait]] = _BATCH

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("sums", "statistics")

    def forward(self, operands: Operands) -> Array:
        total, product, count = operands["sums"]
        mean, variance = operands["statistics"]
        inverse = 1 / np.sqrt(variance + self.eps)
        a = operands.get("weight", 1.0) * inverse
        b = -a * inverse**2 * product / count
        return np.stack([a, b, -a * total / count - b * mean])

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads: tuple[str, ...] = ("sums", "statistics")
        reads += ("weight",) if self.affine else ()
        return ChannelNumbers("slope", reads, self.eps)


@dataclass(frozen=True, slots=True)
class ChannelSlope(Op):
    """The gradient by a batch norm's input: a[channel] g + live (b[channel] x + c[channel]).

    `live` is 1 for every sample of the batch: lanes beyond it must not get a gradient.
    """

    channels: int

    NAME: ClassVar[str] = "channel_slope"
    INPUTS: ClassVar[int | None] = 4
    TRAITS: ClassVar[frozenset[Trait]] = _ELEMENTWISE

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("output_grad", "input", "slope", "live")

    def forward(self, operands: Operands) -> Array:
        g, x = operands["output_grad"], as_float(operands["input"])
        a, b, c = (per_channel(row, x.ndim) for row in operands["slope"])
        live = operands["live"].reshape(-1, *(1 for _ in x.shape[1:]))
        return np.asarray(a * g + live * (b * x + c))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return elementwise(self, ("output_grad", "input", "slope", "live"), layouts)

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        return ANYWHERE
