"""The Python that shall import a module: its headers and how it wants the file to be called.

It is this one, unless CNNC_PYTHON_INCLUDE names the headers of another, for another machine.
"""

from __future__ import annotations

import os
import platform
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from cnnc.codegen.toolchain import Compiler, fail, host_machine

EXTENSION_SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
"""What this Python's extension modules end with."""

VARIABLE = "CNNC_PYTHON_INCLUDE"


@dataclass(frozen=True, slots=True)
class Python:
    """A Python to compile for. `includes` are the directories of Python.h and pyconfig.h."""

    version: str
    includes: tuple[str, ...]
    suffix: str


def find_python(compiler: Compiler) -> Python:
    """The Python that shall import what `compiler` makes.

    Raises CompileError where its headers are missing, and for a compiler for another machine whose
    Python nobody named.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return _other_python(compiler, tuple(named.split(os.pathsep)))
    if compiler.machine != host_machine():
        fail(
            "build-no-headers",
            f"{compiler.command[0]} compiles for {compiler.machine}, "
            f"and this Python is one for {host_machine()}",
            help=f"name the directory of that machine's Python.h in {VARIABLE}",
        )
    paths = sysconfig.get_paths()
    directories = tuple(dict.fromkeys((paths["include"], paths["platinclude"])))
    if not any((Path(directory) / "Python.h").is_file() for directory in directories):
        fail(
            "build-no-headers",
            f"Python's C headers are missing: no Python.h in {directories[0]}",
            help="install them, e.g. apt install python3-dev, or dnf install python3-devel",
        )
    return Python(platform.python_version(), directories, EXTENSION_SUFFIX)


def _other_python(compiler: Compiler, directories: tuple[str, ...]) -> Python:
    """What the headers say of another Python. Of its names of files only Linux's are known."""
    system = re.search(r"linux-(?:gnu|musl)\w*$", compiler.triple)
    if system is None:
        fail(
            "build-no-headers",
            f"{VARIABLE} is for compilers for Linux, and {compiler.command[0]} is one for "
            f"{compiler.triple}",
        )
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for directory in directories
        if (path := Path(directory) / "patchlevel.h").is_file()
    ]
    version = re.search(r'#define\s+PY_VERSION\s+"((\d+)\.(\d+)[^"]*)"', "\n".join(texts))
    if version is None:
        fail(
            "build-no-headers",
            f"{VARIABLE} names no directory of Python's C headers: {os.pathsep.join(directories)}",
            help="name the one that has Python.h and patchlevel.h, e.g. /usr/include/python3.11",
        )
    tag = f"cpython-{version[2]}{version[3]}-{compiler.machine}-{system[0]}"
    absolute = tuple(str(Path(directory).absolute()) for directory in directories)
    return Python(version[1], absolute, f".{tag}.so")
