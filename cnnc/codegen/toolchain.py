"""The C compiler of this machine: where it is, who it is, how it is called, what it can run.

Finds and describes; it compiles nothing (build.py does) and keeps nothing on disk.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from cnnc.diagnostics import CompileError, Diagnostic
from cnnc.ir.target import TARGETS, Target

PROBE_SECONDS = 60
"""How long a compiler may take to say its name before it is taken for broken."""

INSTALL_HINT = (
    "install Xcode's command line tools: xcode-select --install"
    if sys.platform == "darwin"
    else "install one, e.g. apt install gcc python3-dev, or dnf install gcc python3-devel"
)

CC_HINT = "correct or unset the environment variable CC"

COMMON_FLAGS = (
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
    "-pthread",
    "-DNDEBUG",
)
# Tiles are plain loops with constant bounds, at full speed only where they are peeled completely;
# the limit fits an 11-wide kernel row of a full tile and keeps outer loops rolled. Level 1 with the
# passes that kernels need gives -O3's speed in half its time: most of a module is not kernels.
GCC_FLAGS = (
    "-O1",
    "-fpeel-loops",
    "-funswitch-loops",
    "-fpredictive-commoning",
    "-fexpensive-optimizations",
    "-frerun-cse-after-loop",
    "--param",
    "max-completely-peel-times=64",
    "--param",
    "max-completely-peeled-insns=1000",
)
CLANG_FLAGS = ("-O3", "-mllvm", "-unroll-threshold=1000")

NATIVE_MACROS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "x86-64-v4",
        frozenset({"__AVX512F__", "__AVX512BW__", "__AVX512CD__", "__AVX512DQ__", "__AVX512VL__"}),
    ),
    ("x86-64-v3", frozenset({"__AVX2__", "__FMA__", "__BMI2__"})),
    ("x86-64", frozenset({"__x86_64__"})),
    ("aarch64", frozenset({"__aarch64__"})),
)
"""Targets, the most capable first, and the macros that a compiler predefines on such a machine."""

ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
"""First part of a compiler's target triple -> Target.machine."""


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler. `command` starts every call; `identity` changes whenever the compiler does."""

    command: tuple[str, ...]
    version: str
    triple: str

    @property
    def is_clang(self) -> bool:
        return "clang" in self.version

    @property
    def machine(self) -> str:
        """The processor family that it compiles for, as Target.machine names it."""
        first = self.triple.split("-", 1)[0]
        return ARCHITECTURES.get(first.lower(), first)

    @property
    def identity(self) -> str:
        return "\n".join((*self.command, self.version, self.triple))

    def flags(self, target: Target) -> tuple[str, ...]:
        """The flags, before file names, that compile and link an extension for `target`."""
        link: tuple[str, ...] = ("-shared", "-s")
        if "apple" in self.triple:
            link = ("-bundle", "-undefined", "dynamic_lookup")
        tuning = CLANG_FLAGS if self.is_clang else GCC_FLAGS
        return (*COMMON_FLAGS, *tuning, *target.flags, *link)


def fail(
    code: str, message: str, *, notes: Sequence[str] = (), help: str | None = None
) -> NoReturn:
    """Raise a CompileError for a complaint about the machine, which has no place in a spec."""
    raise CompileError([Diagnostic(code, message, None, tuple(notes), help)])


def find_compiler() -> Compiler:
    """$CC, or the compiler that built this Python, or cc, gcc or clang.

    Raises CompileError where there is none; a $CC that does not work is an error, never replaced.
    """
    return _identify(*_command())


def _command() -> tuple[tuple[str, ...], str]:
    """The compiler's command, its program as a full path, and the words to call it by."""
    wanted = os.environ.get("CC", "").strip()
    if wanted:
        try:
            program, *arguments = shlex.split(wanted)
        except ValueError as error:
            fail("build-no-compiler", f"CC={wanted} is not a command: {error}", help=CC_HINT)
        if not program:
            fail("build-no-compiler", f"CC={wanted} names no compiler", help=CC_HINT)
        found = shutil.which(program)
        if found is None:
            message = f"the C compiler that CC names is not there: {program}"
            fail("build-no-compiler", message, help=CC_HINT)
        return (found, *arguments), f"CC={wanted}"
    built_with = shlex.split(sysconfig.get_config_var("CC") or "")[:1]
    for name in (*built_with, "cc", "gcc", "clang"):
        found = shutil.which(name)
        if found is not None:
            return (found,), found
    fail(
        "build-no-compiler",
        "no C compiler found: looked for CC, cc, gcc and clang",
        help=INSTALL_HINT,
    )


