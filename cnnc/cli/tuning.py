"""The options that have kernels measured, or taken from a file, and what they stand for."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cnnc.cli.options import TUNE_SECONDS
from cnnc.cli.report import fail, show_warnings

if TYPE_CHECKING:
    from cnnc.cli.options import Command
    from cnnc.options import Options

SECONDS = 60.0
"""That of cnnc.measure.tune, which is slow to import; a test compares."""

tuning_option = click.option(
    "--tuning",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take the kernels that --tune measured, from its file; measures nothing.",
)


@dataclass(frozen=True, slots=True)
class Tuned:
    """How to choose among the forms of kernels: measure for so many seconds, or read a file."""

    seconds: float | None
    file: Path | None

    def options(self, spec: str, options: Options) -> Options:
        """The compiler's options with what was measured; measures first if that was asked for.

        Says which targets that leaves out.
        """
        if self.file is not None:
            from cnnc.tuning import read_tuning

            found = read_tuning(self.file)
        elif self.seconds is not None:
            from cnnc.measure.tune import tune

            with _progress() as hear:
                found = tune(spec, options, self.seconds, on_progress=hear)
        else:
            return options
        from cnnc.codegen.toolchain import chosen_targets

        targets = chosen_targets(options.target)
        found.check_targets(targets)
        show_warnings(found.warnings(targets))
        return replace(options, tuning=found)

    def leave(self, options: Options, directory: Path, name: str) -> Path | None:
        """Write the file from which the build can be repeated, if anything was to be measured."""
        if self.seconds is None or options.tuning is None:
            return None
        from cnnc.tuning import write_tuning

        path = directory / f"{name}.tuning.json"
        try:
            write_tuning(options.tuning, path)
        except OSError as error:
            fail(f"cannot write {path}: {error.strerror}")
        return path


def tuning_options(command: Command) -> Command:
    """Add `--tune`, `--tune-seconds` and `--tuning`, as one `tuned`."""

    @functools.wraps(command)
    def run(
        *args: Any, tune: bool, tune_seconds: float | None, tuning: Path | None, **rest: Any
    ) -> object:
        seconds = tune_seconds or (SECONDS if tune else None)
        if seconds is not None and tuning is not None:
            raise click.UsageError("--tune measures, --tuning takes what was measured: give one")
        return command(*args, tuned=Tuned(seconds, tuning), **rest)

    decorated: Any = tuning_option(run)
    decorated = click.option(
        "--tune-seconds",
        type=TUNE_SECONDS,
        metavar="SECONDS",
        help=f"As --tune, for about so long.  [default: {SECONDS:g}]",
    )(decorated)
    decorated = click.option(
        "--tune",
        is_flag=True,
        help="First measure here which algorithm and tiles of each kernel are the fastest.",
    )(decorated)
    result: Command = decorated
    return result


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar on the standard error stream where that is a terminal, a line a step elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _, what: click.echo(f"tuning: {what} ...", err=True)
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("tuning", total=1.0)
        yield lambda share, what: bar.update(task, completed=share, description=f"tuning: {what}")
