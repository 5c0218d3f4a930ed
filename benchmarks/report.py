"""Figures -> a page of text: what was asked, on what, a table of medians, notes.

Measures nothing. Host names and paths stay out, so that results can be kept in the repository.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import statistics
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnc.codegen.toolchain import find_compiler, native_target

WIDTH = 80
ROOT = Path(__file__).resolve().parent.parent


class Report:
    """A page that is printed as it grows and kept in a file at the end."""

    def __init__(self, title: str, packages: Sequence[str] = (), output: Path | None = None):
        self._lines: list[str] = []
        self._output = output
        self.line(title)
        self.line("=" * len(title))
        self.paragraph(_setting(packages))

    def line(self, text: str = "") -> None:
        """One line as it is."""
        print(text, flush=True)
        self._lines.append(text)

    def paragraph(self, text: str) -> None:
        """Running text, filled, and an empty line."""
        for line in textwrap.wrap(" ".join(text.split()), WIDTH):
            self.line(line)
        self.line()

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns as wide as they need; the first to the left, the others to the right."""
        rows = [tuple(headings), *map(tuple, rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            first, *others = (
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            self.line("  ".join((first, *others)).rstrip())
            if number == 0:
                self.line("-" * (sum(widths) + 2 * (len(widths) - 1)))
        self.line()

    def finish(self) -> None:
        """Write the file that was asked for."""
        if self._output is not None:
            self._output.parent.mkdir(parents=True, exist_ok=True)
            text = "\n".join(self._lines).rstrip("\n") + "\n"
            self._output.write_text(text, encoding="utf-8")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every script takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the page here too")
    return parser


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """`median (min-max)`."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}}-{high:{form}})"


def has_package(name: str) -> bool:
    """Whether a peer is installed, without importing it."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _setting(packages: Sequence[str]) -> str:
    """The machine in general terms, the date and the versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"Python {platform.python_version()}", _compiler()]
    versions += [
        f"{name} {importlib.metadata.version(name)}" for name in packages if has_package(name)
    ]
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{native_target().name}, {cores} cores; {date}; {', '.join(versions)}."


def _compiler() -> str:
    compiler = find_compiler()
    if compiler.is_clang:
        return compiler.version.split("(")[0].strip()
    return f"GCC {compiler.version.split()[-1]}"
