"""Arguments and options that several commands have, and what they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])

TARGETS = ("x86-64-v4", "x86-64-v3", "x86-64", "aarch64")
"""Those of cnnc.ir.target, spelt out here to keep `cnnc --help` quick; a test compares."""

FLAGS = {"yes": True, "true": True, "no": False, "false": False}
LARGEST = 2**53
"""Beyond it a float no longer tells whole numbers apart."""

spec_argument = click.argument("spec", type=click.Path())

target_option = click.option(
    "--target",
    type=click.Choice(TARGETS),
    help="Processor to compile for.  [default: this machine's]",
)

verbose_option = click.option(
    "-v", "--verbose", is_flag=True, help="Say how long each stage takes."
)

data_option = click.option(
    "--data",
    metavar="NAME|PATH",
    help="mnist, a directory of IDX files, or an .npz file.  [default: the spec's]",
)

threads_option = click.option(
    "--threads", type=click.IntRange(1, 1024), help="Threads to use.  [default: all cores]"
)

format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or for programs.",
)


def model_options(command: Command) -> Command:
    """Add the options that choose a model of the file and set its parameters."""
    choose = click.option("--model", metavar="NAME", help="Which model, where a file has several.")
    set_parameters = click.option(
        "--set",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a parameter of the model to a number, yes or no; may be repeated.",
    )
    return choose(set_parameters(command))


def overrides(parameters: tuple[str, ...]) -> dict[str, float]:
    """("classes=3", "deep=yes", …) -> {"classes": 3, "deep": True}; a usage error for the rest."""
    values: dict[str, float] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
        if name in values:
            raise click.BadParameter(f"{name} is set twice", param_hint="--set")
        values[name] = _value(text, value.strip().lower())
    return values


def _value(text: str, value: str) -> float:
    if value in FLAGS:
        return FLAGS[value]
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        message = f"{text!r} is not NAME=VALUE: a value is a number, yes or no"
        raise click.BadParameter(message, param_hint="--set")
    if abs(number) > LARGEST:
        raise click.BadParameter(f"{text!r} is beyond 2**53", param_hint="--set")
    return int(number) if number.is_integer() else number
