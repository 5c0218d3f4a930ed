"""Generated Cython text -> an extension module on disk, through the cache, and into the process.

Does not look at the text: what it computes, and for which targets, is the caller's business. Where
the files end up is delivery.py's.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from cnnc.codegen.cache import Cache, make_key
from cnnc.codegen.commands import Command, processors, run
from cnnc.codegen.delivery import Built, check_output, deliver, file_names
from cnnc.codegen.dispatch import (
    HEADER,
    dispatcher,
    dispatcher_header,
    keep_apart,
    part_flags,
    part_name,
)
from cnnc.codegen.failures import report
from cnnc.codegen.python import EXTENSION_SUFFIX, Python, find_python
from cnnc.codegen.toolchain import (
    Compiler,
    check_target,
    fail,
    find_compiler,
    host_machine,
    native_target,
)
from cnnc.ir.target import TARGETS, Target
from cnnc.resources import cache_directory

__all__ = [
    "EXTENSION_SUFFIX",
    "Built",
    "build",
    "build_targets",
    "check_runs_here",
    "load_extension",
    "version_of",
]


_WRAPPER = "/* Python wrapper */"
"""What Cython writes before the first function that Python calls; the kernels stand before it."""

_UNOPTIMIZED, _OPTIMIZED, _AS_BEFORE = (
    f"#if defined(__GNUC__) && !defined(__clang__)\n{pragmas}\n#endif\n"
    for pragmas in (
        '#pragma GCC optimize ("O0")',
        "#pragma GCC push_options\n#pragma GCC reset_options",
        "#pragma GCC pop_options",
    )
)

_IN_EVERY_CALL = re.compile(
    r"""^static\ [^\n;]*\b(?:
        __pyx_(?:f|tp_new|tp_dealloc)_\w+              # functions that only C calls, and objects
        | __pyx_p[wf]_\w+(?:__call__|train_step|__dealloc__)
        | __Pyx_PyObject_FastCallDict | __Pyx_PyObject_GetAttrStr
    )\([^\n]*\)\ \{$.*?^\}\n""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
"""The functions of the wrapper in Cython's C that a model's calls go through."""


_CYTHON = """
import gc
gc.disable()
from Cython.Compiler.Main import main
main(command_line=1)
gc.freeze()
"""
"""Cython as `python -m cython` runs it. It makes trees until it ends: to look for garbage in them,
then or before, takes a fifth of its time, of a deep network's a third, and frees next to nothing.
"""


def build(
    name: str,
    source: str,
    stub: str,
    target: Target,
    output: Path | None = None,
    on_compile: Callable[[str], None] | None = None,
) -> Built:
    """As `build_targets`, for one target."""
    return build_targets(name, {target.name: source}, stub, output, on_compile)


def build_targets(
    name: str,
    sources: Mapping[str, str],
    stub: str,
    output: Path | None = None,
    on_compile: Callable[[str], None] | None = None,
) -> Built:
    """Compile module `name` from the Cython text for each target, unless the cache has it.

    The module chooses among the targets when it is imported. The files go to the directory
    `output`, which is made; None leaves them in the cache. `on_compile` is told the name before the
    compilers start, which take their time. Raises CompileError for whatever the machine lacks or
    refuses.
    """
    if output is not None:
        check_output(output)
    job = _Job(name, {t: sources[t.name] for t in TARGETS.values() if t.name in sources}, stub)
    cache = Cache(cache_directory())

    def fill(directory: Path) -> None:
        if on_compile is not None:
            on_compile(name)
        _compile(job, directory, cache)

    key = job.key()
    while True:
        entry, cached = cache.find_or_fill(key, fill)
        built = deliver(entry, job.files(), output, cached=cached)
        if built is not None:
            return built


