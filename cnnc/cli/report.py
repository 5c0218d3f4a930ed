"""What the commands share: diagnostics, tables and numbers as text, failures as exit statuses."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

NARROWEST = 8
"""Columns that are left to the names of a table on a terminal, whatever its numbers need."""


def fail(message: str, *notes: str) -> NoReturn:
    """End the command with exit status 1 and an error in the manner of the diagnostics."""
    head = click.style("error", fg="red", bold=True)
    lines = [f"{head}: {message}", *(f"  = {note}" for note in notes)]
    click.echo("\n".join(lines), err=True, color=_color())
    raise click.exceptions.Exit(1)


def show_diagnostics(diagnostics: Iterable[Any]) -> None:
    """Write diagnostics to the standard error stream, and how many there are."""
    from cnnc.diagnostics import render, summarize, use_color

    diagnostics = tuple(diagnostics)
    click.echo(render(diagnostics, color=use_color(sys.stderr)), err=True, color=True)
    if len(diagnostics) > 1:
        click.echo(f"\n{summarize(diagnostics)}", err=True)


def show_warnings(warnings: Sequence[Any]) -> None:
    """Write what is suspicious about a good spec, if anything is, to the standard error stream."""
    if warnings:
        show_diagnostics(warnings)


def explain_and_exit(error: Exception) -> None:
    """Show an error that a user can mend and end with status 1; return for any other."""
    from cnnc.diagnostics import CompileError

    if isinstance(error, CompileError):
        show_diagnostics(error.diagnostics)
        raise click.exceptions.Exit(1) from error
    runtime = sys.modules.get("cnnc.runtime")
    if runtime and isinstance(error, (runtime.DataError, runtime.TrainingError)):
        fail(str(error))
    # Click handles a closed pipe (`cnnc emit … | head`) itself.
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror or error}")
    if isinstance(error, MemoryError):
        fail("out of memory", "use a smaller batch or a smaller network")


def show_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 1,
    total: bool = False,
    width: int | None = None,
) -> None:
    """Write a table: ruled on a terminal, bare and as wide as it needs elsewhere.

    The first `left` columns are aligned to the left. Where a terminal has no room, the names in the
    first are cut, never numbers. The last row holds the sums where `total` says so. With `width` it
    is bare and at most so wide everywhere.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    terminal = on_terminal() and width is None
    table = Table(box=box.SIMPLE_HEAD if terminal else None, padding=(0, 1), pad_edge=False)
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(headers, *lines, strict=True)]
    needed = sum(widths) + (3 if terminal else 2) * len(widths)
    bare = min(needed, width or needed)
    console = Console(width=None if terminal else bare, highlight=False, markup=False)
    room = console.width - needed + widths[0]
    for index, (header, least) in enumerate(zip(headers, widths, strict=True)):
        justify: Literal["left", "right"] = "left" if index < left else "right"
        table.add_column(
            header, justify=justify, no_wrap=True, min_width=0 if index == 0 else least
        )
    for index, (name, *rest) in enumerate(lines):
        end = total and index == len(lines) - 2
        table.add_row(_fit(name, max(room, NARROWEST)), *rest, end_section=end)
    with console.capture() as capture:
        console.print(table)
    text = "\n".join(line.rstrip() for line in capture.get().splitlines())
    click.echo(text.strip("\n"), color=True)


def check_writable(path: Path) -> None:
    """Fail now, and not after what takes its time, where a new file could not appear there."""
    from cnnc.codegen.files import appearing

    try:
        with appearing(path, rename=False) as temporary:
            temporary.touch()
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")


def on_terminal() -> bool:
    """Whether somebody reads along on the standard output."""
    return sys.stdout.isatty()


def show_stage(stage: str, seconds: float) -> None:
    """One line of `-v`."""
    click.echo(f"  {stage:<10} {1000 * seconds:9.1f} ms", err=True)


def show_compiling(name: str) -> None:
    """Say that the compilers start, which may take a while."""
    click.echo(f"compiling {name} ...", err=True)


def count(number: int) -> str:
    """1234567 -> 1,234,567, and from ten millions on three digits: 61.2 M."""
    if number < 10_000_000:
        return f"{number:,}"
    scaled, unit = number / 1e6, "M"
    for larger in ("G", "T", "P"):
        if scaled < 999.5:
            break
        scaled, unit = scaled / 1000, larger
    return f"{scaled:.3g} {unit}" if scaled < 999.5 else f"{number:.2e}"


def size(number: int) -> str:
    """Bytes with a unit: 18.4 kB."""
    scaled, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if scaled < 999.5:
            break
        scaled, unit = scaled / 1000, larger
    return f"{number} B" if unit == "B" else f"{scaled:.1f} {unit}"


def shown_path(path: Path) -> str:
    """A path as short as it can be said from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except (ValueError, OSError):
        return str(path)


def _fit(text: str, width: int) -> str:
    """A name within `width`; of a path the end says most."""
    return text if len(text) <= width else f"…{text[len(text) - width + 1 :]}"


def _color() -> bool:
    from cnnc.diagnostics import use_color

    return use_color(sys.stderr)
