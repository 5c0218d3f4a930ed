"""An entry of the cache -> a module's files where the caller wants them.

Builds nothing: see build.py.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnc.codegen.cache import Cache, explain
from cnnc.codegen.dispatch import part_name
from cnnc.codegen.files import appearing
from cnnc.codegen.toolchain import fail
from cnnc.ir.target import Target
from cnnc.resources import cache_directory


@dataclass(frozen=True, slots=True)
class Built:
    """Where a build's files are. `cached` says that nothing had to be compiled.

    `sources` are the .pyx of each target, the most capable first. `loadable` is the cache's copy of
    the extension. Load this one: its path never comes to hold other contents, while a process that
    loads a replaced file again is handed the old one. `key` is that of the cache's entry, by which
    `find_built` finds it again.
    """

    extension: Path
    sources: tuple[Path, ...]
    stub: Path
    cached: bool
    loadable: Path
    key: str

    @property
    def pyx(self) -> Path:
        """The source of the most capable target."""
        return self.sources[0]


def find_built(
    key: str, name: str, targets: Sequence[Target], suffix: str, output: Path | None = None
) -> Built | None:
    """What `build_targets` gave a cache entry of that key; None where the cache lacks it now.

    `targets` are the module's, `suffix` is what its Python's extension modules end with. Raises
    CompileError where the files cannot be left in `output`.
    """
    if output is not None:
        check_output(output)
    entry = Cache(cache_directory()).find(key)
    names = file_names(name, targets, suffix)
    if entry is None or not all((entry / each).exists() for each in names):
        return None
    return deliver(entry, names, output, cached=True)


def file_names(name: str, targets: Sequence[Target], suffix: str) -> list[str]:
    """What a module's files are called: the extension, its stub, the source of each target."""
    sources = [f"{part_name(name, target, targets)}.pyx" for target in targets]
    return [f"{name}{suffix}", f"{name}.pyi", *sources]


def deliver(
    entry: Path, names: Sequence[str], output: Path | None, *, cached: bool
) -> Built | None:
    """An entry's files where the caller wants them; None where the cache lacks one meanwhile."""
    files = [entry / name for name in names]
    placed = files if output is None else _place(files, output)
    if placed is None:
        return None
    extension, pyi, *pyx = placed
    return Built(extension, tuple(pyx), pyi, cached, files[0], entry.name)


def check_output(output: Path) -> None:
    """CompileError before a build for what would be refused after it."""
    with contextlib.suppress(OSError):  # which the writing will meet again
        place = next(path for path in (output, *output.parents) if path.exists())
        if not place.is_dir():
            help = "name another directory with --output"
            fail("build-output", f"{place} is not a directory", help=help)


def _place(files: Sequence[Path], output: Path) -> list[Path] | None:
    """Copy the files, each appearing whole; None where the cache's were deleted meanwhile."""
    placed = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for file in files:
            placed.append(output / file.name)
            _copy(file, placed[-1])
    except OSError as error:
        if not all(file.exists() for file in files):
            return None
        fail(
            "build-output",
            f"cannot write {error.filename2 or error.filename or output}: {explain(error)}",
            help="name another directory with --output",
        )
    return placed


def _copy(file: Path, destination: Path) -> None:
    # Renamed into place: to write into an extension that a process has loaded would crash it.
    with appearing(destination) as temporary:
        shutil.copy(file, temporary)
