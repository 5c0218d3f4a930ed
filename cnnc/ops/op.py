"""What every op offers: the pieces that the compiler, the generic tests and the docs are made of.

An op is a frozen dataclass; its instance *is* its attributes. This module defines the vocabulary
that the files beside it share. It does not know graphs, memory layouts or generated code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cnnc.ops.field import Field
from cnnc.ops.initializers import Initializer
from cnnc.ops.layout import Counted, Form, Layouts, Machine
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import Sight
from cnnc.ops.window import Pads

if TYPE_CHECKING:
    from cnnc.ops.single import Single


class Trait(Enum):
    """What passes may rely on; an op lists its own in TRAITS."""

    ELEMENTWISE = "reads one position to write one, so that a producer can apply it as it stores"
    VIEW = "has its input's elements in its input's order: the same memory, if that has no halo"
    LOSS = "ends the network; its kernels take no epilogue"
    HEAVY = "its element-wise formula takes dozens of operations a value"
    HEAVY_GRADIENT = "so does that of its gradient"
    PLACED = "its element-wise formula reads the channel it is in or the element's index"
    PASSES_GRADIENT = "the gradient by every input is the output's gradient itself"
    BATCH = "its result is one for the whole batch: whatever reads it waits for every sample"
    BY_WINDOWS = "its gradient is stored window by window, which may overlap or leave gaps"
    COMMUTES = "its inputs may change places"
    BY_SIGN = "if its gradient reads its output, it asks only where that is positive"
    BY_CHANNEL = "each channel is treated by itself and like any other"


class Cut(Enum):
    """Along what a kernel's work may be cut into strips that do not need one another."""

    CHANNELS = "channels"
    ROWS = "rows"
    """Along the first axis of space."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter that an op declares; the graph gives it its full name (`conv1.weight`).

    One that is not `trained` is a statistic that training keeps, such as a running mean: it has no
    gradient and no optimizer touches it.
    """

    name: str
    shape: Shape
    initializer: Initializer
    fan_in: int
    fan_out: int
    trained: bool = True


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One op of several that a layer is made of, in training or in inference.

    `reads` are operand names of the layer, parameters too, `random` (a word of random bits a
    sample, new in every step), or suffixes of earlier steps; inputs stand before parameters, in the
    order of the op's own. The last step's result is the layer's and has its name; `suffix` names
    any other's: `<layer>_<suffix>`.
    """

    suffix: str
    op: Op
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One sample from which the generic tests of an op are made.

    inputs: shapes without the batch axis. `classes` is how many there are where the second input of
    a loss holds labels. Inputs lie between -0.5 and 0.5, times `scale`: choose it so that they
    reach every branch of the formula.
    """

    op: Op
    inputs: tuple[Shape, ...]
    classes: int | None = None
    scale: float = 1.0


ANYWHERE = frozenset(Cut)
NOWHERE: frozenset[Cut] = frozenset()

RANDOM = "random"
"""The operand that holds random bits: a uint32 a sample, shape (), new in every training step."""

Operands = Mapping[str, Array]
"""Arrays by operand name: the op's inputs (`input_names`) and parameters, and `output`."""


