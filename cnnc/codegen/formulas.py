"""The formulas of element-wise ops as text: their own templates' macros, at a place of a tensor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from cnnc.codegen.templates import has_macro, macro
from cnnc.codegen.text import number, plus
from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import broadcast_offset, is_placed
from cnnc.ops.layout import Layout
from cnnc.ops.op import Gradient, Op


@dataclass(frozen=True, slots=True)
class Place:
    """Where a formula stands in its result: what the template of a PLACED op may ask for.

    `tables` gathers the constants that the kernel must declare: `table0[]`, `table1[]`, ...
    """

    at: tuple[Affine, ...]
    result: Layout | None
    tables: list[tuple[float, ...]]

    @property
    def channel(self) -> Affine:
        """The channel, or the feature of a flat tensor."""
        return self.at[0]

    @property
    def index(self) -> Affine:
        """How many elements come before it in its sample, whatever halo there is."""
        if self.result is None:
            raise TypeError("a formula that asks for its place stands where there is none")
        dense = Layout(self.result.channels, self.result.extents)
        offset: Affine = dense.offset(*self.at)
        return offset

    def constant(self, values: tuple[float, ...]) -> str:
        """A constant by channel; one value for all channels is written as a number."""
        if len(set(values)) == 1:
            return number(values[0])
        return f"{self._table(values)}[{self.channel}]"

    def constants(self, values: tuple[float, ...], lanes: int) -> str:
        """The same where a channel is a register of so many: whole registers of values."""
        if len(set(values)) == 1:
            return number(values[0])
        return f"vload({plus(self._table(values), self.channel * lanes)})"

    def _table(self, values: tuple[float, ...]) -> str:
        if values not in self.tables:
            self.tables.append(values)
        return f"table{self.tables.index(values)}"


def expression(op: Op | Gradient, place: Place, *operands: str) -> str:
    """An element-wise op's formula, from its own template."""
    of = op.of if isinstance(op, Gradient) else op
    name = "value"
    if isinstance(op, Gradient):
        # One formula, or one for each operand.
        name = "gradient" if has_macro(of.NAME, "gradient") else f"{op.wrt}_gradient"
    before = (of, place) if is_placed(op) else (of,)
    return _bare(str(macro(of.NAME, name)(*before, *operands)).strip())


def _bare(text: str) -> str:
    """The text without parentheses around what already stands in some."""
    opened: list[int] = []
    pairs: dict[int, int] = {}
    for place, character in enumerate(text):
        if character == "(":
            opened.append(place)
        elif character == ")":
            pairs[opened.pop()] = place
    spare = {
        place
        for start, end in pairs.items()
        if pairs.get(start + 1) == end - 1
        for place in (start + 1, end - 1)
    }
    return "".join(character for place, character in enumerate(text) if place not in spare)


def element(name: str, layout: Layout | None, at: tuple[Affine, ...]) -> str:
    """An operand's element at a place of the result; a parameter's pointer, which has no place."""
    return name if layout is None else f"{name}[{broadcast_offset(layout, at)}]"


def unfolded(layout: Layout, row: Affine) -> tuple[Affine, ...]:
    """The coordinates of an element, from its index in the sample."""
    found, rest = [], (layout.channels, *layout.extents)
    for axis, extent in enumerate(rest):
        after = prod(rest[axis + 1 :])
        whole = f"({row}) // {after}" if after != 1 else f"({row})"
        found.append(Affine.of(f"({whole} % {extent})" if axis else f"({whole})"))
    return tuple(found)


def simple(value: str) -> bool:
    """Whether a value stands alone among operators: a name, an element or one call."""
    if re.fullmatch(r"\w+(\[[^\[\]]*\])*", value):
        return True
    depth, call = 0, re.match(r"\w+\(", value)
    for place, character in enumerate(value):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and character == ")":
            return call is not None and place == len(value) - 1
    return False


def declare_table(index: int, values: tuple[float, ...]) -> str:
    """A table of constants, as a line of the kernel."""
    entries = ", ".join(number(value) for value in values)
    return f"cdef float[{len(values)}] table{index} = [{entries}]"
