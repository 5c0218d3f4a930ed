"""What was measured on this machine before: a tuning file for each target, in the cache directory.

A memory is one machine's, one compiler's and one version's; it grows with every measurement.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path

from cnnc.codegen.cache import make_key
from cnnc.codegen.toolchain import find_compiler, native_target
from cnnc.diagnostics import CompileError
from cnnc.ir.target import Target
from cnnc.resources import cache_directory
from cnnc.tuning import Outcome, Tuning, read_tuning, write_tuning
from cnnc.version import __version__


def machine_description() -> dict[str, str]:
    """The processor, and what else a measurement depends on."""
    return {
        "processor": _processor(),
        "capable_of": native_target().name,
        "system": platform.system(),
        "compiler": ", ".join(find_compiler().identity.splitlines()[1:]),
        "cnnc": __version__,
    }


def recall(target: Target) -> Outcome:
    """All that is known of this machine; a memory that cannot be read is none."""
    path = _path(target)
    if path.is_file():
        with contextlib.suppress(CompileError):
            return read_tuning(path).of(target) or Outcome()
    return Outcome()


def remember(target: Target, found: Outcome) -> None:
    """Add what was measured. A cache that cannot be written forgets it."""
    path = _path(target)
    with contextlib.suppress(OSError, NotImplementedError), _locked(path):
        known = recall(target)
        every = Outcome({**known.kernels, **found.kernels}, {**known.alone, **found.alone})
        outcomes = {target.name: every}
        write_tuning(Tuning("every model", outcomes, machine_description()), path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock  # slow to import

    path.parent.mkdir(parents=True, exist_ok=True)
    locks = cache_directory() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"tuning-{path.stem}.lock"):
        yield


def _path(target: Target) -> Path:
    key = make_key(target.name, find_compiler().identity, *machine_description().values())
    return cache_directory() / "tuning" / f"{key[:32]}.json"


def _processor() -> str:
    """The processor's name, as the system has it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
