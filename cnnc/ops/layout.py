"""How a tensor lies in memory, and what an op tells the templates.

Offsets are counted in elements of a block: one element is a register of lanes, the same value of
several samples. How many lanes there are is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Protocol, TypeAlias

from cnnc.ops.shapes import Shape
from cnnc.ops.window import Pads


@dataclass(frozen=True, slots=True)
class Layout:
    """[channel][*extents], each axis with a halo of zeros before and after. Flat: no extents."""

    channels: int
    extents: Shape = ()
    halo: Pads = ()
    gap: int = 0
    """Elements between two channels that belong to none."""

    def padded(self) -> Shape:
        """Extents with their halo."""
        if not self.halo:
            return self.extents
        return tuple(n + b + a for n, (b, a) in zip(self.extents, self.halo, strict=True))

    def strides(self) -> Shape:
        """Elements from one channel to the next, then along each axis."""
        padded = self.padded()
        channel, *others = (prod(padded[i:]) for i in range(len(padded) + 1))
        return (channel + self.gap, *others)

    @property
    def size(self) -> int:
        """Elements in all, halo and gaps included."""
        return self.channels * self.strides()[0]

    @property
    def haloed(self) -> bool:
        """Whether it has a halo, which must be zero."""
        return any(pair != (0, 0) for pair in self.halo)

    @property
    def dense(self) -> bool:
        """Whether there is nothing between its elements, so that it can be read as one row."""
        return not self.haloed and not self.gap

    def offset(self, channel: Any, *position: Any) -> Any:
        """Where an element lies, from integers or symbolic (affine) coordinates."""
        strides = self.strides()
        total = channel * strides[0]
        halo = self.halo or ((0, 0),) * len(self.extents)
        for coordinate, stride, (before, _) in zip(position, strides[1:], halo, strict=True):
            total = total + (coordinate + before) * stride
        return total

    def flat(self) -> Layout:
        """The same memory as one row; only of a dense layout."""
        return Layout(self.size)


ABREAST = 4
"""Blocks that go side by side where they share weights as these are read, at most."""

Layouts = Mapping[str, Layout]
"""Layouts by operand name: inputs, `output`, and for a gradient `output_grad` and `result`."""


class Machine(Protocol):
    """What tiles are sized for; see cnnc.ir.target."""

    @property
    def lanes(self) -> int: ...
    @property
    def registers(self) -> int: ...
    @property
    def level1(self) -> int: ...
    @property
    def level2(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kernel that makes so many floats (`result`) of a weight (`weight`)."""

    form: Form
    floats: int


@dataclass(frozen=True, slots=True)
class Form:
    """One kernel's loops, as plain values; equal forms share one generated function.

    A subclass lives beside each op and names the template and the macro that writes it.
    """

    TEMPLATE: ClassVar[str] = ""
    MACRO: ClassVar[str] = ""
    ALGORITHM: ClassVar[str] = "direct"
    """What tells it from other forms of the same kernel; see `Op.kernel_forms`."""
    COARSE: ClassVar[bool] = False
    """Whether it rounds more than the direct sum does: no training step takes it unless told to."""

    def candidate(self) -> str:
        """What a choice calls it: the algorithm, and which of several of that name."""
        return self.ALGORITHM

    def writer(self) -> tuple[str, str]:
        """The template (templates/<stem>.pyx.j2) and its macro that write this kernel."""
        return self.TEMPLATE, self.MACRO

    def operands(self) -> tuple[str, ...]:
        """Names of the pointers that the kernel takes, in order, its result last."""
        raise NotImplementedError

    def labels(self) -> tuple[str, ...]:
        """Those of its operands that hold class indices, int32 a lane."""
        return ()

    def floats(self) -> tuple[str, ...]:
        """Those of its operands that hold one float an element for all samples, as parameters."""
        return ()

    def flat(self) -> Form:
        """The same kernel over one row, if no operand has a halo.

        Only asked for where nothing that is applied to its result needs coordinates.
        """
        return self

    def in_place(self) -> tuple[str, ...]:
        """Those of its operands in whose place its result may lie, where that has their layout.

        Of each it reads an element for the last time before it stores the result's at that place.
        """
        return ()

    def stores_once(self) -> bool:
        """Whether each element is stored once, with what is fused applied to it.

        Then the result may also lie in the place of what the fused ops read.
        """
        return False

    def pieces(self) -> int:
        """How many calls make the result, each with its own `tile`; they can run in any order."""
        return 1

    def piece_sizes(self) -> tuple[tuple[int, int], ...]:
        """(how many, floats of each) of the pieces of a parameter's gradient, in their order.

        Only of one that takes an `ending`: the step of the parameters, which a piece goes on with.
        """
        return ()

    def from_array(self) -> Form | None:
        """The same kernel, which reads the caller's array, as wide as a sample, for its `input`.

        What it reads of a sample is given to what is fused into it first.
        """
        return None

    def middle(self) -> int:
        """Of a weight's gradient in pieces, a row's floats up to the border nearest its middle.

        0 where no border of pieces is one of cache lines, too.
        """
        return 0

    def in_halves(self, inputs: int) -> Form:
        """The same kernel, whose sums are those over so many inputs and those over the others.

        Only if it can be such: then `half` makes either of them.
        """
        return self

    def half(self) -> Form | None:
        """What adds up the inputs from `begin` to `end`, and the other half's sums (`other`)."""
        return None

    def divided(self) -> Form:
        """The same kernel, which makes a part of its result if it can; see cnnc.ops.units."""
        return self

    def units(self) -> int:
        """Of how many units a call makes those from `first` to `last`; 1: it makes everything."""
        return 1

    def abreast(self) -> bool:
        """Whether it goes through several blocks side by side; see Op.abreast_form."""
        return False

    def scratch(self) -> int:
        """Elements of scratch memory that a call needs besides its operands."""
        return 0

    def fetching(self) -> Form:
        """The same kernel, which meanwhile asks for what is read next (`ahead`), if it can."""
        return self

    def requests(self) -> int:
        """How many cache lines a call of such a kernel asks for, at most."""
        return 0

    def least_positions(self) -> int:
        """Positions that a strip has for it, at least: what ends its sums is done once a strip."""
        return 1

    def tallying(self, kept: Layout, x: Layout | None = None) -> Form:
        """The same kernel, which adds up its result where it is kept, if it can.

        Without `x` that is the input of a batch norm, else the gradient by the output of one that
        read x; see cnnc.ops.tally.
        """
        return self

    def tallies(self) -> bool:
        """Whether it is such a kernel."""
        return False

    def with_bias(self) -> Form:
        """The same kernel of a weight's gradient, which also makes that of the bias, if it can.

        That is the sum of the output's gradient, which it reads anyway; it goes to `bias_result`.
        """
        return self

    def makes_bias(self) -> bool:
        """Whether it is such a kernel."""
        return False

    def prepared(self) -> Prepared | None:
        """What a batch makes of the weight, once for all calls: the operand `prepared`."""
        return None

    def cycles(self) -> float:
        """What a core needs for one call, by the form's cost model; 0 where it has none."""
        return 0

    def reason(self) -> str:
        """One line for the program's text: which algorithm and tiles, and why."""
        return ""


Counted: TypeAlias = tuple[tuple[float, Form], ...]
"""Forms of a kernel and the cycles that a call of each is estimated at, the fewest first."""
