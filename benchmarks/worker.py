"""A side of a comparison in a process of its own, asked over pipes: one JSON object a line.

Processes live through all rounds, so that rounds alternate without paying for imports again; only
the one that is asked works.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

LEFT_OUT = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that make a BLAS mistake this processor for another."""
SINGLE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def environment(threads: int) -> dict[str, str]:
    """This process's, with that many threads for whatever library."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    return {**kept, **dict.fromkeys(SINGLE, str(threads))}


class Worker:
    """A running side, until it is closed."""

    def __init__(self, script: str, *values: str, threads: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script, *values],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(threads),
            text=True,
        )

    def ask(self, name: str, **values: Any) -> Any:
        """Call one of the side's handlers."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the worker has no pipes")
        process.stdin.write(json.dumps([name, values]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise SystemExit(f"a worker ended with status {process.wait()}: see above")
        return json.loads(answer)

    def close(self) -> None:
        """End the side."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def serve(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until standard input ends. What else is printed goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        name, values = json.loads(line)
        answers.write(json.dumps(handlers[name](**values)) + "\n")
        answers.flush()
