"""A side of a comparison in a process of its own, asked over pipes: one JSON object a line.

Processes live through all rounds, so that rounds alternate without paying for imports again; only
the one that is asked works.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LEFT_OUT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that make a BLAS mistake this processor for another."""
SINGLE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerError(SystemExit):
    """A side failed, ended or took too long. Where nobody catches it, the script ends with it."""


def environment(threads: int) -> dict[str, str]:
    """This process's, with that many threads for whatever library."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    return {**kept, **dict.fromkeys(SINGLE, str(threads))}


class Worker:
    """A running side, until it is closed.

    extra: variables of its own. cores: the processors that it may use, by default all. quiet: keep
    what it prints for `complaint` instead of showing it.
    """

    def __init__(
        self,
        script: str,
        *values: str,
        threads: int = 1,
        extra: Mapping[str, str] | None = None,
        cores: Collection[int] | None = None,
        quiet: bool = False,
    ) -> None:
        self._printed = tempfile.TemporaryFile("w+") if quiet else None  # noqa: SIM115 - outlives this
        self._process = subprocess.Popen(
            [sys.executable, script, *values],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**environment(threads), **(extra or {})},
            text=True,
        )
        if cores is not None:
            self.pin(cores)

    def pin(self, cores: Collection[int]) -> None:
        """Let it run on these processors alone, where the system can do that."""
        if not hasattr(os, "sched_setaffinity"):
            return
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)

    def ask(self, name: str, *, at_most: float | None = None, **values: Any) -> Any:
        """Call one of the side's handlers; WorkerError where it fails or takes too many seconds."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        try:
            process.stdin.write(json.dumps([name, values]) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        ready, _, _ = select.select([process.stdout], [], [], at_most)
        if not ready:
            process.kill()
            raise WorkerError(f"took longer than {at_most:.0f} s")
        answer = process.stdout.readline()
        if not answer:
            raise WorkerError(self._last_words())
        result, failure = json.loads(answer)
        if failure:
            raise WorkerError(failure)
        return result

    def close(self) -> None:
        """End the side."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        status = self._process.wait()
        if self._printed is None:
            return f"a worker ended with status {status}: see above"
        self._printed.seek(0)
        lines = [line.strip() for line in self._printed if line.strip()]
        return f"ended with status {status}: {lines[-1] if lines else 'without a word'}"


def serve(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer [result, failure] until standard input ends.

    What else is printed, by libraries in C too, goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, values = json.loads(line)
        try:
            answer = [handlers[name](**values), None]
        except Exception as failure:  # noqa: BLE001 - whatever fails in a peer is a line on the page
            traceback.print_exc()
            words = str(failure).strip().splitlines() or [""]
            answer = [None, f"{type(failure).__name__}: {words[0]}"]
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
