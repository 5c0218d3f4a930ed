"""What templates may call: loops around text, names of sums, coordinates, numbers.

Each takes ready values and gives text or coordinates; none knows a graph or an op.
"""

from __future__ import annotations

import re
import struct
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import Any, TypeAlias

from cnnc.ops.affine import Affine
from cnnc.ops.loops import Clipped, Loop

WIDTH = 100
"""Columns of generated code."""

AnyLoop: TypeAlias = Loop | Clipped


def under(text: str, *loops: Any) -> str:
    """The text inside loops, the first outermost; a loop of one trip is left out."""
    flat = list(_flat(loops))
    if any(loop.trips == 0 for loop in flat):
        return ""
    body = text.strip("\n") + "\n"
    for loop in reversed(flat):
        if loop.runs:
            inner = textwrap.indent(body, "    ")
            body = f"for {loop.variable} in {loop.range}:\n{inner}"
    return body


def under_if(text: str, *loops: Any) -> str:
    """As `under`, indented once more, for the body of an if."""
    return textwrap.indent(under(text, *loops), "    ")


def _flat(loops: Iterable[Any]) -> Iterable[AnyLoop]:
    for loop in loops:
        if isinstance(loop, (Loop, Clipped)):
            yield loop
        else:
            yield from _flat(loop)


def words(text: str) -> set[str]:
    """The identifiers and numbers in it."""
    return set(re.findall(r"\w+", text))


def fold(line: str, width: int) -> str:
    """A line that is too long on several: a call an argument a line, a value on its own line."""
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    colon = ":" if line.endswith("):") else ""
    call = _outer_call(line.removesuffix(colon))
    if call is not None and len(call[0]) < width:
        head, arguments = call
        inner = "".join(f"{fold(f'{indent}    {each}', width - 1)},\n" for each in arguments)
        return f"{head}(\n{inner}{indent}){colon}"
    assignment = re.match(r"(.*? \+?= )(.*)", line)
    if assignment is None:
        return _fold_terms(line.strip(), indent, width)
    value = assignment[2]
    parts = [value] if len(f"{indent}    {value}") <= width else _terms(value)
    inner = "".join(f"{fold(f'{indent}    {part}', width)}\n" for part in parts)
    head = f"{assignment[1]}("
    if len(head) > width:
        head = _open(head.strip(), indent, width) or head
    return f"{head}\n{inner}{indent})"


def _fold_terms(value: str, indent: str, width: int) -> str:
    """A part of an expression, a term a line; what stands in parentheses on lines of its own."""
    parts = _terms(value)
    if len(parts) > 1:
        return "\n".join(fold(f"{indent}{part}", width) for part in parts)
    return _open(value, indent, width) or f"{indent}{value}"


def unbracket(line: str, width: int) -> str:
    """A line that is too long on several: what stands in its longest brackets on its own."""
    indent = " " * (len(line) - len(line.lstrip()))
    opened = _open(line.strip(), indent, width) if len(line) > width else None
    return line if opened is None else opened


def _open(value: str, indent: str, width: int) -> str | None:
    """A value with what stands in its longest brackets on lines of its own; None without any."""
    pairs: list[tuple[int, int]] = []
    starts: list[int] = []
    for place, character in enumerate(value):
        if character in "([":
            starts.append(place)
        elif character in ")]" and starts:
            pairs.append((starts.pop() + 1, place))
    start, end = max(pairs, key=lambda pair: pair[1] - pair[0], default=(0, 0))
    if not pairs or start == end:
        return None
    content = value[start:end].strip()
    line, parts = f"{indent}    {content}", _parts(content)
    if len(line) > width and len(parts) > 1:
        inner = "\n".join(f"{fold(f'{indent}    {part}', width - 1)}," for part in parts)
    else:
        inner = fold(line, width)
    return f"{indent}{value[:start]}\n{inner}\n{indent}{value[end:]}"


def _parts(value: str) -> list[str]:
    """What stands between commas that are in no brackets."""
    depth, cuts = 0, [-1]
    for place, character in enumerate(value):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and character == ",":
            cuts.append(place)
    return [value[a + 1 : b].strip() for a, b in pairwise([*cuts, len(value)])]


