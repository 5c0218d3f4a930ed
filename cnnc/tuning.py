"""What was measured of a model's kernels, as a small JSON file: a build can be repeated from it.

A Tuning has an Outcome for each target that was measured. That names each kernel by its op, shapes
and direction, so that it holds for the same kernels of a changed spec; what it does not know is
left to the cost model, and `cnnc emit program` says so. Measures nothing itself: see
cnnc.measure.tune.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from cnnc.codegen.files import write_file
from cnnc.diagnostics import CompileError, Diagnostic
from cnnc.ir.program import Program
from cnnc.ir.target import TARGETS, Target
from cnnc.passes.choice import LEAST_GAIN, Asked, Choice, Chosen, Measured, by_measurement
from cnnc.version import __version__

__all__ = [
    "LEAST_GAIN",
    "Asked",
    "Choice",
    "Chosen",
    "Measured",
    "Outcome",
    "Tuning",
    "by_measurement",
    "read_tuning",
    "write_tuning",
]

FORMAT = "cnnc tuning 2"
_DAMAGED, _AGAIN = "is no tuning file", "measure again: --tune"

LARGEST_FILE = 64 * 2**20
"""Bytes; a file of more is none of ours."""


class _DamagedError(Exception):
    """Why a file is no tuning, in words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a measurement of one target says, by the keys of kernels (cnnc.passes.choice.Asked).

    alone: by a network's digest, up to how many samples take less time one by one than as a block.
    """

    kernels: Mapping[str, Measured] = field(default_factory=dict)
    alone: Mapping[str, int] = field(default_factory=dict)

    def choose(self) -> Choice:
        """The choice that it makes."""
        return by_measurement(self.kernels)

    def entries(self) -> dict[str, Any]:
        """As JSON values."""
        kernels = {
            key: {"choice": each.choice, "seconds": _rounded(each.seconds)}
            for key, each in sorted(self.kernels.items())
        }
        return {"samples_alone": dict(sorted(self.alone.items())), "kernels": kernels}


@dataclass(frozen=True, slots=True)
class Tuning:
    """The outcome of a measurement for each target, by its name.

    machine: what it was measured on, in words. name: of the file, for messages.
    """

    model: str
    targets: Mapping[str, Outcome]
    machine: Mapping[str, str] = field(default_factory=dict)
    name: str = "the tuning"

    def of(self, target: Target) -> Outcome | None:
        """What it says of a target; None where that was not measured."""
        return self.targets.get(target.name)

    def warnings(self, targets: Iterable[Target]) -> tuple[Diagnostic, ...]:
        """What to tell whoever builds these targets from it: of which it knows nothing."""
        found = [
            f"{target.name} is not tuned, its kernels are the cost model's: {self._why_not(target)}"
            for target in targets
            if target.name not in self.targets
        ]
        version = self.machine.get("cnnc", __version__)
        if version != __version__:
            found.append(
                f"{self.name} is of cnnc {version}, and this is {__version__}: candidates of the "
                "same names may be other loops"
            )
        return tuple(
            Diagnostic("tuning-file", message, None, severity="warning") for message in found
        )

    def _why_not(self, target: Target) -> str:
        capable = TARGETS.get(self.machine.get("capable_of", ""))
        if capable is not None and not target.runs_on(capable):
            return f"a machine for {capable.name}, where this was measured, cannot run it"
        return f"{self.name} has {', '.join(self.targets)}"

    def check_targets(self, targets: Iterable[Target]) -> None:
        """CompileError where it is for none of these targets."""
        names = [target.name for target in targets]
        if not self.targets.keys() & set(names):
            _refuse(
                self.name,
                f"measured for {', '.join(self.targets)}, and this build is for {', '.join(names)}",
                f"build for it: --target {','.join(self.targets)}",
            )

    def check_program(self, program: Program) -> None:
        """CompileError where it has this program's target, and nothing at all of the program."""
        outcome = self.of(program.target)
        if outcome is None or not (outcome.kernels or outcome.alone):
            return
        if not program.asked & outcome.kernels.keys() and program.digest not in outcome.alone:
            _refuse(
                self.name,
                f"measured for {self.model}, of which {program.name} has no kernel",
                "measure this model: --tune",
            )

    def text(self) -> str:
        """As JSON, the same for equal tunings."""
        entries = {
            "format": FORMAT,
            "model": self.model,
            "machine": dict(self.machine),
            "targets": {name: each.entries() for name, each in self.targets.items()},
        }
        return json.dumps(entries, indent=1) + "\n"


