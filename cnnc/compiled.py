"""What a compilation leaves: the forms, and the module that was built of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from cnnc.codegen.build import check_runs_here, load_extension
from cnnc.codegen.toolchain import native_target
from cnnc.ir.target import Target

if TYPE_CHECKING:
    from cnnc.ir.graph import Graph
    from cnnc.ir.program import Program


@dataclass(frozen=True, slots=True)
class Lowered:
    """The forms that a module comes from; a program for each target, the most capable first."""

    graph: Graph
    fused: Graph
    programs: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A built extension, its stub and each target's source, and the forms that it came from."""

    name: str
    extension: Path
    sources: tuple[Path, ...]
    stub: Path
    cached: bool
    targets: tuple[Target, ...]
    loadable: Path
    """The cache's copy of the extension, whose contents never change under a running process."""
    lowered: Callable[[], Lowered] = field(repr=False, compare=False)
    """What `graph`, `fused` and `programs` are taken from: the cache may have spared the stages."""

    @property
    def graph(self) -> Graph:
        """What to compute."""
        return self.lowered().graph

    @property
    def fused(self) -> Graph:
        """What `programs` were planned from."""
        return self.lowered().fused

    @property
    def programs(self) -> tuple[Program, ...]:
        """One for each target, the most capable first."""
        return self.lowered().programs

    @property
    def pyx(self) -> Path:
        """The source of the most capable target."""
        return self.sources[0]

    @property
    def target(self) -> Target:
        """The one that is taken on this machine; the most capable where it runs none."""
        host = native_target()
        return next((each for each in self.targets if each.runs_on(host)), self.targets[0])

    @property
    def program(self) -> Program:
        """That of `target`."""
        return next(each for each in self.programs if each.target == self.target)

    def load(self) -> ModuleType:
        """Import the extension; CompileError where this machine can run none of its targets."""
        check_runs_here(*self.targets)
        return load_extension(self.name, self.loadable)