class Op:
    """A layer's meaning: the interface of every op, with what most of them answer.

    Subclasses are frozen dataclasses, one file each; conv.py is the model to copy. There is no
    deeper hierarchy: ops share by calling functions.
    """

    __slots__ = ()

    NAME: ClassVar[str]
    """What a spec calls it, and the stem of templates/<NAME>.pyx.j2."""
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    INPUTS: ClassVar[int | None] = 1
    """How many tensors it reads; None is two or more (add, concat)."""
    TRAITS: ClassVar[frozenset[Trait]] = frozenset()

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Op:
        """Make the op from checked arguments (every field present) and its inputs' shapes.

        Raises OpError where they do not fit together.
        """
        return cls(**arguments)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The shape rule; the input's own shape by default. Raises OpError."""
        return single(inputs)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        """What is trained, for inputs of these shapes."""
        return ()

    def input_names(self, count: int) -> tuple[str, ...]:
        """Operand names of `count` inputs, in order."""
        return ("input",)

    @property
    def inputs_read(self) -> int:
        """How many tensors this one reads."""
        return self.INPUTS or 1

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        """The operands, besides the output's gradient, that the gradient by operand `wrt` reads."""
        return ()

    def forward(self, operands: Operands) -> Array:
        """NumPy reference: batch-first arrays (n, *shape) in, (n, *output_shape) out."""
        raise NotImplementedError

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        """NumPy reference: the gradient by one operand, whose shape (no batch axis) is `shape`.

        `operands` holds just what `gradient_reads(wrt)` names. A parameter's gradient is summed
        over the batch.
        """
        raise NotImplementedError

    def training_steps(self, stream: int) -> tuple[TrainingStep, ...]:
        """What the layer does in training; empty where that is what it does in inference.

        `stream` is a number that no other layer of the network has, for random choices.
        """
        return ()

    def inference_steps(self) -> tuple[TrainingStep, ...]:
        """The ops that the layer is made of in inference; empty where it is one itself."""
        return ()

    def halo(self, wrt: str | None) -> Pads:
        """The zeros that the kernel of a direction needs around the op's input; () for none."""
        return ()

    def halo_operand(self, wrt: str | None) -> str:
        """The operand that `halo` surrounds, where that is not the input."""
        return "input"

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        """The loops of the forward kernel (wrt None) or of the gradient by an operand.

        `layouts` maps operand names, and `result`, to the layouts that the planner gave them.
        """
        raise NotImplementedError

    def batch_form(self, wrt: str, layouts: Layouts, machine: Machine) -> Form | None:
        """A kernel for a parameter's gradient that goes through all blocks at once.

        It reads what every block keeps and is called when all have made it. None where it is better
        to add up the gradient a block at a time.
        """
        return None

    def abreast_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form | None:
        """A kernel that goes through several blocks side by side, which share what it reads.

        None where nothing is gained by that.
        """
        return None

    def kernel_forms(self, wrt: str | None, layouts: Layouts, machine: Machine) -> tuple[Form, ...]:
        """Every algorithm that this kernel could be, what should be fastest first.

        All give the same values up to rounding and take the same operands but for `scratch`.
        """
        return (self.kernel_form(wrt, layouts, machine),)

    def counted_forms(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Counted:
        """The same, each with the cycles that it is ranked by; 0 where nothing was compared."""
        return tuple((0.0, form) for form in self.kernel_forms(wrt, layouts, machine))

    def sole_form(self, wrt: str | None) -> str:
        """Why this kernel has one algorithm where others of its op may have several."""
        return ""

    def finish_form(self, layouts: Layouts) -> Form:
        """For an op of Trait.BATCH that reads samples: how the blocks' parts become one result."""
        raise NotImplementedError

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        """What computes it for one sample, so many channels in a register (see cnnc.ops.single).

        None where nothing does, or where the op itself can: see Trait.BY_CHANNEL. `plain` is the
        halo of an input that is a plain row, as the caller's array is in its own order and what
        lies in planes is, None for one in lanes.
        """
        return None

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        """Along what a direction may be cut: a strip of its result needs that of what it reads.

        A gradient by a parameter is cut by channels where each has a part of it, by rows where
        their sums add up.
        """
        free = Trait.ELEMENTWISE in self.TRAITS and Trait.PLACED not in self.TRAITS
        return ANYWHERE if free else NOWHERE

    def part(self, channels: int) -> Op:
        """The op that makes so many of the channels, for one that can be cut along these."""
        return self

    def rises(self) -> bool:
        """Whether, of two values, the larger never becomes the smaller, and NaN stays NaN.

        Then it does not matter whether it is applied before or after the largest value is taken.
        Only asked of one that is element-wise.
        """
        return False

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        """Multiply-adds of the forward direction, a sample."""
        return 0

    def sight(self, inputs: tuple[Shape, ...]) -> Sight | None:
        """What an output value sees of the input's space; None where that is its own position."""
        return None

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Samples from which the generic tests are made; at least one awkward."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Gradient:
    """The op that computes the gradient of `of` by its operand `wrt`.

    Reads the output's gradient first, then the operands that `of.gradient_reads(wrt)` names.
    """

    of: Op
    wrt: str
    NAME: ClassVar[str] = "gradient"


@dataclass(frozen=True, slots=True)
class Input:
    """Where a named array enters the network; `dtype` is what the caller passes.

    uint8 values are converted to float32 unscaled; normalisation is a layer. Differentiation adds
    more kinds: `label`, class indices; `weight`, the share of each sample in the mean loss (0 in
    the lanes beyond the batch); `live`, 1 for each sample (0 in these lanes); `random`, a word of
    random bits for each.
    """

    shape: Shape
    dtype: str
    NAME: ClassVar[str] = "input"


def single(shapes: tuple[Shape, ...]) -> Shape:
    """The only input's shape."""
    (shape,) = shapes
    return shape


def as_float(array: Array) -> Array:
    """The array in a floating type: itself, or float64 for integers."""
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def per_channel(values: Array, rank: int) -> Array:
    """(channels) as (channels, 1, ...), to meet arrays (n, channels, *space) of so many axes."""
    return values.reshape(-1, *(1,) * (rank - 2))


def channel_sums(x: Array) -> Array:
    """(n, channels, *space) -> (channels): summed over samples and space."""
    return np.asarray(x.sum(axis=(0, *range(2, x.ndim))))


__all__ = [
    "ANYWHERE",
    "NOWHERE",
    "RANDOM",
    "Array",
    "Cut",
    "Example",
    "Gradient",
    "Input",
    "Op",
    "Operands",
    "ParameterSpec",
    "Shape",
    "TrainingStep",
    "Trait",
    "as_float",
    "channel_sums",
    "per_channel",
    "single",
]