def write_tuning(tuning: Tuning, path: Path) -> None:
    """Write the file, which appears whole or not at all; OSError where it cannot be."""
    write_file(path, tuning.text().encode())


def read_tuning(path: str | Path) -> Tuning:
    """The tuning of a file; CompileError where it cannot be read or is not one."""
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        _refuse(name, error.strerror or str(error), verb="cannot be read")
    if len(data) > LARGEST_FILE:
        _refuse(name, "it is too large", verb=_DAMAGED)
    try:
        return _parse(json.loads(data), name)
    except _DamagedError as error:
        _refuse(name, str(error), _AGAIN, _DAMAGED)
    except (ValueError, OverflowError, RecursionError):
        _refuse(name, "it is no JSON of ours", _AGAIN, _DAMAGED)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    """To the digits that mean something."""
    return {name: float(f"{each:.4g}") for name, each in seconds.items()}


def _parse(entries: Any, name: str) -> Tuning:
    """The tuning that JSON values stand for; _DamagedError where they are none."""
    top = _mapping(entries, "the file")
    if top.get("format") != FORMAT:
        raise _DamagedError(f'its format is {top.get("format")!r:.60}, expected "{FORMAT}"')
    model = top.get("model")
    if not isinstance(model, str):
        raise _DamagedError(f"model is {model!r:.60}, expected a name")
    machine = {key: str(v) for key, v in _mapping(top.get("machine"), "machine").items()}
    targets = _mapping(top.get("targets"), "targets")
    if not targets:
        raise _DamagedError("it has no target")
    for target in targets:
        if target not in TARGETS:
            raise _DamagedError(f"target {target!r:.60} is none of {', '.join(TARGETS)}")
    # In the order that builds have them, whoever wrote the file.
    outcomes = {t.name: _outcome(targets[t.name], t) for t in TARGETS.values() if t.name in targets}
    return Tuning(model, outcomes, machine, name)


def _outcome(value: Any, target: Target) -> Outcome:
    entries = _mapping(value, f"target {target.name}")
    alone = _mapping(entries.get("samples_alone"), "samples_alone")
    for count in alone.values():
        if type(count) is not int or not 0 <= count <= target.lanes:
            raise _DamagedError(f"samples_alone has {count!r:.60}, expected 0 to a block's samples")
    kernels = _mapping(entries.get("kernels"), "kernels")
    return Outcome({key: _measured(each, key) for key, each in kernels.items()}, alone)


def _measured(value: Any, key: str) -> Measured:
    entries = _mapping(value, f"kernel {key:.60}")
    choice = entries.get("choice")
    seconds = _mapping(entries.get("seconds"), f"seconds of kernel {key:.60}")
    if not isinstance(choice, str):
        raise _DamagedError(f"kernel {key:.60} has no choice")
    for each in seconds.values():
        number = isinstance(each, int | float) and not isinstance(each, bool)
        if not number or not math.isfinite(each) or each < 0:
            raise _DamagedError(f"kernel {key:.60} took {each!r:.60}, expected seconds")
    return Measured(choice, seconds)


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _DamagedError(f"{what} is no JSON object")
    return value


def _refuse(
    name: str, reason: str, help: str | None = None, verb: str = "does not fit"
) -> NoReturn:
    message = f"{name} {verb}: {reason}"
    raise CompileError([Diagnostic("tuning-file", message, None, help=help, file=name)])
