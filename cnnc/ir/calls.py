"""Kernels, and the calls of them: what a program's schedules consist of."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnc.ops.layout import Form, Layout
from cnnc.ops.op import Gradient, Op
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class Kernel:
    """One generated function. `layers` are all the layers whose calls share it.

    `epilogue_layouts` are of what the epilogue reads besides, None for a parameter. `result` is its
    result's layout, where the epilogue asks for the place of what it is applied to.
    """

    name: str
    form: Form
    epilogue: tuple[Op | Gradient, ...]
    epilogue_layouts: tuple[Layout | None, ...]
    layers: tuple[str, ...]
    returns_gradient: bool = False
    returns_floats: bool = False
    """Its result is plain floats, a block's part of what is one for the batch, or that itself."""
    result: Layout | None = None
    asked: tuple[str, ...] = ()
    """What a choice among several forms calls it; see cnnc.passes.choice."""
    why: str = ""
    """Why it has this form, where a measurement or its absence is the reason."""

    def pointers(self) -> tuple[str, ...]:
        """Its operands' names in order; what the epilogue reads stands before the result."""
        *reads, result = self.form.operands()
        extra: list[str] = []
        for i, layout in enumerate(self.epilogue_layouts):
            stepping = self.form.abreast() and layout is not None
            extra += [f"epilogue{i}", f"epilogue{i}_step"] if stepping else [f"epilogue{i}"]
        return (*reads, *extra, result)


_NUMBERS = (
    "number",
    "blocks",
    "samples",
    "update",
    "tile",
    "units",
    "beyond",
    "ending",
    "cold",
    "ahead",
    "NULL",
    "arrays",
    "workspace",
)
"""Spaces of operands that are no tensors."""


@dataclass(frozen=True, slots=True)
class Operand:
    """What a call passes for one pointer: a place in one of the spaces.

    `step` is how far it lies from one strip to the next, where the call is one of a strip.
    """

    pointer: str
    space: str
    name: str
    offset: int
    step: int = 0

    @property
    def is_number(self) -> bool:
        """Whether it is no tensor: an integer, or what a whole batch knows by this name."""
        return self.space in _NUMBERS


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a strip reads of a tensor that is kept: `runs` of so many elements, `stride` apart.

    It begins at `offset`, `step` further from strip to strip and `block` from block to block.
    """

    tensor: str
    offset: int
    step: int
    block: int
    runs: int
    stride: int
    elements: int


@dataclass(frozen=True, slots=True)
class Turns:
    """How often a run of calls is gone through, a strip of the block at a time.

    `by` says along what it is cut. Runs of one segment differ in their `number`. Meanwhile the next
    strip's part of what is `ahead` is asked for, a cache line in every so many loops of kernels.
    """

    number: int
    count: int
    by: str
    ahead: tuple[Ahead, ...] = ()
    every: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel applied; `computes` is the tensor or the parameter gradient that it fills.

    Consecutive calls of the same `turns` are one loop. `adds`: every turn after the first adds to
    what the result holds. One in several `pieces` is as many calls, each for a `tile`, in any
    order; one of several `units` is any number of calls, each for its part of them. `cost` is what
    they take one thread together, in nanoseconds a block. One that goes `abreast` is called once
    for all blocks that a thread has side by side.
    """

    kernel: str
    operands: tuple[Operand, ...]
    computes: str
    turns: Turns | None = None
    adds: bool = False
    pieces: int = 1
    units: int = 1
    cost: int = 0
    abreast: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """A caller's array brought into lanes. `kernels` maps each accepted dtype to its loader.

    A label has none: it is copied lane by lane.
    """

    name: str
    dtype: str
    shape: Shape
    space: str
    offset: int
    kernels: tuple[tuple[str, str], ...]

    @property
    def features(self) -> int:
        """Elements of a sample."""
        return prod(self.shape)
