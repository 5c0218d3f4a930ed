"""dense: the loops of its kernels, as templates/dense.pyx.j2 writes them. Chooses none of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cnnc.ops.affine import Affine
from cnnc.ops.layout import Form
from cnnc.ops.loops import Clipped, Loop, chunked

LINE = 16
"""Floats of a cache line."""

_BESIDE = 256
"""Multiply-adds of registers beside which some ten prefetches take no time of their own."""


@dataclass(frozen=True, slots=True)
class ByLines(Form):
    """What goes along the rows of the weight, which are the outputs', a cache line at a time."""

    in_features: int
    out_features: int
    bias: bool

    @property
    def line(self) -> Loop:
        """Over the floats of a cache line."""
        return Loop("i", 0, LINE)

    @property
    def rest(self) -> Loop:
        """Over those of a row that fill none."""
        return Loop("i", self.in_features // LINE * LINE, self.in_features)


@dataclass(frozen=True, slots=True)
class DenseForward(ByLines):
    """Tiles of outputs, each a sum over all inputs.

    Where the weight is `fetched` and `cold` is not 0, each tile asks for the next one's part of it,
    a cache line of every row at a time: what another core has changed would be waited for. A sum is
    that over the first `cut` inputs plus that over the others, which two threads can share.
    """

    outputs: tuple[tuple[Loop, int], ...]
    fetched: bool
    cut: int = 0

    TEMPLATE: ClassVar[str] = "dense"
    MACRO: ClassVar[str] = "forward"

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        cold = ("cold",) if self.fetched else ()
        return ("input", "weight", *bias, *cold, "result")

    def stores_once(self) -> bool:
        return True

    @property
    def halves(self) -> tuple[tuple[tuple[Loop, int], ...], tuple[tuple[Loop, int], ...]]:
        """The tiles cut in two, as equal as can be."""
        tiles = [(loop, height, loop.trips) for loop, height in self.outputs]
        left = sum(trips for _, _, trips in tiles) // 2
        first, second = [], []
        for loop, height, trips in tiles:
            taken = min(trips, left)
            middle = loop.start + taken * loop.step
            if taken:
                first.append((Loop(loop.variable, loop.start, middle, loop.step), height))
            if taken < trips:
                second.append((Loop(loop.variable, middle, loop.stop, loop.step), height))
            left -= taken
        return tuple(first), tuple(second)

    @property
    def lines(self) -> tuple[Loop, ...]:
        """Over the floats of a row, a cache line at a time: of either half, if there are two."""
        whole = Loop("i0", 0, self.in_features // LINE * LINE, LINE)
        return tuple(
            Loop("i0", start, stop, LINE)
            for start, stop in ((0, self.cut), (self.cut, whole.stop))
            if start < stop
        )

    def in_halves(self, inputs: int) -> Form:
        lines = inputs % LINE == self.in_features % LINE == 0
        return replace(self, cut=inputs) if self.fetched and lines else self

    def half(self) -> Form | None:
        if not self.cut:
            return None
        return DenseHalf(self.in_features, self.out_features, self.bias, self.outputs)

    def reason(self) -> str:
        halves = f", {self.cut} inputs and {self.in_features - self.cut}" if self.cut else ""
        return f"one block, {self.outputs[0][1]} outputs at a time{halves}"


@dataclass(frozen=True, slots=True)
class DenseHalf(ByLines):
    """Tiles of outputs, each a sum over the inputs from `begin` to `end`, whole cache lines.

    The first half has the bias. Given the other half's sums, these are added, and the result is
    complete; else it is the sums.
    """

    outputs: tuple[tuple[Loop, int], ...]

    TEMPLATE: ClassVar[str] = "dense"
    MACRO: ClassVar[str] = "half"

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        return ("input", "weight", *bias, "begin", "end", "other", "result")

    @property
    def lines(self) -> Clipped:
        """Over the first floats of the cache lines of a row."""
        return Clipped("i0", "begin", "end", LINE)

    def reason(self) -> str:
        return f"a half of the inputs, {self.outputs[0][1]} outputs at a time"


@dataclass(frozen=True, slots=True)
class DenseInputGrad(Form):
    """Tiles of inputs, each a sum over all outputs, a chunk of them at a time."""

    in_features: int
    out_features: int
    chunk: Loop
    inputs: tuple[tuple[Loop, int], ...]

    TEMPLATE: ClassVar[str] = "dense"
    MACRO: ClassVar[str] = "input_gradient"

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "weight", "result")

    def stores_once(self) -> bool:
        return not self.chunk.runs

    def reason(self) -> str:
        chunk = f", {self.chunk.step} outputs at a time" if self.chunk.runs else ""
        return f"one block, {self.inputs[0][1]} inputs at a time{chunk}"

    @property
    def outputs(self) -> Loop | Clipped:
        """Over the outputs of a chunk; the last may have fewer."""
        return chunked("o", self.out_features, self.chunk)


@dataclass(frozen=True, slots=True)
class DenseWeightGrad(Form):
    """A matrix product over the lanes: the input is transposed to scratch, lanes along it.

    `vectors` tiles the whole registers of a weight row; `rest` are the columns left over.
    """

    in_features: int
    out_features: int
    lanes: int
    outputs: tuple[tuple[Loop, int], ...]
    vectors: tuple[tuple[Loop, int], ...]
    rest: Loop

    TEMPLATE: ClassVar[str] = "dense"
    MACRO: ClassVar[str] = "weight_gradient"

    @property
    def row(self) -> int:
        """Whole registers in a weight row."""
        return self.in_features // self.lanes

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "input", "scratch", "result")

    def scratch(self) -> int:
        return max(1, self.row * self.lanes)

    def reason(self) -> str:
        if not self.vectors:
            return "one sum a weight"
        return f"lanes along the inputs, tile {self.outputs[0][1]}x{self.vectors[0][1]}"


