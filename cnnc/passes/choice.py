"""Several forms of a kernel -> the one that is generated.

Ops say which there are (`Op.kernel_forms`), what should be fastest first; a Choice takes one. More
candidates come of the same cost models, asked for another register file or cache than the target's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

from cnnc.ir.target import Target
from cnnc.ir.text import between, format_value
from cnnc.ops.layout import Counted, Form, Layout, Layouts
from cnnc.ops.op import Op

ALGORITHMS = ("direct", "matmul", "winograd", "winograd4", "winograd1d", "columns")
"""Every `Form.ALGORITHM` that there is."""

_WAYS = 4
"""Of several algorithms that want different operands, so many are candidates: the best guesses."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The kernel whose form is asked for: a direction of an op over these layouts.

    `ways` are other ops that compute the same, each over its own layouts. Which of them is taken
    decides what the program consists of; with which tiles is asked of each by itself. `planes` says
    that the input lies so: the direct sum reads it as it is, the others a copy in lanes. `trains`
    says that it is a kernel of a training step, for which forms that round more are no candidates.
    """

    op: Op
    wrt: str | None
    layouts: Layouts
    target: Target
    ways: tuple[tuple[Op, Layouts], ...] = ()
    planes: bool = False
    trains: bool = False

    @property
    def key(self) -> str:
        """A text that kernels share if and only if they have the same candidates."""
        named = sorted(self.layouts.items())
        layouts = "; ".join(f"{name} {_layout(lies)}" for name, lies in named)
        direction = f"{self.wrt} gradient" if self.wrt else "forward"
        if self.ways:
            direction = f"by {', '.join(sorted(self.candidates()))}"
            direction += " from planes" if self.planes else ""
        if self.trains and not self.wrt and any(form.COARSE for form in self.forms):
            direction += " in training"
        return f"{format_value(self.op)} {direction}: {layouts}"

    @property
    def forms(self) -> tuple[Form, ...]:
        """Its algorithms, what should be fastest first; what a training step avoids comes last."""
        return tuple(form for _, form in self.counted)

    @property
    def counted(self) -> Counted:
        """The same, each with the cycles that its cost model counts."""
        counted = self.op.counted_forms(self.wrt, self.layouts, self.target)
        for op, layouts in self.ways:
            counted += op.counted_forms(self.wrt, layouts, self.target)
        if self.ways:
            forms = ((form.cycles(), form) for _, form in counted)
            counted = tuple(sorted(forms, key=lambda pair: pair[0]))
        return tuple(sorted(counted, key=lambda p: p[1].COARSE)) if self.trains else counted

    def candidates(self) -> dict[str, Form]:
        """By name, the best guess first: its algorithms, then each with other tiles."""
        found: dict[str, Form] = {}
        if self.ways:
            for form in self.forms:
                found.setdefault(form.candidate(), form)
            return dict(islice(found.items(), _WAYS))
        target = self.target
        fewer, larger = target.registers * 3 // 4, target.level1 * 3 // 2
        sized = {
            "": target,
            f", tiles for {fewer} registers": replace(target, registers=fewer),
            f", tiles for {larger // 1024} KB": replace(target, level1=larger),
        }
        for suffix, machine in sized.items():
            for form in replace(self, target=machine).forms:
                if form not in found.values() and not (self.trains and form.COARSE):
                    found[f"{form.candidate()}{suffix}"] = form
        return found


def _against(ratio: float, other: Form) -> str:
    """How many times as fast, in words."""
    rounds = ", which rounds more than training should" if ratio < 1 and other.COARSE else ""
    return f"{ratio:.2f} x as fast as {other.candidate()}{rounds}"


def _layout(layout: Layout) -> str:
    return f"({', '.join(map(str, (layout.channels, *layout.extents)))}){between(layout)}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A kernel's form, and `why`, where there was a choice."""

    form: Form
    why: str = ""


Choice: TypeAlias = Callable[[Asked], Chosen]
"""Takes one of the forms of a kernel; equal questions must get equal answers."""


def best_guess(asked: Asked) -> Chosen:
    """What the ops' cost models hold for the fastest; no reason where its kind has no rivals."""
    (best, form), *others = asked.counted
    if not others:
        sole = asked.op.sole_form(asked.wrt)
        return Chosen(form, f"{form.ALGORITHM} alone: {sole}" if sole else "")
    ratios = "; ".join(_against(n / best, other) for n, other in others)
    return Chosen(form, f"{form.candidate()}: estimated {ratios}")


def prefer(algorithm: str) -> Choice:
    """Each kernel by this algorithm wherever it has it (`Form.ALGORITHM`).

    ValueError for one that there is not.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {algorithm}; there are {', '.join(ALGORITHMS)}")

    def chosen(asked: Asked) -> Chosen:
        for form in asked.forms:
            if algorithm == form.ALGORITHM:
                return Chosen(form, f"{algorithm}: asked for")
        return best_guess(asked)

    return chosen


LEAST_GAIN = 0.97
"""What another candidate must take of the first one's time, at most, to be taken for faster."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement says of a kernel: the candidate to take; seconds of each, if known."""

    choice: str
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, seconds: Mapping[str, float]) -> Measured:
        """The fastest, or the first, where none gains enough on it."""
        first, *others = seconds
        best = min(others, key=lambda name: seconds[name], default=first)
        return cls(best if seconds[best] < LEAST_GAIN * seconds[first] else first, seconds)

    def why(self) -> str:
        """In words, against the others."""
        mine = self.seconds.get(self.choice)
        others = [(name, s) for name, s in self.seconds.items() if name != self.choice]
        if not mine or not others:
            return f"{self.choice}: taken from the tuning file"
        ratios = "; ".join(f"{s / mine:.2f} x as fast as {name}" for name, s in others)
        return f"{self.choice}: measured {ratios}"


def by_measurement(kernels: Mapping[str, Measured]) -> Choice:
    """What was measured; the best guess, and why, for a kernel of which that says nothing."""

    def chosen(asked: Asked) -> Chosen:
        measured = kernels.get(asked.key)
        if measured is None:
            several = len(asked.candidates()) > 1
            lacks = "by the cost model: not in the tuning file" if several else ""
            guess = best_guess(asked)
            return Chosen(guess.form, "\n".join(filter(None, (lacks, guess.why))))
        form = asked.candidates().get(measured.choice)
        if form is None:
            why = f"by the cost model: the tuning file's {measured.choice} is no candidate"
            return Chosen(asked.forms[0], why)
        return Chosen(form, measured.why())

    return chosen


__all__ = [
    "ALGORITHMS",
    "LEAST_GAIN",
    "Asked",
    "Choice",
    "Chosen",
    "Measured",
    "best_guess",
    "by_measurement",
    "prefer",
]
