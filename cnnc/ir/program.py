"""The Program: which kernels, in which order, on which memory. Knows nothing of the language.

A block is `target.lanes` samples. It goes through the calls of one segment at a time; segments meet
at a barrier, where what is summed over the batch becomes known. The spaces that operands lie in:

- `work`: a workspace for each thread; offsets count elements of a block. Holds within a segment.
- `kept`: memory for each block, in the same unit, that holds from segment to segment.
- `parameters`, `gradients`: two arenas of floats alike. While blocks go through a segment there are
  several gradient arenas, each the sum over a group of blocks; what follows the segment writes to
  the one that the groups are added up in.
- `parts`: floats for each block, its share of what is summed over the batch.
- `shared`: floats, what came of the parts.
- `number`: no memory, an integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from cnnc.ir.calls import Call, Kernel, Load, Operand
from cnnc.ir.graph import Graph, Training
from cnnc.ir.target import Target
from cnnc.ops.initializers import Initializer
from cnnc.ops.layout import ABREAST, Layout
from cnnc.ops.loss import LossOp
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter's place in the arena, in floats; each starts on a cache line."""

    name: str
    shape: Shape
    offset: int
    initializer: Initializer
    fan_in: int
    fan_out: int
    trained: bool = True


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor's memory, which must hold from call `first` to call `last`.

    For memory that is kept these are segments. A `pinned` buffer has a halo, zeroed once: it
    shares memory with such as have theirs at the same place, in any schedule. `also` are tensors
    that are made in place, each from the one before.
    """

    tensor: str
    layout: Layout
    offset: int
    first: int
    last: int
    pinned: bool = False
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors that lie there, in the order of time."""
        return (self.tensor, *self.also)