@dataclass(frozen=True, slots=True)
class DenseBatchWeightGrad(Form):
    """A matrix product over the samples of all blocks, a tile of columns of the weight at a time.

    Each tile turns its part of the inputs of `AT_ONCE` blocks, lanes along it, which then stays in
    the first-level cache. The sum is taken in the order of the samples, whoever computes a tile.
    Given an `ending`, the parameters take their step as soon as their gradient is complete.
    """

    in_features: int
    out_features: int
    lanes: int
    outputs: tuple[tuple[Loop, int], ...]
    widths: tuple[tuple[int, int, int], ...]
    """(first register of a row, stop, registers of a tile) of one or two kinds of tiles."""
    array: bool = False
    """Whether its input is the caller's array, where a sample's elements already lie together."""

    AT_ONCE: ClassVar[int] = 8

    TEMPLATE: ClassVar[str] = "dense"
    MACRO: ClassVar[str] = "batch_weight_gradient"

    @property
    def kinds(self) -> tuple[tuple[int, int, int, Affine], ...]:
        """(first tile, stop, registers of each, its first register) of each kind of tiles."""
        found, start = [], 0
        for first, stop, width in self.widths:
            count = (stop - first) // width
            at = Affine.of("tile" if self.pieces() > 1 else 0) * width + (first - start * width)
            found.append((start, start + count, width, at))
            start += count
        return tuple(found)

    @property
    def rest(self) -> Loop:
        """Over the columns that fill no register: the last tile does them."""
        return Loop("i", self.in_features // self.lanes * self.lanes, self.in_features)

    def asks(self, height: int, width: int) -> bool:
        """Whether a block's multiply-adds are so many that prefetches beside them take no time."""
        return height * width * self.lanes >= _BESIDE

    def reached(self, rows: Loop, size: int) -> str:
        """How much of the next tile's input, of so much, was asked for before these outputs."""
        if not rows.runs:
            return str(rows.start * size // self.out_features)
        return f"{rows.variable} * {size} // {self.out_features}"

    def ahead(self, height: int, size: int) -> Loop:
        """Over what of it is asked for along with so many outputs."""
        return Loop("line", 0, -(-height * size // self.out_features))

    def middle(self) -> int:
        borders = [
            (first + tile * width) * self.lanes
            for first, stop, width in self.widths
            for tile in range((stop - first) // width)
        ]
        even = [border for border in borders if border % LINE == 0]
        return min(even, key=lambda border: abs(2 * border - self.in_features), default=0)

    def from_array(self) -> Form | None:
        # Of each sample a cache line, at the least.
        wide = all(width * self.lanes >= LINE for _, _, width in self.widths)
        return replace(self, array=True) if wide and not self.rest.trips else None

    def pieces(self) -> int:
        return sum((stop - first) // width for first, stop, width in self.widths)

    def piece_sizes(self) -> tuple[tuple[int, int], ...]:
        floats = self.out_features * self.lanes
        return tuple((stop - start, floats * width) for start, stop, width, _ in self.kinds)

    def operands(self) -> tuple[str, ...]:
        source = ("array", "of_bytes", "samples") if self.array else ("input",)
        return ("output_grad", *source, "block_stride", "blocks", "tile", "ending", "result")

    def reason(self) -> str:
        tile = f"tile {self.outputs[0][1]}x{self.widths[0][2]}"
        source = " of the caller's array" if self.array else ""
        return f"all blocks{source}, {tile} (outputs x registers of inputs), {self.pieces()} tiles"


@dataclass(frozen=True, slots=True)
class DenseBiasGrad(Form):
    """The sum of each output's gradient over the lanes."""

    out_features: int
    outputs: tuple[tuple[Loop, int], ...]

    TEMPLATE: ClassVar[str] = "dense"
    MACRO: ClassVar[str] = "bias_gradient"

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "result")
