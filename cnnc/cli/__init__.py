"""The command line: arguments -> calls of the parts below, and their results -> words.

Holds no logic of its own. Whatever is slow to import is imported inside the commands, so that
`cnnc --help` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import click

from cnnc import __version__
from cnnc.cli.building import cache, compile_command
from cnnc.cli.inference import evaluate, predict
from cnnc.cli.measuring import bench_command, profile_command
from cnnc.cli.report import explain_and_exit
from cnnc.cli.specs import check, emit, summary
from cnnc.cli.training import train


class Commands(click.Group):
    """Commands in the order of use, whose failures are messages and never tracebacks."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, in the order in which a newcomer meets them."""
        return list(self.commands)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments; Ctrl-C has the same words here as in the commands."""
        try:
            return super().make_context(*args, **extra)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(130) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show what a user can do something about."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)
        except Exception as error:
            explain_and_exit(error)
            raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Compile convolutional networks to Cython, train them, and run them.

    \b
    cnnc train specs/lenet.cnn       compile, train on MNIST, save the weights
    cnnc compile specs/lenet.cnn     leave a module for: import lenet
    """


for command in (
    check,
    summary,
    compile_command,
    train,
    evaluate,
    predict,
    bench_command,
    profile_command,
    emit,
    cache,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of the `cnnc` script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character gets a stand-in, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")
    cli(prog_name="cnnc")