@lru_cache(maxsize=8)
def _identify(command: tuple[str, ...], words: str) -> Compiler:
    # The answer may be kept for a process: a compiler replaced under a running one is not noticed.
    version = _ask((*command, "--version"), words).strip().partition("\n")[0]
    triple = _ask((*command, "-dumpmachine"), words).strip()
    return Compiler(command, version, triple)


def _ask(command: Sequence[str], words: str) -> str:
    help = CC_HINT if words.startswith("CC=") else INSTALL_HINT
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
            # A translated answer would differ between two users of one cache.
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        fail("build-no-compiler", f"the C compiler ({words}) does not run: {error}", help=help)
    if answer.returncode != 0 or not answer.stdout.strip():
        fail(
            "build-no-compiler",
            f"the C compiler ({words}) does not answer: {shlex.join(command)}",
            notes=answer.stderr.strip().splitlines()[:5],
            help=help,
        )
    return answer.stdout


def host_target() -> Target:
    """The most capable target that this machine runs, or the one that CNNC_TARGET names."""
    wanted = os.environ.get("CNNC_TARGET", "").strip()
    if wanted:
        return named_target(wanted, "CNNC_TARGET")
    return native_target()


def native_target() -> Target:
    """The most capable target that this machine runs."""
    return _native_target(*_command())


def named_target(name: str, asked_by: str = "--target") -> Target:
    """The target of that name; CompileError, with the names there are, for any other."""
    if name not in TARGETS:
        fail(
            "build-target",
            f"{asked_by} names no target that cnnc knows: {name}",
            help="the targets are " + ", ".join(TARGETS),
        )
    return TARGETS[name]


@lru_cache(maxsize=8)
def _native_target(command: tuple[str, ...], words: str) -> Target:
    compiler = _identify(command, words)
    # Only x86-64 has more than one target, and older clang refuses -march=native elsewhere.
    native = ("-march=native",) if compiler.machine == "x86_64" else ()
    text = _ask((*compiler.command, *native, "-dM", "-E", "-x", "c", os.devnull), words)
    macros = {parts[1] for line in text.splitlines() if len(parts := line.split()) > 1}
    for name, needed in NATIVE_MACROS:
        if needed <= macros:
            return TARGETS[name]
    fail(
        "build-target",
        f"cnnc has no target for this machine ({compiler.triple})",
        help="the targets are " + ", ".join(TARGETS),
    )


def check_target(compiler: Compiler, target: Target) -> None:
    """Refuse a target of another architecture than the compiler's."""
    if target.machine != compiler.machine:
        fail(
            "build-target",
            f"target {target.name} needs a compiler for {target.machine}, and "
            f"{compiler.command[0]} compiles for {compiler.machine}",
            notes=("cross compilers are not supported yet: build on such a machine",),
        )


def python_include() -> tuple[str, ...]:
    """The directories of Python.h and pyconfig.h; CompileError where the headers are missing."""
    paths = sysconfig.get_paths()
    directories = tuple(dict.fromkeys((paths["include"], paths["platinclude"])))
    if not any((Path(directory) / "Python.h").is_file() for directory in directories):
        fail(
            "build-no-headers",
            f"Python's C headers are missing: no Python.h in {directories[0]}",
            help="install them, e.g. apt install python3-dev, or dnf install python3-devel",
        )
    return directories
