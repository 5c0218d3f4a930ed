"""The C compiler of this machine: where it is, who it is, how it is called, what it can run.

Finds and describes; it compiles nothing (build.py does) and keeps nothing on disk.
"""

from __future__ import annotations

import os
import platform
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

from cnnc.codegen.processor import least_target, macros
from cnnc.diagnostics import CompileError, Diagnostic
from cnnc.ir.target import TARGETS, Target, parse_targets

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
    # Finds nothing in kernels, and takes a fifth of a large network's time for it.
    "-fno-tree-bit-ccp",
    "--param",
    "max-completely-peel-times=64",
    "--param",
    "max-completely-peeled-insns=1000",
)
# Optimization is put off until all is linked, and takes a process for each share of the kernels.
SPLIT_FLAGS = ("-flto",)
CLANG_FLAGS = ("-O3", "-mllvm", "-unroll-threshold=1000")

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

    @property
    def split_flags(self) -> tuple[str, ...]:
        """What has it leave the optimization of a file to `sharing_flags`; none if it cannot."""
        return SPLIT_FLAGS if not self.is_clang and _can_split(self.command) else ()

    def sharing_flags(self, target: Target, processes: int) -> tuple[str, ...]:
        """What a link takes besides, to optimize a file that was split in so many processes."""
        return (*self.flags(target), *(f"{flag}={processes}" for flag in self.split_flags))

    def flags(self, target: Target) -> tuple[str, ...]:
        """The flags that compile C for `target`, to be linked later."""
        tuning = CLANG_FLAGS if self.is_clang else GCC_FLAGS
        return (*COMMON_FLAGS, *tuning, *target.flags)

    def dispatcher_flags(self) -> tuple[str, ...]:
        """The flags that compile C for any processor of the family."""
        return (*COMMON_FLAGS, "-O1", *least_target(self.machine).flags)

    def link_flags(self) -> tuple[str, ...]:
        """The flags, before file names, that make an extension of what was compiled."""
        if "apple" in self.triple:
            return (*COMMON_FLAGS, "-bundle", "-undefined", "dynamic_lookup")
        return (*COMMON_FLAGS, "-shared", "-s")


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


@lru_cache(maxsize=8)
def _can_split(command: tuple[str, ...]) -> bool:
    """Whether GCC was installed with what link-time optimization takes."""
    program = Path(_ask((*command, "-print-prog-name=lto1"), shlex.join(command)).strip())
    beside = (program.with_name(name) for name in ("lto1", "lto-wrapper", "liblto_plugin.so"))
    return program.is_absolute() and all(path.exists() for path in beside)


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


def host_machine() -> str:
    """The processor family that this Python runs on, as Target.machine names it."""
    name = platform.machine()
    return ARCHITECTURES.get(name.lower(), name)


def host_targets() -> tuple[Target, ...]:
    """Those that CNNC_TARGET names, or the most capable one that this machine runs."""
    wanted = os.environ.get("CNNC_TARGET", "").strip()
    return named_targets(wanted, "CNNC_TARGET") if wanted else (native_target(),)


def host_target() -> Target:
    """The most capable of `host_targets`."""
    return host_targets()[0]


def named_targets(text: str, asked_by: str = "--target") -> tuple[Target, ...]:
    """The targets of `NAME,NAME…`, the most capable first; CompileError where they are none."""
    try:
        return parse_targets(text)
    except ValueError as error:
        fail("build-target", f"{asked_by}: {error}")


def chosen_targets(text: str | None) -> tuple[Target, ...]:
    """Those that `text` names, if it is one, else those of this machine; CompileError as they."""
    return host_targets() if text is None else named_targets(text, "target")


def native_target() -> Target:
    """The most capable target that this machine runs, or the lower one that CNNC_PROCESSOR names.

    For a compiler for another machine, the one that all such machines run.
    """
    found = _native_target(*_command())
    wanted = os.environ.get("CNNC_PROCESSOR", "").strip()
    if not wanted:
        return found
    if wanted not in TARGETS:
        known = ", ".join(TARGETS)
        fail("build-target", f"CNNC_PROCESSOR: {wanted!r} is no target; the targets are {known}")
    taken = TARGETS[wanted]
    if not taken.runs_on(found):
        fail("build-target", f"CNNC_PROCESSOR={wanted}: this processor is one for {found.name}")
    return taken


@lru_cache(maxsize=8)
def _native_target(command: tuple[str, ...], words: str) -> Target:
    compiler = _identify(command, words)
    # Only x86-64 has more than one target, and older clang refuses -march=native elsewhere.
    here = compiler.machine == host_machine() == "x86_64"
    native = ("-march=native",) if here else ()
    text = _ask((*compiler.command, *native, "-dM", "-E", "-x", "c", os.devnull), words)
    predefined = {parts[1] for line in text.splitlines() if len(parts := line.split()) > 1}
    for target in TARGETS.values():
        if macros(target) <= predefined:
            return target
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
            help="name such a compiler in CC, e.g. CC=aarch64-linux-gnu-gcc",
        )
