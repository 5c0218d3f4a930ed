"""How a compiler failed -> the diagnostic that it deserves. Keeps what the compiler was given."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NoReturn

from cnnc.codegen.cache import Cache
from cnnc.codegen.commands import Failure
from cnnc.codegen.toolchain import fail

LOG_LINES = 12
"""How much of a failed compiler's log a diagnostic carries; the file has it all."""

TOO_OLD = "the compiler is too old for this target: GCC 11 and clang 12 know them all"

LOG_HINTS: tuple[tuple[str, str, str], ...] = (
    (
        "No space left on device",
        "build-cache",
        "free some space, or name another directory in CNNC_CACHE_DIR (and TMPDIR)",
    ),
    (
        "Killed",
        "build-killed",
        "the machine ran out of memory: close other programs, or build on a larger one",
    ),
    ("for '-march='", "build-failed", TOO_OLD),
    ("unknown target CPU", "build-failed", TOO_OLD),
    ("No module named", "build-failed", "install what is missing: pip install cython"),
)
"""Text in a compiler's log -> the code and the help that it deserves."""


def report(failure: Failure, name: str, directory: Path, cache: Cache) -> NoReturn:
    """Raise CompileError for a failed build of module `name`, keeping the files of `directory`."""
    code, help = "build-failed", None
    for text, its_code, its_help in LOG_HINTS:
        if text in failure.log:
            code, help = its_code, its_help
            break
    notes = [line[:300] for line in failure.log.strip().splitlines()[:LOG_LINES]]
    if failure.status < 0:
        code, ending = "build-killed", f"was ended by signal {-failure.status}"
        help = help or "if the machine ran out of memory, close other programs and try again"
    else:
        ending = f"failed with exit status {failure.status}"
    with contextlib.suppress(OSError):
        text = f"{' '.join(failure.command.words)}\n{failure.log}"
        (directory / "log.txt").write_text(text, encoding="utf-8")
        kept = cache.keep_failed(name, directory)
        notes.append(f"the source and the whole log are kept in {kept}")
    fail(code, f"{failure.command.what} {ending} on {name}", notes=notes, help=help)