@dataclass(frozen=True, slots=True)
class Segment:
    """What one block goes through between two barriers, and the calls that follow at the second.

    `losses` are the places of the losses that become known here, each with the name of the share
    that a sample has in the mean.
    """

    loads: tuple[Load, ...]
    calls: tuple[Call, ...]
    finish: tuple[Call, ...]
    losses: tuple[tuple[Operand, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Halves:
    """The first layer of a step, which two threads compute by halves of its inputs.

    `source` is the array that it reads, of so many `inputs`; the `first` of them are one half, the
    others the other. Of a batch of up to `most` blocks, each thread makes the `sums` of its half
    for the other's blocks, before it goes through its own with the `rest`. Its half is the one that
    it changes the weights of, when it has computed its part of `gradient`.
    """

    layer: str
    source: str
    gradient: str
    first: int
    inputs: int
    most: int
    sums: Call
    rest: Call


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a batch goes through: the calls of `prepare` once, then segments.

    `size` is the workspace it needs, in elements of a block, `unplanned` what its tensors would
    take without sharing memory. `kept` holds tensors that a later segment reads; `kept_size` is
    their memory, a block. `cost` is a guess at the nanoseconds that a block takes one thread.
    """

    name: str
    prepare: tuple[Call, ...]
    segments: tuple[Segment, ...]
    buffers: tuple[Buffer, ...]
    size: int
    unplanned: int
    kept: tuple[Buffer, ...] = ()
    kept_size: int = 0
    cost: int = 0
    halves: Halves | None = None

    @property
    def divided(self) -> tuple[Call, ...]:
        """The calls that go through a segment whose work threads can share."""
        return tuple(call for segment in self.segments for call in segment.calls if call.units > 1)

    @property
    def loads(self) -> tuple[Load, ...]:
        """The arrays that it brings in, in the order of the graph's inputs."""
        return tuple(load for segment in self.segments for load in segment.loads)

    @property
    def cold(self) -> bool:
        """Whether a call is told that another core may have what it reads of a parameter."""
        calls = (call for segment in self.segments for call in segment.calls)
        return any(operand.space == "cold" for call in calls for operand in call.operands)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call, in order."""
        parts = (call for s in self.segments for call in (*s.calls, *s.finish))
        return (*self.prepare, *parts)

    def offset(self, tensor: str) -> int:
        """Where a tensor lies in the workspace; KeyError where it has none of that name."""
        for buffer in self.buffers:
            if tensor in buffer.names:
                return buffer.offset
        raise KeyError(tensor)


@dataclass(frozen=True, slots=True)
class Result:
    """An output under the name that the spec gives it; `kernel` hands it back from `offset`."""

    name: str
    shape: Shape
    offset: int
    kernel: str

    @property
    def features(self) -> int:
        """Elements of a sample."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Single:
    """Inference of one sample, whose channels lie in lanes; see cnnc.ops.single.

    `schedule` runs on memory of its own; what it prepares holds until a parameter changes. `most`
    is up to how many samples beyond whole blocks go through it, one by one; as many as there are
    lanes take whole blocks, too; `why` has the reason. `graph` is what it computes. Of its nodes,
    `asked` has what the choices among algorithms were called (cnnc.passes.choice), `planes` those
    whose result lies so (cnnc.ops.single_planes), and `offered` those that could read a result so.
    """

    schedule: Schedule
    results: tuple[Result, ...]
    most: int
    why: str
    graph: Graph
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    planes: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judge:
    """A loss of the training: what the caller passes for it, and the load of a sample's share.

    `classes` is how many labels there are, None where the target is no label.
    """

    output: str
    target: str
    shape: Shape
    """The target's, without the batch axis."""
    share: str
    loss: LossOp
    weight: float
    classes: int | None


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that the renderer needs. `groups` is how many partial gradients are kept.

    `trained` is the part of the arena, from its start, that the optimizer changes, and `summed` the
    part of that whose gradients are summed over groups of blocks: the others are computed once, in
    place. From `pieced` on it is changed tile by tile, as soon as a tile's gradients are computed.
    `shared` and `parts` are the floats of these spaces, the latter a block's.
    """

    name: str
    target: Target
    slots: tuple[Slot, ...]
    arena: int
    results: tuple[Result, ...]
    kernels: tuple[Kernel, ...]
    infer: Schedule
    loss: Schedule | None
    train: Schedule | None
    training: Training | None
    groups: int
    digest: str
    summed: int
    pieced: int
    trained: int
    shared: int = 0
    parts: int = 0
    judges: tuple[Judge, ...] = ()
    single: Single | None = None
    blocks_only: str = ""
    """Why there is no `single`, where there is none."""

    def schedules(self) -> tuple[Schedule, ...]:
        """Those that the program has."""
        return tuple(s for s in (*self.by_blocks(), self.single and self.single.schedule) if s)

    def by_blocks(self) -> tuple[Schedule, ...]:
        """Those that go through blocks of samples."""
        return tuple(s for s in (self.infer, self.loss, self.train) if s is not None)

    def alone(self, samples: int) -> int:
        """How many of so many samples inference takes one by one: the last."""
        if self.single is None:
            return 0
        if self.single.most >= self.target.lanes:
            return samples
        rest = samples % self.target.lanes
        return rest if rest <= self.single.most else 0

    @property
    def ending(self) -> tuple[Call, ...]:
        """What computes the gradients of the arena from `pieced` on, when all else is done."""
        if self.train is None:
            return ()
        last = self.train.segments[-1].finish
        return tuple(
            call
            for call in last
            if self.kernel(call.kernel).form.piece_sizes()
            and call.operands[-1].offset >= self.pieced
        )

    def kernel(self, name: str) -> Kernel:
        """The kernel of that name; KeyError where there is none."""
        for kernel in self.kernels:
            if kernel.name == name:
                return kernel
        raise KeyError(name)

    @property
    def asked(self) -> set[str]:
        """What the choices are called that it consists of; see cnnc.passes.choice."""
        single = () if self.single is None else self.single.asked.values()
        return {key for kernel in self.kernels for key in kernel.asked}.union(*single)

    @property
    def abreast(self) -> int:
        """How many blocks a thread has side by side, at most."""
        calls = (call for schedule in self.by_blocks() for call in schedule.calls)
        return ABREAST if any(call.abreast for call in calls) else 1

    @property
    def moves(self) -> bool:
        """Whether a step stores what it keeps past the caches, where these would not hold it."""
        return any("beyond" in kernel.pointers() for kernel in self.kernels)

    @property
    def workspace(self) -> int:
        """Elements of a block that every thread's workspace holds."""
        return max(schedule.size for schedule in self.by_blocks())
