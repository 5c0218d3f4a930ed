"""Graph -> Program: layouts, segments, lifetimes, kernels and the order of their calls.

Ties together what the modules beside it decide: room and places (layouts), segments, workspace
(memory), kernels (functions that equal nodes share) and calls. Does not write any text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from cnnc.ir.calls import Kernel
from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ir.program import Judge, Program, Result, Schedule, Single, Slot
from cnnc.ir.target import Target
from cnnc.ops.input import output_store
from cnnc.ops.layout import Prepared
from cnnc.ops.single_copies import single_store
from cnnc.passes.alone import samples_alone
from cnnc.passes.calls import Caller
from cnnc.passes.choice import Choice, best_guess
from cnnc.passes.cost import DIVIDED_FROM, block_cost
from cnnc.passes.half_calls import half_calls
from cnnc.passes.halves import find_halved, half_of, halved_in
from cnnc.passes.in_place import find_in_place
from cnnc.passes.kernels import Kernels
from cnnc.passes.memory import Lifetime
from cnnc.passes.pins import Pins
from cnnc.passes.pooled import pool_as_made
from cnnc.passes.room import LINE, Room, make_room, on_line, parts_end, shared_end
from cnnc.passes.segments import BEFORE
from cnnc.passes.single import NotSingleError, one_sample
from cnnc.passes.workspace import Lives, Step, find_lives, lay_out

_GRADIENT_MEMORY = 256 * 1024 * 1024
"""Bytes that all partial gradients together may take, before there are fewer of them."""

_MOST_GROUPS = 16


def plan(
    graph: Graph,
    target: Target,
    choose: Choice = best_guess,
    alone: int | None = None,
    divided_from: float = DIVIDED_FROM,
) -> Program:
    """Lay out a fused graph for a target; `choose` takes a kernel's form.

    Up to `alone` samples go one by one in inference, from `target.lanes` on whole blocks, too; None
    leaves it to the cost model. Threads share those of their calls that take as many nanoseconds as
    `divided_from`.
    """
    main = make_room(pool_as_made(graph, target), 0, target)
    step = make_room(graph.step, shared_end(main), target, trains=True) if graph.step else None
    if step:
        # Inference has the same sums.
        halved = find_halved(step, target)
        main, step = replace(main, halved=halved), replace(step, halved=halved)
    slots, ends = _arena(graph, step)
    parts = parts_end(step) if step else 0
    planner = _Planner({slot.name: slot for slot in slots}, parts, Kernels(target, choose))
    wanted: list[tuple[str, Room, set[str]]] = [
        ("infer", main, {output.tensor for output in main.graph.outputs})
    ]
    if step:
        wanted.append(("loss", main, set(graph.losses)))
        wanted.append(("train", step, planner.results_of_step(step)))
    orders = [(name, planner.order(room, tensors)) for name, room, tensors in wanted]
    # A halo's zeros stay in all schedules: once all are known, no schedule puts anything else
    # where another has them.
    for _, order in orders:
        planner.pins.take(order.lives.local)
    planner.shared = max([0, *(shared_end(room) for room in (main, step) if room)])
    schedules = [planner.schedule(name, order) for name, order in orders]
    results = planner.results(main, schedules[0])
    top = planner.shared
    single, why = _single(graph, main.graph, planner, schedules[0], top, alone, divided_from)
    infer, loss, train = [*schedules, None, None][:3]
    if infer is None:
        raise TypeError("a program infers")
    return Program(
        graph.name,
        target,
        slots,
        ends.arena,
        results,
        tuple(planner.kernels.known.values()),
        infer,
        loss,
        train,
        graph.training,
        max(1, min(_MOST_GROUPS, _GRADIENT_MEMORY // max(1, 4 * ends.summed))),
        graph.digest,
        ends.summed,
        ends.pieced,
        ends.trained,
        top if single is None else single[1],
        parts,
        _judges(graph),
        single[0] if single else None,
        why,
    )


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where the parts of the arena end; see Program."""

    summed: int
    pieced: int
    trained: int
    arena: int


