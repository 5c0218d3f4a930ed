"""Commands around the build: compile, cache."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnnc.cli.options import (
    SpecChoice,
    spec_options,
    target_option,
    verbose_option,
)
from cnnc.cli.report import show_compiling, show_stage, show_warnings, shown_path, size
from cnnc.cli.tuning import Tuned, tuning_options

if TYPE_CHECKING:
    from cnnc.diagnostics import Diagnostic


@click.command("compile")
@spec_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Directory for the files; made where it is missing.  [default: the current one]",
)
@target_option
@tuning_options
@verbose_option
def compile_command(
    choice: SpecChoice,
    output: Path,
    target: str | None,
    tuned: Tuned,
    verbose: bool,
) -> None:
    """Compile a spec to a Python extension module.

    Leaves the extension, its Cython source and its type stubs, e.g. lenet.<abi>.so, lenet.pyx and
    lenet.pyi, and says how to import it. With several targets there is a source for each, e.g.
    lenet.x86-64-v3.pyx. With --tune it leaves lenet.tuning.json, too, from which --tuning builds
    the same again. Nothing is compiled twice: see `cnnc cache`.
    """
    from cnnc.codegen.delivery import check_output
    from cnnc.compiler import compile_spec

    check_output(output)  # to measure takes a while
    options = tuned.options(choice.spec, choice.options(target))
    started = time.perf_counter()
    warnings: list[Diagnostic] = []
    built = compile_spec(
        choice.spec,
        output=output,
        options=options,
        on_stage=show_stage if verbose else None,
        on_compile=show_compiling,
        warn=warnings.append,
    )
    show_warnings(warnings)
    seconds = time.perf_counter() - started
    origin = "taken from the cache" if built.cached else "compiled"
    click.echo(f"{built.name}: {origin} in {seconds:.2f} s")
    files = [built.extension, *built.sources, built.stub]
    if (left := tuned.leave(options, output, built.name)) is not None:
        files.append(left)
    for path in files:
        click.echo(f"  {shown_path(path)}  ({size(path.stat().st_size)})")
    here = output.resolve() == Path.cwd().resolve()
    place = "from this directory" if here else f"with {shown_path(output)} on PYTHONPATH"
    click.echo(f"\nIn Python, {place}:\n")
    click.echo(f"  import {built.name}\n  net = {built.name}.Model()")


@click.group()
def cache() -> None:
    """Show or clear the cache of compiled modules."""


@cache.command()
def show() -> None:
    """Say where the cache is and how much it holds."""
    from cnnc.codegen.cache import SIZE_LIMIT, Cache
    from cnnc.resources import cache_directory

    usage = Cache(cache_directory()).usage()
    click.echo(f"{usage.path}: {_modules(usage.entries)}, {size(usage.bytes)}")
    click.echo(f"The longest unused go above {size(SIZE_LIMIT)}.")


@cache.command()
def clear() -> None:
    """Delete all that the cache holds."""
    from cnnc.codegen.cache import Cache
    from cnnc.resources import cache_directory

    usage = Cache(cache_directory()).clear()
    click.echo(f"{usage.path}: deleted {_modules(usage.entries)}, {size(usage.bytes)}")


def _modules(number: int) -> str:
    return "1 module" if number == 1 else f"{number} modules"
