"""Where a training run reports to: a live bar on a terminal, one line per epoch elsewhere.

rich is imported only once a bar is asked for; without it there are lines. Nothing here measures.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from typing import Any, Protocol, TextIO

from cnnc.runtime.history import EpochResult, format_epoch, format_loss

_SECONDS_BETWEEN_UPDATES = 0.1  # a step may take 100 microseconds, about what an update costs


class Progress(Protocol):
    """The listener of `fit`, called from its thread; `close` comes last, whatever happened."""

    def start(self, epochs: int, samples: int) -> None:
        """Announce a run of `epochs`, each of `samples`."""

    def step(self, epoch: int, done: int, loss: float, samples_per_second: float) -> None:
        """Hear that `done` samples of an epoch (from 1) are trained; `loss` is their mean."""

    def finish_epoch(self, result: EpochResult) -> None:
        """Hear an epoch's figures."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Silence:
    """A Progress that says nothing."""

    def start(self, epochs: int, samples: int) -> None: ...
    def step(self, epoch: int, done: int, loss: float, samples_per_second: float) -> None: ...
    def finish_epoch(self, result: EpochResult) -> None: ...
    def close(self) -> None: ...


class Lines(Silence):
    """A Progress that prints one line per epoch, free of control characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._epochs = 0

    def start(self, epochs: int, samples: int) -> None:  # noqa: ARG002 - Progress names them
        self._epochs = epochs

    def finish_epoch(self, result: EpochResult) -> None:
        print(format_epoch(result, self._epochs), file=self._stream, flush=True)


class Bar:
    """A Progress that keeps a live bar below the lines of the finished epochs."""

    def __init__(self, stream: TextIO) -> None:
        from rich import progress
        from rich.console import Console

        text = progress.TextColumn
        self._bar = progress.Progress(
            text("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            progress.BarColumn(bar_width=None),
            text("loss {task.fields[loss]}"),
            text("{task.fields[rate]} samples/s"),
            progress.TimeRemainingColumn(),
            console=Console(file=stream),
            expand=True,
            transient=True,
        )
        self._task: Any = None
        self._epochs = self._samples = 0
        self._next_update = 0.0

    def start(self, epochs: int, samples: int) -> None:
        self._epochs, self._samples = epochs, samples
        self._task = self._bar.add_task(
            "", total=epochs * samples, epoch=1, epochs=epochs, loss="-", rate="-"
        )
        self._bar.start()

    def step(self, epoch: int, done: int, loss: float, samples_per_second: float) -> None:
        now = time.monotonic()
        if now < self._next_update:
            return
        self._next_update = now + _SECONDS_BETWEEN_UPDATES
        self._bar.update(
            self._task,
            completed=(epoch - 1) * self._samples + done,
            epoch=epoch,
            loss=format_loss(loss),
            rate=f"{samples_per_second:,.0f}",
        )

    def finish_epoch(self, result: EpochResult) -> None:
        self._bar.update(self._task, completed=result.epoch * self._samples)
        self._bar.console.print(
            format_epoch(result, self._epochs), highlight=False, markup=False, soft_wrap=True
        )

    def close(self) -> None:
        self._bar.stop()


def choose_progress(stream: TextIO | None = None) -> Progress:
    """The Progress that suits a stream, standard output unless another is given.

    A bar where it is a terminal or a notebook that can show one, and rich is installed. What the
    environment says of colour (FORCE_COLOR) turns no pipe into a terminal.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:  # a process without standard output, such as pythonw
        return Silence()
    if not _is_terminal(stream) and not _is_notebook(stream):
        return Lines(stream)
    return Bar(stream) if importlib.util.find_spec("rich") else Lines(stream)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _is_notebook(stream: TextIO) -> bool:
    """Whether output goes to a Jupyter notebook with the widgets that rich draws its bar with."""
    if stream is not sys.stdout or "ipykernel" not in sys.modules:
        return False
    return importlib.util.find_spec("ipywidgets") is not None