def _terms(value: str) -> list[str]:
    """An expression cut before each operator that stands in no parentheses."""
    depth, cuts = 0, [0]
    for place, character in enumerate(value):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(character, 0)
        if depth == 0 and value[place : place + 3] in (" * ", " + ", " - ", " / "):
            cuts.append(place + 1)
    return [value[a:b].strip() for a, b in pairwise([*cuts, len(value)])]


def _outer_call(line: str) -> tuple[str, list[str]] | None:
    """(head, arguments) of a line that ends with a call; None for any other."""
    depth, cuts = 0, [len(line) - 1]
    for place in range(len(line) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(line[place], 0)
        if depth == 0:
            break
        if depth == 1 and line[place] == ",":
            cuts.append(place)
    if not line.endswith(")") or not (line[place - 1].isalnum() or line[place - 1] == "_"):
        return None
    bounds = [place, *reversed(cuts)]
    return line[:place], [line[a + 1 : b].strip() for a, b in pairwise(bounds)]


def upto(variable: str, extent: int) -> Loop:
    """`for variable in range(extent)`."""
    return Loop(variable, 0, extent)


def sums(*extents: int) -> str:
    """The name of an array of sums, by its shape."""
    return "sum" + "x".join(map(str, extents))


def declare_sums(*tiles: Sequence[Any]) -> str:
    """Declarations of every array of sums that the tiles need: (loop, width) pairs or widths."""
    widths = [dict.fromkeys(t if isinstance(t, int) else t[1] for t in axis) for axis in tiles]
    return "\n".join(
        f"cdef vec {sums(*shape)}" + "".join(f"[{n}]" for n in shape) for shape in product(*widths)
    )


def spot(channel: Affine | int, *position: Any) -> tuple[Affine, ...]:
    """Coordinates (channel, *position): loops stand for their variables, tuples for their parts."""
    found = [Affine.of(channel)]
    for part in position:
        parts = part if isinstance(part, tuple) else (part,)
        found += [p.at if isinstance(p, (Loop, Clipped)) else Affine.of(p) for p in parts]
    return tuple(found)


def spot_of(loops: Sequence[AnyLoop]) -> tuple[Affine, ...]:
    """The coordinates under loops over channel and space."""
    return tuple(loop.at for loop in loops)


def shifted(at: tuple[Affine, ...], channels: int) -> tuple[Affine, ...]:
    """The same coordinates, some channels further."""
    return (at[0] + channels, *at[1:])


def plus(pointer: str, offset: Affine | int) -> str:
    """`pointer + offset`, or the pointer alone."""
    return pointer if str(offset) == "0" else f"{pointer} + {offset}"


def each(pattern: str, count: int) -> list[str]:
    """The pattern with 0, 1, ... for its %s."""
    return [pattern % index for index in range(count)]


def combine(coefficients: Sequence[float], terms: Sequence[str]) -> str:
    """The sum of coefficient * term, what is subtracted last."""
    pairs = [(c, term) for c, term in zip(coefficients, terms, strict=True) if c]
    pairs.sort(key=lambda pair: pair[0] < 0)
    text = ""
    for c, term in pairs:
        sign = (" - " if c < 0 else " + ") if text else ("-" if c < 0 else "")
        text += sign + (term if abs(c) == 1 else f"{number(abs(c))} * {term}")
    return text or "0"


def in_two(
    matrices: Sequence[Sequence[Sequence[float]]],
    terms: Sequence[str],
    results: Sequence[str],
    shared: str,
) -> str:
    """Lines that multiply terms by the one matrix, then by the other; `shared` is between them."""
    first, second = matrices
    lines, names = [], []
    for row, coefficients in enumerate(first):
        text = combine(coefficients, terms)
        if text not in terms:
            lines.append(f"{shared}[{row}] = {text}")
        names.append(text if text in terms else f"{shared}[{row}]")
    each_row = zip(results, second, strict=True)
    return "\n".join([*lines, *(f"{name} = {combine(row, names)}" for name, row in each_row)])


def number(value: float) -> str:
    """A float32 constant in Cython, with as few digits as give that float32 back."""
    (single,) = struct.unpack("f", struct.pack("f", value))
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", single):
            break
    return f"<float>{text if any(c in text for c in '.e') else text + '.0'}"
