"""What was measured of a model's kernels, as a small JSON file: a build can be repeated from it.

A Tuning is for one target. It names each kernel by its op, shapes and direction, so that it holds
for the same kernels of a changed spec; what it does not know is left to the cost model, and
`cnnc emit program` says so. Measures nothing itself: see cnnc.measure.tune.
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

__all__ = [
    "LEAST_GAIN",
    "Asked",
    "Choice",
    "Chosen",
    "Measured",
    "Tuning",
    "read_tuning",
    "write_tuning",
]

FORMAT = "cnnc tuning 1"
_DAMAGED, _AGAIN = "is no tuning file", "measure again: --tune"

LARGEST_FILE = 64 * 2**20
"""Bytes; a file of more is none of ours."""


class _DamagedError(Exception):
    """Why a file is no tuning, in words."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The outcome of a measurement, by the keys of kernels (cnnc.passes.choice.Asked).

    machine: what it was measured on, in words. alone: by a network's digest, up to how many samples
    take less time one by one than as a block. name: of the file, for messages.
    """

    target: str
    model: str
    machine: Mapping[str, str] = field(default_factory=dict)
    kernels: Mapping[str, Measured] = field(default_factory=dict)
    alone: Mapping[str, int] = field(default_factory=dict)
    name: str = "the tuning"

    def choose(self) -> Choice:
        """The choice that it makes."""
        return by_measurement(self.kernels)

    def alone_of(self, digest: str) -> int | None:
        """The samples to take one by one, if that was measured of this network."""
        return self.alone.get(digest)

    def check_targets(self, targets: Iterable[Target]) -> None:
        """CompileError where it is for none of these targets."""
        names = [target.name for target in targets]
        if self.target not in names:
            _refuse(
                self.name,
                f"measured for {self.target}, and this build is for {', '.join(names)}",
                f"build for it: --target {self.target}",
            )

    def check_program(self, program: Program) -> None:
        """CompileError where it says nothing at all of this program, which is for its target."""
        if program.target.name != self.target or not (self.kernels or self.alone):
            return
        asked = {key for kernel in program.kernels for key in kernel.asked}
        if not asked & self.kernels.keys() and program.digest not in self.alone:
            _refuse(
                self.name,
                f"measured for {self.model}, of which {program.name} has no kernel",
                "measure this model: --tune",
            )

    def text(self) -> str:
        """As JSON, the same for equal tunings."""
        kernels = {
            key: {"choice": each.choice, "seconds": _rounded(each.seconds)}
            for key, each in sorted(self.kernels.items())
        }
        entries = {
            "format": FORMAT,
            "model": self.model,
            "target": self.target,
            "machine": dict(self.machine),
            "samples_alone": dict(sorted(self.alone.items())),
            "kernels": kernels,
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
    target, model = top.get("target"), top.get("model")
    if not isinstance(target, str) or target not in TARGETS:
        raise _DamagedError(f"target {target!r:.60} is none of {', '.join(TARGETS)}")
    if not isinstance(model, str):
        raise _DamagedError(f"model is {model!r:.60}, expected a name")
    machine = {key: str(v) for key, v in _mapping(top.get("machine"), "machine").items()}
    alone = _mapping(top.get("samples_alone"), "samples_alone")
    for count in alone.values():
        if type(count) is not int or not 0 <= count <= TARGETS[target].lanes:
            raise _DamagedError(f"samples_alone has {count!r:.60}, expected 0 to a block's samples")
    kernels = _mapping(top.get("kernels"), "kernels")
    measured = {key: _measured(value, key) for key, value in kernels.items()}
    return Tuning(target, model, machine, measured, alone, name)


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
