"""The times of variants -> what each algorithm of a single sample's layer takes, all in all.

To the layer's own call comes what its result's order brings along: copies into another order, and,
where it lies in planes (cnnc.ops.single_planes), the calls that may read it so. What a wider halo
takes whoever writes it is not counted, nor the packing of weights, which holds for many samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from cnnc.ir.graph import Node
from cnnc.ir.program import Program, Single
from cnnc.measure.step import Place
from cnnc.ops.single_copies import ToLanes, ToRow

Reach = Mapping[str, set[str]]
"""By a layer: those that follow it in planes, in whichever variant."""

Least = Mapping[tuple[str, str], float]
"""Seconds of what is best for a layer, by its name and what its choice is called."""


def times_of_ways(
    variants: Sequence[tuple[Program, Mapping[Place, float]]],
) -> list[dict[str, float]]:
    """Seconds of what each variant took, by the choice's key; the mean of layers that share one."""
    seen = [_Seen.of(program.single, table) for program, table in variants if program.single]
    if len(seen) < len(variants):
        return [{} for _ in variants]
    asked = dict.fromkeys(name for each in seen for name in each.single.asked)
    reach = {n: set().union(*(followers(each.single, n) for each in seen)) for n in asked}
    order = list(dict.fromkeys(name for each in seen for name in each.order))
    least: dict[tuple[str, str], float] = {}
    costs: list[dict[str, list[float]]] = [{} for _ in seen]
    # From the last layer on: what follows a layer counts with the best that can be taken there.
    for name in sorted(reach, key=order.index, reverse=True):
        # Of a layer's own choices as well: the first leads to the second.
        for rank in (1, 0):
            for each, cost in zip(seen, costs, strict=True):
                keys = each.single.asked.get(name, ())
                if rank < len(keys):
                    seconds = each.cost(name, rank, reach, least)
                    cost.setdefault(keys[rank], []).append(seconds)
                    at = name, keys[rank]
                    least[at] = min(seconds, least.get(at, seconds))
    return [{key: fmean(seconds) for key, seconds in cost.items()} for cost in costs]


def followers(single: Single, name: str) -> set[str]:
    """The layers that read a layer's result as planes, or could, and theirs, as far as it goes."""
    found: set[str] = set()
    for node in single.graph.consumers(name) if name in single.planes else ():
        if _copies(node):
            found |= {n.name for n in single.graph.consumers(node.name) if n.name in single.offered}
        else:
            found |= {node.name} | followers(single, node.name)
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """A variant: the seconds of each call of its single sample's, and of the copies of a result."""

    single: Single
    order: tuple[str, ...]
    calls: Mapping[str, float]
    copies: Mapping[str, float]

    @classmethod
    def of(cls, single: Single, table: Mapping[Place, float]) -> _Seen:
        """From the times of its places."""
        calls = {
            name: seconds
            for (schedule, kind, name), seconds in table.items()
            if schedule == single.schedule.name and kind == "call"
        }
        copies: dict[str, float] = {}
        for node in single.graph.nodes:
            if _copies(node):
                source = node.inputs[0]
                copies[source] = copies.get(source, 0.0) + calls.get(node.name, 0.0)
        order = tuple(node.name for node in single.graph.nodes if not _copies(node))
        return cls(single, order, calls, copies)

    def cost(self, name: str, rank: int, reach: Reach, least: Least) -> float:
        """Seconds of a layer by the choice of that rank among its own, and what that entails."""
        keys = self.single.asked[name]
        brought = self._brought(name) if rank == 0 and name in self.single.offered else 0.0
        if rank + 1 < len(keys):
            return brought + least[name, keys[rank + 1]]
        members = [each for each in self.order if each in reach[name] | {name}]
        paid = {self._source(each) for each in members if each in self.single.offered}
        counted: set[str] = set()
        total = brought
        for each in members:
            others = self.single.asked.get(each, ())
            if each in counted:
                continue
            if each != name and others:
                total += least[each, others[0]]
                counted |= reach[each]
            else:
                total += self.calls.get(each, 0.0)
                total += 0.0 if each in paid else self.copies.get(each, 0.0)
        return total

    def _brought(self, name: str) -> float:
        """Seconds of the copy that a layer reads, if it reads one."""
        source = self.single.graph.node(name).inputs[0]
        return self.calls.get(source, 0.0) if _copies(self.single.graph.node(source)) else 0.0

    def _source(self, name: str) -> str:
        """The layer whose result a layer reads, or has copied."""
        node = self.single.graph.node(self.single.graph.node(name).inputs[0])
        return node.inputs[0] if _copies(node) else node.name


def _copies(node: Node) -> bool:
    return isinstance(node.op, ToLanes | ToRow)
