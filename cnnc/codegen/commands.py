"""Compilers' commands -> run, several at a time, and what they said.

Knows nothing of what they compile. Whatever interrupts the wait (Ctrl-C) ends the compilers, their
children and their files too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnc.codegen.cache import explain
from cnnc.codegen.toolchain import fail

PAUSE = 0.005
"""Seconds between two looks at what runs: little beside what a compiler takes."""


@dataclass(frozen=True, slots=True)
class Command:
    """A call of a compiler; `what` it is in words."""

    what: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command failed: its exit status, negative for a signal, and all that it wrote."""

    command: Command
    status: int
    log: str


def run(commands: Sequence[Command], directory: Path) -> Failure | None:
    """Run all in `directory`, as many at once as there are cores; the first failure ends it.

    Raises CompileError for a program that cannot be started.
    """
    scratch = directory / "tmp"
    scratch.mkdir(exist_ok=True)
    waiting = list(enumerate(commands))
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < processors():
                number, command = waiting.pop(0)
                running.append(_start(command, directory, scratch / f"log{number}"))
            ended = _wait(running)
            if ended.process.returncode != 0:
                log = ended.log.read_text(encoding="utf-8", errors="replace")
                return Failure(ended.command, ended.process.returncode, log)
            running.remove(ended)
    finally:
        for each in running:
            with contextlib.suppress(OSError):
                os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
        shutil.rmtree(scratch, ignore_errors=True)
    return None


@dataclass(frozen=True, slots=True)
class _Running:
    command: Command
    process: subprocess.Popen[bytes]
    log: Path


def _start(command: Command, directory: Path, log: Path) -> _Running:
    environment = {**os.environ, "TMPDIR": str(log.parent), "LC_ALL": "C.UTF-8"}
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                command.words,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        fail("build-failed", f"{command.words[0]} cannot be run: {explain(error)}")
    return _Running(command, process, log)


def _wait(running: Sequence[_Running]) -> _Running:
    """The first to end; of one alone no turn of the clock is waited for."""
    if len(running) == 1:
        running[0].process.wait()
    while True:
        for each in running:
            if each.process.poll() is not None:
                return each
        time.sleep(PAUSE)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
