"""The Program: which kernels, in which order, on which memory. Knows nothing of the language.

A block is `target.lanes` samples. Buffers are slices of a workspace, one workspace a thread;
offsets there count elements of a block. Parameters lie in one arena of floats, gradients in another
of the same layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnc.ir.graph import Training
from cnnc.ir.target import Target
from cnnc.ops.initializers import Initializer
from cnnc.ops.layout import Form, Layout
from cnnc.ops.op import Gradient, Op, Shape


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter's place in the arena, in floats; each starts on a cache line."""

    name: str
    shape: Shape
    offset: int
    initializer: Initializer
    fan_in: int
    fan_out: int


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor's memory. `first` and `last` are the calls between which it must hold.

    A `pinned` buffer has a halo: zeroed once, shared with nothing, at the same place in every
    schedule.
    """

    tensor: str
    layout: Layout
    offset: int
    first: int
    last: int
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Kernel:
    """One generated function. `layers` are all the layers whose calls share it."""

    name: str
    form: Form
    epilogue: tuple[Op | Gradient, ...]
    epilogue_layouts: tuple[Layout, ...]
    layers: tuple[str, ...]
    returns_gradient: bool = False

    def pointers(self) -> tuple[str, ...]:
        """Its operands' names in order; what the epilogue reads stands before the result."""
        *reads, result = self.form.operands()
        extra = tuple(f"epilogue{i}" for i in range(len(self.epilogue_layouts)))
        return (*reads, *extra, result)


@dataclass(frozen=True, slots=True)
class Operand:
    """What a call passes for one pointer: a place in the workspace, the parameters or gradients."""

    pointer: str
    space: str
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel applied; `computes` is the tensor or the parameter gradient that it fills."""

    kernel: str
    operands: tuple[Operand, ...]
    computes: str


@dataclass(frozen=True, slots=True)
class Load:
    """A caller's array brought into lanes. `kernels` maps each accepted dtype to its loader.

    A label has none: it is copied lane by lane.
    """

    name: str
    dtype: str
    shape: Shape
    offset: int
    kernels: tuple[tuple[str, str], ...]

    @property
    def features(self) -> int:
        """Elements of a sample."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What one block goes through. `size` is the workspace it needs, in elements of a block.

    `unplanned` is what its tensors would take without sharing memory.
    """

    name: str
    loads: tuple[Load, ...]
    calls: tuple[Call, ...]
    buffers: tuple[Buffer, ...]
    size: int
    unplanned: int

    def offset(self, tensor: str) -> int:
        """Where a tensor lies; KeyError where the schedule has none of that name."""
        for buffer in self.buffers:
            if buffer.tensor == tensor:
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
class Program:
    """Everything that the renderer needs. `groups` is how many partial gradients are kept."""

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

    def schedules(self) -> tuple[Schedule, ...]:
        """Those that the program has."""
        return tuple(s for s in (self.infer, self.loss, self.train) if s is not None)

    def kernel(self, name: str) -> Kernel:
        """The kernel of that name; KeyError where there is none."""
        for kernel in self.kernels:
            if kernel.name == name:
                return kernel
        raise KeyError(name)

    @property
    def workspace(self) -> int:
        """Elements of a block that every thread's workspace holds."""
        return max(schedule.size for schedule in self.schedules())
