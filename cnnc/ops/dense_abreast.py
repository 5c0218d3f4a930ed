"""dense over several blocks side by side, which share each weight as it is read.

For weights that the second-level cache does not keep: block by block they would be read from beyond
it each time. See Op.abreast_form, and templates/dense_abreast.pyx.j2 for the loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.dense_forms import LINE, ByLines
from cnnc.ops.layout import ABREAST, Form, Machine
from cnnc.ops.loops import Clipped, Loop, chunked, tile_loops

_ROWS, _PANEL = 96, 192
"""Outputs, and about how many inputs, of the part of a weight that is copied to lie together."""

Tiles = tuple[tuple[Loop, int], ...]


def _sizes(machine: Machine) -> Iterator[tuple[int, int]]:
    """(blocks, sums of each) of register tiles: for all of them, for two, and for one alone.

    A weight is broadcast once for all blocks, so the more there are, the fewer loads; and the more
    sums of each, the less often an activation is read.
    """
    blocks = ABREAST
    while blocks:
        yield blocks, min(12, (machine.registers - 4 - blocks) // blocks)
        blocks //= 2


@dataclass(frozen=True, slots=True)
class DenseAbreast(ByLines):
    """Tiles of outputs x blocks, each a sum over a chunk of the inputs, which stays cached.

    `chunk` runs over cache lines of a row of the weight.
    """

    chunk: Loop
    kinds: tuple[tuple[int, Tiles], ...]
    """(blocks, tiles of outputs) for so many at once, the most first."""

    TEMPLATE: ClassVar[str] = "dense_abreast"
    MACRO: ClassVar[str] = "forward"

    def abreast(self) -> bool:
        return True

    def operands(self) -> tuple[str, ...]:
        bias = ("bias",) if self.bias else ()
        return ("input", "input_step", "weight", *bias, "blocks", "result_step", "result")

    @property
    def lines(self) -> Loop | Clipped:
        """Over the cache lines of a chunk."""
        return chunked("line", self.in_features // LINE, self.chunk)

    def reason(self) -> str:
        blocks, tiles = self.kinds[0]
        chunk = f", {self.chunk.step * LINE} inputs at a time" if self.chunk.runs else ""
        return f"up to {blocks} blocks abreast, {tiles[0][1]} outputs at a time{chunk}"


@dataclass(frozen=True, slots=True)
class DenseAbreastInputGrad(Form):
    """Tiles of inputs x blocks, each a sum over a chunk of the outputs.

    A row of the weight is one output's, so a tile's weights lie a row apart. A panel of them is
    copied to scratch memory first, where they do not evict each other.
    """

    in_features: int
    out_features: int
    lanes: int
    chunk: Loop
    kinds: tuple[tuple[int, Tiles], ...]
    """(blocks, tiles of inputs) for so many at once, the most first."""

    TEMPLATE: ClassVar[str] = "dense_abreast"
    MACRO: ClassVar[str] = "input_gradient"

    PITCH: ClassVar[int] = _PANEL + LINE
    """Floats between two rows of a panel."""

    def abreast(self) -> bool:
        return True

    def operands(self) -> tuple[str, ...]:
        steps = ("output_grad_step", "weight", "blocks", "scratch", "result_step")
        return ("output_grad", *steps, "result")

    def scratch(self) -> int:
        return -(-min(_ROWS, self.out_features) * self.PITCH // self.lanes)

    @property
    def outputs(self) -> Loop | Clipped:
        """Over the outputs of a chunk; the last may have fewer."""
        return chunked("o", self.out_features, self.chunk)

    def panels(self, tiles: Loop, height: int) -> Loop:
        """Over the first inputs of the panels of such tiles."""
        return Loop("p0", tiles.start, tiles.stop, _PANEL // height * height)

    def within(self, tiles: Loop, height: int) -> tuple[str, str]:
        """The first input of a panel, and where it ends, as expressions."""
        panels = self.panels(tiles, height)
        if not panels.runs:
            return str(tiles.start), str(tiles.stop)
        return "p0", f"min(p0 + {panels.step}, {tiles.stop})"

    def reason(self) -> str:
        blocks, tiles = self.kinds[0]
        chunk = f", {self.chunk.step} outputs at a time" if self.chunk.runs else ""
        return f"up to {blocks} blocks abreast, {tiles[0][1]} inputs at a time{chunk}"


def dense_abreast(
    wrt: str | None, in_features: int, out_features: int, bias: bool, machine: Machine
) -> Form | None:
    """The form of a direction, by the input or forward; None where the weight stays cached."""
    if 4 * in_features * out_features <= machine.level2:
        return None
    if wrt is None:
        # Half of the second-level cache for the inputs of all blocks.
        fitting = machine.level2 // 2 // (4 * machine.lanes * ABREAST * LINE)
        lines = in_features // LINE
        chunk = Loop("c0", 0, lines, min(max(1, fitting), max(lines, 1)))
        kinds = tuple((n, tile_loops("o0", out_features, m)) for n, m in _sizes(machine))
        return DenseAbreast(in_features, out_features, bias, chunk, kinds)
    chunk = Loop("c0", 0, out_features, min(_ROWS, out_features))
    kinds = tuple((n, tile_loops("i0", in_features, m)) for n, m in _sizes(machine))
    return DenseAbreastInputGrad(in_features, out_features, machine.lanes, chunk, kinds)