class _Job:
    """What to build, and with what: the compiler and the Python of this environment."""

    def __init__(self, name: str, sources: Mapping[Target, str], stub: str) -> None:
        self.name, self.sources, self.stub = name, sources, stub
        self.targets = tuple(sources)
        self.compiler: Compiler = find_compiler()
        for target in self.targets:
            check_target(self.compiler, target)
        self.python: Python = find_python(self.compiler)
        self.header = dispatcher_header(name, self.targets)
        self.parts = {target: part_name(name, target, self.targets) for target in self.targets}

    def key(self) -> str:
        """All that the files depend on."""
        compiler, python = self.compiler, self.python
        flags = [words for target in self.targets for words in ("", *self.flags(target))]
        return make_key(
            self.name,
            *self.sources.values(),
            self.stub,
            self.header,
            dispatcher(),
            version_of("cnnc"),
            version_of("cython"),
            compiler.identity,
            "\0".join([*flags, "", *compiler.dispatcher_flags(), "", *compiler.link_flags()]),
            _UNOPTIMIZED,
            _OPTIMIZED,
            _IN_EVERY_CALL.pattern,
            python.suffix,
            python.version,
        )

    def files(self) -> list[str]:
        """The extension, its stub and its sources."""
        return file_names(self.name, self.targets, self.python.suffix)

    @property
    def split_flags(self) -> tuple[str, ...]:
        """What has the C compiler split the C of one target; several keep it busy as they are."""
        return self.compiler.split_flags if len(self.targets) == 1 else ()

    def flags(self, target: Target) -> tuple[str, ...]:
        """Those that compile a target's C."""
        return (*self.compiler.flags(target), *self.split_flags, *part_flags(self.name, target))

    def compile(self, file: str, flags: Sequence[str]) -> Command:
        """C to an object file beside it."""
        includes = [f"-I{path}" for path in self.python.includes]
        words = (*self.compiler.command, *flags, *includes, "-c", f"{file}.c", "-o", f"{file}.o")
        return Command("the C compiler", words)

    def cython(self, part: str) -> Command:
        """The .pyx of a target to C.

        In a process of its own Cython's global state is fresh, its messages are ours to show, and
        the names that it writes into the module are relative: no path of this machine ends there.
        """
        options = ("-3", "--module-name", self.name, f"{part}.pyx", "-o", f"{part}.c")
        return Command("Cython", (sys.executable, "-c", _CYTHON, *options))

    def link(self, objects: Sequence[str]) -> Command:
        """All object files to the extension."""
        compiler, extension = self.compiler, self.files()[0]
        flags = compiler.link_flags()
        if self.split_flags:  # only now are the kernels optimized
            flags += compiler.sharing_flags(self.targets[0], processors())
        words = (*compiler.command, *flags, *objects, "-o", extension)
        return Command("the C compiler", (*words, "-lm"))


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


def version_of(distribution: str) -> str:
    """The version that is installed, asked of its files: to import Cython takes a while."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def check_runs_here(*targets: Target) -> None:
    """CompileError where this machine lacks the instructions of each of these targets."""
    host = native_target()
    if host.machine == host_machine() and any(target.runs_on(host) for target in targets):
        return
    names = " or ".join(target.name for target in targets)
    if host.machine != host_machine():
        fail(
            "build-target",
            f"this machine cannot run code for {names}: it is one for {host_machine()}",
            help="unset CC, which names a compiler for another",
        )
    fail(
        "build-target",
        f"this machine cannot run code for {names}: it is a machine for {host.name}",
        help=f"build for it, or without a target: --target {host.name}",
    )


def _compile(job: _Job, directory: Path, cache: Cache) -> None:
    """Fill `directory` with the extension and its sources."""
    name, parts = job.name, job.parts
    (directory / f"{name}.pyi").write_text(job.stub, encoding="utf-8")
    for target, part in parts.items():
        (directory / f"{part}.pyx").write_text(job.sources[target], encoding="utf-8")
    chooser = f"{name}.dispatch"
    (directory / HEADER).write_text(job.header, encoding="utf-8")
    (directory / f"{chooser}.c").write_text(dispatcher(), encoding="utf-8")

    def stage(commands: Sequence[Command]) -> None:
        failure = run(commands, directory)
        if failure is not None:
            report(failure, name, directory, cache)

    stage(
        [
            *(job.cython(part) for part in parts.values()),
            job.compile(chooser, job.compiler.dispatcher_flags()),
        ]
    )
    for part in parts.values():
        _prepare(directory / f"{part}.c")
    stage([job.compile(part, job.flags(target)) for target, part in parts.items()])
    stage([job.link([f"{file}.o" for file in (chooser, *parts.values())])])
    for file in (chooser, *parts.values()):
        (directory / f"{file}.c").unlink()
        (directory / f"{file}.o").unlink()
    (directory / HEADER).unlink()


def _prepare(path: Path) -> None:
    """Have what follows the kernels compiled without optimization, and clash with no other file.

    Cython's C for the class around them is most of the text: optimizing it takes longer than the
    kernels of a small network do. Little of that is what every call goes through.
    """
    text = keep_apart(path.read_text(encoding="utf-8"))
    kernels, wrapper, rest = text.partition(_WRAPPER)
    rest = _IN_EVERY_CALL.sub(lambda m: f"{_OPTIMIZED}{m[0]}{_AS_BEFORE}", wrapper + rest)
    path.write_text(f"{kernels}{_UNOPTIMIZED}{rest}", encoding="utf-8")
