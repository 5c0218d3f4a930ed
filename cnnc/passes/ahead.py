"""What strips read next, asked for while the kernels of this one compute.

A core waits for memory in the passes that a strip begins with, and leaves memory alone while its
convolutions multiply. Those that can (`Form.fetching`) ask for the next strip's part of every
tensor that the run reads and does not make, a cache line in every so many of their innermost loops,
so that it is in the second-level cache when its turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from cnnc.ir.calls import Ahead, Call
from cnnc.ops.layout import Form
from cnnc.ops.op import Cut
from cnnc.passes.room import LINE, Room

_SPARE = 0.9
"""The share of what kernels could ask for in which everything is."""


def look_ahead(
    calls: Sequence[Call], room: Room, forms: Mapping[str, Form], block: int, lanes: int
) -> tuple[Call, ...]:
    """The calls of a segment; those of strips that can say what they ask for.

    `forms` are those of kernels by name, `block` what a block keeps.
    """
    found: list[Call] = []
    for turns, run in groupby(calls, key=lambda call: call.turns):
        together = tuple(run)
        asking = [call for call in together if any(o.space == "ahead" for o in call.operands)]
        requests = sum(forms[call.kernel].requests() for call in asking)
        if turns is None or not requests:
            found += together
            continue
        parts = tuple(_parts(together, room, block, turns.by == Cut.ROWS.value))
        lines = sum(part.runs * -(-part.elements * lanes // LINE) for part in parts)
        every = max(1, int(_SPARE * requests) // max(1, lines))
        found += [
            replace(call, turns=replace(turns, ahead=parts, every=every)) for call in together
        ]
    return tuple(found)


def _parts(run: Sequence[Call], room: Room, block: int, by_rows: bool) -> Iterator[Ahead]:
    """The tensors that a run reads and does not make, in the order of its calls."""
    known = {call.computes for call in run}
    for operand in (operand for call in run for operand in call.operands[:-1]):
        if operand.space != "kept" or not operand.step or operand.name in known:
            continue
        known.add(operand.name)
        layout, step = room.whole(operand.name), operand.step
        at = operand.offset + layout.offset(0, *(0 for _ in layout.extents))
        runs, stride = (layout.channels, layout.strides()[0]) if by_rows else (1, 0)
        yield Ahead(operand.name, at, step, block, runs, stride, step)