def _arena(graph: Graph, step: Room | None) -> tuple[tuple[Slot, ...], _Ends]:
    """Every parameter's slot, and where four parts of the arena end.

    First lie those whose gradients are summed over groups of blocks, then those whose gradient is
    computed once, with those that are computed when all else is done behind the others, last those
    that are not trained. Slots are in the graph's order, those that are trained first.
    """
    order = sorted(graph.parameters, key=lambda p: not p.trained)
    direct, ending = (step.direct, step.ending) if step else (frozenset[str](), frozenset[str]())
    offsets: dict[str, int] = {}
    ends, top = [], 0
    for part in (
        [p for p in order if p.trained and p.name not in direct],
        [p for p in order if p.trained and p.name in direct - ending],
        [p for p in order if p.trained and p.name in ending],
        [p for p in order if not p.trained],
    ):
        for p in part:
            offsets[p.name] = top
            top += on_line(prod(p.shape))
        ends.append(top)
    slots = tuple(
        Slot(p.name, p.shape, offsets[p.name], p.initializer, p.fan_in, p.fan_out, p.trained)
        for p in order
    )
    return slots, _Ends(*ends)


def _single(
    graph: Graph,
    by_blocks: Graph,
    planner: _Planner,
    blocks: Schedule,
    shared_from: int,
    most: int | None,
    divided_from: float,
) -> tuple[tuple[Single, int] | None, str]:
    """The schedule of one sample and the end of its shared floats, or why there is none."""
    target = planner.kernels.target
    if most == 0:
        return None, "a block takes less time than a sample alone"
    try:
        taken = one_sample(graph, target, planner.kernels.choose)
    except NotSingleError as error:
        return None, str(error)
    lowered = taken.graph
    room = make_room(lowered, shared_from, target, "_single", divided_from)
    room = replace(room, why=taken.why)
    alone = _Planner(planner.slots, 0, planner.kernels)
    order = alone.order(room, {output.tensor for output in lowered.outputs})
    alone.pins.take(order.lives.local)
    schedule = alone.schedule("single", order)
    results = []
    for output, was in zip(lowered.outputs, graph.outputs, strict=True):
        node, shape = lowered.node(output.tensor), graph.node(was.tensor).shape
        form = single_store(shape[0], room.places.layouts[output.tensor], target.lanes)
        plain = replace(node, epilogue=(), epilogue_inputs=())
        kernel = planner.kernels.share(f"{output.name}_store_single", form, plain, room)
        offset = schedule.offset(room.places.root(output.tensor))
        results.append(Result(output.name, shape, offset, kernel.name))
    why = "as was asked for or measured"
    if most is None:
        forms = planner.kernels.forms
        most, why = samples_alone(by_blocks, forms(blocks), lowered, forms(schedule), target)
    most = min(most, target.lanes)
    # Registers of a few channels are read whole, up to a line beyond the last number.
    end = max(shared_from, shared_end(room)) + LINE
    single = Single(
        schedule, tuple(results), most, why, lowered, taken.asked, taken.planes, taken.offered
    )
    return (single, end), ""


