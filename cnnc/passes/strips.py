"""Runs of calls that go over a block strip by strip, so that what one makes the next finds cached.

A segment's tensors are larger than a cache. Where consecutive nodes need, for some channels or some
rows of what they make, only the same channels or rows of what they read, they are all run for one
strip before the next one begins; a tensor that nothing else reads has memory for a strip only.
Ops say along what they may be cut (`Op.cuts`). Changes no value but the order of sums.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from cnnc.ir.graph import Graph, Node
from cnnc.ops.layout import Layout, Machine
from cnnc.ops.op import Cut, Gradient, Input, Op
from cnnc.passes.places import Places
from cnnc.passes.segments import Segments

_PAGE = 4096
"""Bytes so far apart whose cache lines meet in one set of the first-level cache."""

_CACHED = 24
"""What a strip's tensors may take together, in sizes of the first-level cache."""


@dataclass(frozen=True, slots=True)
class Strip:
    """`count` turns, each over `size` channels or rows; `number` tells runs apart.

    `local` tensors are made and read within the run only.
    """

    number: int
    cut: Cut
    count: int
    size: int
    local: frozenset[str]

    def layout(self, tensor: str, whole: Layout, *, local: bool = False) -> Layout:
        """A strip of a tensor as kernels see it; not a local one has the whole's strides."""
        if not whole.extents:
            return whole
        if self.cut is Cut.CHANNELS:
            return replace(whole, channels=self.size)
        rows = (self.size, *whole.extents[1:])
        if local or tensor in self.local:
            return replace(whole, extents=rows, gap=0)
        # The rows that are not this strip's count as its halo.
        halo = whole.halo or tuple((0, 0) for _ in whole.extents)
        before, after = halo[0]
        rest = whole.extents[0] - self.size + after
        return replace(whole, extents=rows, halo=((before, rest), *halo[1:]))

    def step(self, tensor: str, whole: Layout) -> int:
        """Elements from one strip of a tensor to the next."""
        if tensor in self.local or not whole.extents:
            return 0
        return self.size * whole.strides()[0 if self.cut is Cut.CHANNELS else 1]

    def part(self, op: Op) -> Op:
        """The op that makes one strip."""
        return op.part(self.size) if self.cut is Cut.CHANNELS else op


def find_strips(
    graph: Graph, places: Places, segments: Segments, machine: Machine
) -> dict[str, Strip]:
    """The strips of every node that has some, by its name."""
    kept = {*graph.losses, *(output.tensor for output in graph.outputs)}
    found: dict[str, Strip] = {}
    for number, run, cut in _all_runs(graph, places, segments):
        names = {node.name for node in run}
        local = frozenset(
            node.name
            for node in run
            if node.name in places.layouts
            and node.name not in kept
            and names.issuperset(reader.name for reader in graph.consumers(node.name))
        )
        size, whole = _size(run, cut, places, machine)
        if size < whole:
            strip = Strip(number, cut, whole // size, size, local)
            found |= dict.fromkeys(names, strip)
    return found


def spread(graph: Graph, places: Places, strips: Mapping[str, Strip], machine: Machine) -> Places:
    """The same with a row between the planes of what is read and kept in strips of rows.

    Planes a multiple of a page apart have the same rows in the same few sets of every cache.
    """
    roots = {
        places.root(name)
        for node in graph.nodes
        if node.name in strips and strips[node.name].cut is Cut.ROWS
        for name in (node.name, *node.inputs, *node.epilogue_inputs)
        if name in places.layouts and name not in strips[node.name].local
    }
    alike: dict[str, set[Layout]] = {}
    for name, layout in places.layouts.items():
        alike.setdefault(places.root(name), set()).add(layout)

    def apart(name: str, layout: Layout) -> Layout:
        root = places.root(name)
        plane = layout.strides()[0] * machine.lanes * 4 if layout.extents else 1
        if root not in roots or len(alike[root]) > 1 or plane % _PAGE or layout.haloed:
            return layout
        return replace(layout, gap=layout.extents[-1])

    return replace(places, layouts={n: apart(n, layout) for n, layout in places.layouts.items()})


def _all_runs(
    graph: Graph, places: Places, segments: Segments
) -> Iterator[tuple[int, Sequence[Node], Cut]]:
    """Runs of two nodes or more in each segment, as long as they get."""
    number = 0
    for segment in range(segments.count):
        nodes = [
            node
            for node in graph.nodes
            if segments.at[node.name] == segment
            and node.name not in segments.once
            and places.computes(node)
            and not isinstance(node.op, Input)
        ]
        start = 0
        while start < len(nodes):
            lengths = {cut: _length(nodes[start:], cut, places, segments.batch) for cut in Cut}
            cut = max(lengths, key=lambda each: lengths[each])
            if lengths[cut] > 1:
                yield number, nodes[start : start + lengths[cut]], cut
                number += 1
            start += max(1, lengths[cut])


def _length(nodes: Sequence[Node], cut: Cut, places: Places, batch: Collection[str]) -> int:
    """How many of the first nodes can be cut alike."""
    common = None
    for count, node in enumerate(nodes):
        extent = _extent(node, cut, places, batch)
        if extent is None or common not in (None, extent):
            return count
        common = extent
    return len(nodes)


def _extent(node: Node, cut: Cut, places: Places, batch: Collection[str]) -> tuple[int, ...] | None:
    """What must be alike of nodes that are cut together; None for one that cannot be cut."""
    for op in (node.op, *node.epilogue):
        of, wrt = (op.of, op.wrt) if isinstance(op, Gradient) else (op, None)
        if isinstance(of, Input) or cut not in of.cuts(wrt):
            return None
    tensors = [name for name in (*node.inputs, *node.epilogue_inputs) if name not in batch]
    if any(name not in places.layouts for name in tensors):
        return None
    if node.name in places.layouts:
        tensors.append(node.name)
    layouts = [places.layouts[name] for name in tensors if not _scalar(places.layouts[name])]
    if any(not layout.extents for layout in layouts):
        return None
    extents = {(x.channels,) if cut is Cut.CHANNELS else x.extents for x in layouts}
    return extents.pop() if len(extents) == 1 else None


def _scalar(layout: Layout) -> bool:
    return layout.size == 1 and not layout.extents


def _size(run: Sequence[Node], cut: Cut, places: Places, machine: Machine) -> tuple[int, int]:
    """Channels or rows of a strip, and of the whole."""
    touched: Mapping[str, Layout] = {
        name: places.layouts[name]
        for node in run
        for name in (node.name, *node.inputs, *node.epilogue_inputs)
        if name in places.layouts and places.layouts[name].extents
    }
    whole = next(iter(touched.values()))
    extent = whole.channels if cut is Cut.CHANNELS else whole.extents[0]
    elements = sum(
        x.size // x.channels if cut is Cut.CHANNELS else x.channels * prod(x.extents[1:])
        for x in touched.values()
    )
    least = 1
    if cut is Cut.ROWS:
        forms = [
            node.op.of.kernel_forms(node.op.wrt, places.of(node), machine)[0]
            for node in run
            if node.name in places.gradient_of and isinstance(node.op, Gradient)
        ]
        positions = max((form.least_positions() for form in forms), default=1)
        least = min(extent, -(-positions // prod(whole.extents[1:])))
    fitting = max(least, _CACHED * machine.level1 // (elements * machine.lanes * 4))
    size = max(n for n in range(1, extent + 1) if extent % n == 0 and n <= fitting)
    return (size if size >= least else extent), extent
