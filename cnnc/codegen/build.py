"""Generated Cython text -> an extension module on disk, through the cache, and into the process.

Does not look at the text: what it computes, and for which target, is the caller's business.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cnnc.codegen.cache import Cache, explain, make_key
from cnnc.codegen.files import appearing
from cnnc.codegen.toolchain import (
    Compiler,
    check_target,
    fail,
    find_compiler,
    native_target,
    python_include,
)
from cnnc.ir.target import Target
from cnnc.resources import cache_directory

LOG_LINES = 12
"""How much of a failed compiler's log a diagnostic carries; the file has it all."""

EXTENSION_SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX") or ".so"

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


@dataclass(frozen=True, slots=True)
class Built:
    """Where a build's files are. `cached` says that nothing had to be compiled.

    `loadable` is the cache's copy of the extension. Load this one: its path never comes to hold
    other contents, while a process that loads a replaced file again is handed the old one.
    """

    extension: Path
    pyx: Path
    stub: Path
    cached: bool
    loadable: Path


_WRAPPER = "/* Python wrapper */"
"""What Cython writes before the first function that Python calls; the kernels stand before it."""

_UNOPTIMIZED = """#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize ("O0")
#endif
"""


def build(
    name: str,
    source: str,
    stub: str,
    target: Target,
    output: Path | None = None,
    on_compile: Callable[[str], None] | None = None,
) -> Built:
    """Compile the Cython text of module `name`, unless the cache has it.

    The three files go to the directory `output`, which is made; None leaves them in the cache.
    `on_compile` is told the name before the compilers start, which take their time. Raises
    CompileError for whatever the machine lacks or refuses.
    """
    if output is not None:
        _check_output(output)
    compiler = find_compiler()
    check_target(compiler, target)
    flags = compiler.flags(target)
    key = make_key(
        name,
        source,
        stub,
        _version("cnnc"),
        _version("cython"),
        compiler.identity,
        "\0".join(flags),
        _UNOPTIMIZED,
        EXTENSION_SUFFIX,
        platform.python_version(),
    )
    cache = Cache(cache_directory())

    def fill(directory: Path) -> None:
        if on_compile is not None:
            on_compile(name)
        _compile(name, source, stub, compiler, flags, directory, cache)

    while True:
        entry, cached = cache.find_or_fill(key, fill)
        files = [entry / f"{name}{suffix}" for suffix in (".pyx", ".pyi", EXTENSION_SUFFIX)]
        placed = files if output is None else _place(files, output)
        if placed is not None:
            pyx, pyi, extension = placed
            return Built(extension, pyx, pyi, cached, files[-1])


def load_extension(name: str, path: Path) -> ModuleType:
    """Import the extension module `name` from its file; sys.path and sys.modules stay as they are.

    Raises ImportError where the file is not such a module.
    """
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise ImportError(f"{path} is no extension module", name=name, path=str(path))
    before = sys.modules.get(name)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    # Cython's modules enter themselves, and would hide another module of that name ever after.
    if before is None:
        sys.modules.pop(name, None)
    return module


def _version(distribution: str) -> str:
    # Asked of the installed files: to import Cython takes longer than a build from the cache.
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def check_runs_here(target: Target) -> None:
    """CompileError where this machine lacks the instructions of `target`."""
    host = native_target()
    if host.machine != target.machine or host.lanes < target.lanes:
        fail(
            "build-target",
            f"this machine cannot run code for {target.name}: it is a machine for {host.name}",
            help=f"build for it, or without a target: --target {host.name}",
        )


def _compile(
    name: str,
    source: str,
    stub: str,
    compiler: Compiler,
    flags: Sequence[str],
    directory: Path,
    cache: Cache,
) -> None:
    """Fill `directory` with the extension and its sources."""
    includes = [f"-I{path}" for path in python_include()]
    (directory / f"{name}.pyx").write_text(source, encoding="utf-8")
    (directory / f"{name}.pyi").write_text(stub, encoding="utf-8")
    # In a process of its own Cython's global state is fresh, its messages are ours to show, and the
    # names that it writes into the module are relative: no path of this machine ends there.
    cython = (sys.executable, "-m", "cython", "-3", "--module-name", name, f"{name}.pyx")
    extension = f"{name}{EXTENSION_SUFFIX}"
    cc = (*compiler.command, *flags, *includes, f"{name}.c", "-o", extension, "-lm")
    for what, command in (("Cython", cython), ("the C compiler", cc)):
        status, log = _run(command, directory)
        if status != 0:
            _report(what, name, command, status, log, directory, cache)
        if command is cython:
            _spare_the_class(directory / f"{name}.c")
    (directory / f"{name}.c").unlink()


def _spare_the_class(path: Path) -> None:
    """Have all that follows the kernels compiled without optimization.

    Cython's C for the class around them is most of the text: optimizing it takes longer than the
    kernels of a small network do, and saves a microsecond a call.
    """
    text = path.read_text(encoding="utf-8")
    kernels, wrapper, rest = text.partition(_WRAPPER)
    path.write_text(f"{kernels}{_UNOPTIMIZED}{wrapper}{rest}", encoding="utf-8")


def _run(command: Sequence[str], directory: Path) -> tuple[int, str]:
    """Run a compiler in `directory` and give its exit status and messages.

    Whatever interrupts the wait (Ctrl-C) ends the compiler, its children and their files too.
    """
    scratch = directory / "tmp"
    scratch.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}
    try:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            log, _ = process.communicate()
        except BaseException:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    except OSError as error:
        fail("build-failed", f"{command[0]} cannot be run: {explain(error)}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return process.returncode, log


def _report(
    what: str,
    name: str,
    command: Sequence[str],
    status: int,
    log: str,
    directory: Path,
    cache: Cache,
) -> None:
    """Raise the CompileError that a compiler's failure deserves, keeping what it was given."""
    code, help = "build-failed", None
    for text, its_code, its_help in LOG_HINTS:
        if text in log:
            code, help = its_code, its_help
            break
    notes = [line[:300] for line in log.strip().splitlines()[:LOG_LINES]]
    if status < 0:
        code, ending = "build-killed", f"was ended by signal {-status}"
        help = help or "if the machine ran out of memory, close other programs and try again"
    else:
        ending = f"failed with exit status {status}"
    with contextlib.suppress(OSError):
        (directory / "log.txt").write_text(f"{' '.join(command)}\n{log}", encoding="utf-8")
        kept = cache.keep_failed(name, directory)
        notes.append(f"the source and the whole log are kept in {kept}")
    fail(code, f"{what} {ending} on {name}", notes=notes, help=help)


def _check_output(output: Path) -> None:
    """Refuse before the build what would be refused after it."""
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