def _judges(graph: Graph) -> tuple[Judge, ...]:
    if graph.training is None:
        return ()
    found = []
    each = zip(graph.training.losses, graph.losses, graph.shares, strict=True)
    for judge, name, share in each:
        output, target = (graph.node(read) for read in graph.node(name).inputs)
        classes = judge.loss.classes(output.shape)
        found.append(
            Judge(judge.output, target.name, target.shape, share, judge.loss, judge.weight, classes)
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Order:
    """What a schedule computes, in order; `steps` are the nodes that run for each block."""

    room: Room
    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    lives: Lives


@dataclass(slots=True)
class _Planner:
    """Makes schedules that share kernels and the places of halos. `parts` are a block's floats."""

    slots: dict[str, Slot]
    parts: int
    kernels: Kernels
    pins: Pins = field(default_factory=Pins)
    shared: int = 0
    """Where the floats end that the rooms and what is prepared share."""
    prepared: dict[tuple[str, Prepared], int] = field(default_factory=dict)
    """Where what is prepared of a weight lies, by the weight's name."""

    def results_of_step(self, room: Room) -> set[str]:
        """What a training step is for: losses, gradients and statistics."""
        statistics = {
            node.name
            for node in room.graph.nodes
            if any(not self.slots[name].trained for name in node.parameters)
        }
        gradients = {name for _, name in room.graph.gradients}
        return statistics | gradients | set(room.graph.losses)

    def order(self, room: Room, wanted: Collection[str]) -> _Order:
        """The nodes that the wanted tensors need, segment by segment."""
        at = room.segments.at
        nodes = [node for node in room.graph.needed(wanted) if room.places.computes(node)]
        beside = self.beside(room, nodes)
        nodes = [node for node in nodes if node.name not in beside]
        nodes.sort(key=lambda node: at[node.name])
        after = room.segments.once | room.late
        steps = tuple(Step(n, at[n.name]) for n in nodes if n.name not in after)
        late = tuple(Step(n, at[n.name]) for n in nodes if n.name in room.late)
        ends = {output.tensor for output in room.graph.outputs} | set(room.graph.losses)
        in_place = find_in_place(steps, room, self.kernels.form, ends, late)
        lives = find_lives(steps, room, ends, late).in_place(in_place)
        return _Order(room, tuple(nodes), steps, lives)

    def beside(self, room: Room, nodes: Sequence[Node]) -> set[str]:
        """The biases' gradients that the kernels of the weights' gradients make as well."""
        weights = [node for node in nodes if node.name in room.biases]
        return {room.biases[n.name] for n in weights if self.kernels.form(n, room).makes_bias()}

    def schedule(self, name: str, order: _Order) -> Schedule:
        """The calls of ordered nodes, with memory for what they make."""
        scratch = {}
        tallied = self.tallied(order)
        for index, step in enumerate(order.steps):
            kernel = None if step.node.name in tallied else self.kernel(step, order)
            if kernel is not None and (size := kernel.form.scratch()):
                scratch[step.node.name] = (index, size)
        memory = lay_out(self.lives(order), scratch, self.pins)
        windows, trains = self.windows(order), name == "train"
        caller = Caller(self.kernels, self.slots, self.parts, order.room, memory, trains, windows)
        last = max((order.room.segments.at[node.name] for node in order.nodes), default=0)
        return Schedule(
            name,
            (*caller.calls_at(BEFORE, order.nodes), *caller.preparations(order.nodes)),
            tuple(caller.segment(number, order.nodes) for number in range(last + 1)),
            memory.buffers,
            memory.size,
            memory.unplanned,
            memory.kept,
            memory.kept_size,
            block_cost(order.nodes, order.room, self.kernels.target),
            half_calls(caller),
        )

    def kernel(self, step: Step, order: _Order) -> Kernel | None:
        """The kernel of a step."""
        return self.kernels.of(step.node, order.room)

    def tallied(self, order: _Order) -> dict[str, str]:
        """The sums that are added up as what they are over is stored, and the node that does."""
        moves = order.room.moves
        makers = (step for step in order.steps if step.node.name in moves)
        kernels = ((step.node.name, self.kernel(step, order)) for step in makers)
        return {moves[name]: name for name, kernel in kernels if kernel and kernel.form.tallies()}

    def lives(self, order: _Order) -> Lives:
        """The memory that the steps need: none on its way for what a kernel adds up itself."""
        tallied = {f"{name} on its way" for name in self.tallied(order).values()}
        local = tuple(life for life in order.lives.local if life.tensor not in tallied)
        kept = order.lives.kept
        for node in halved_in(order.room, self.kernels):
            kept += (Lifetime(half_of(node.name), order.room.whole(node.name), 0, 0),)
        return replace(order.lives, local=local, kept=kept)

    def windows(self, order: _Order) -> dict[str, int]:
        """Where what kernels have prepared of their weights begins, by the node's name."""
        found = {}
        tallied = self.tallied(order)
        for node in (step.node for step in order.steps if step.node.name not in tallied):
            kernel = self.kernels.of(node, order.room)
            prepared = kernel.form.prepared() if kernel else None
            if prepared is None:
                continue
            key = operand_names(node)["weight"], prepared
            if key not in self.prepared:
                self.prepared[key] = self.shared
                self.shared += on_line(prepared.floats)
            found[node.name] = self.prepared[key]
        return found

    def results(self, room: Room, infer: Schedule | None) -> tuple[Result, ...]:
        """The outputs, each with the kernel that hands it back."""
        found = []
        for output in room.graph.outputs:
            node = room.graph.node(output.tensor)
            form = output_store(room.places.layouts[output.tensor], self.kernels.target)
            plain = replace(node, epilogue=(), epilogue_inputs=())
            kernel = self.kernels.share(f"{output.name}_store", form, plain, room)
            offset = infer.offset(room.places.root(output.tensor)) if infer else 0
            found.append(Result(output.name, node.shape, offset, kernel.name))
        return tuple(found)
