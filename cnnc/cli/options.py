"""Arguments and options that several commands have, and what they stand for."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from cnnc.ir.target import TARGETS, parse_targets
from cnnc.limits import DEFAULT_LIMITS, SETTABLE

if TYPE_CHECKING:
    from cnnc.options import Options

Command = TypeVar("Command", bound=Callable[..., object])

FLAGS = {"yes": True, "true": True, "no": False, "false": False}
LARGEST = 2**53
"""Beyond it a float no longer tells whole numbers apart."""


class _Targets(click.ParamType[str]):
    """NAME or NAME,NAME…; the text itself, checked."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was given."""
        try:
            parse_targets(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class _Seconds(click.FloatRange):
    """A time up to so many seconds."""

    def __init__(self, most: float) -> None:
        super().__init__(0, most, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Like the range, which has nothing against NaN."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


SECONDS = _Seconds(3600)
"""How long to measure."""
TUNE_SECONDS = _Seconds(86_400)

target_option = click.option(
    "--target",
    type=_Targets(),
    metavar="NAME[,NAME...]",
    help="Processor to compile for, or several, of which the module takes the best that it can: "
    f"{', '.join(TARGETS)}.  [default: this machine's]",
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


@dataclass(frozen=True, slots=True)
class SpecChoice:
    """Which model to work on: what the arguments that every command shares say."""

    spec: str
    model: str | None
    parameters: tuple[str, ...]
    search: tuple[str, ...]
    limits: dict[str, int]

    def options(self, target: str | None = None) -> Options:
        """The same for the compiler. A usage error for parameters that are not NAME=VALUE."""
        from dataclasses import replace

        from cnnc.options import Options

        limits = replace(DEFAULT_LIMITS, **self.limits)
        return Options(target, self.model, overrides(self.parameters), self.search, limits)

    def flags(self) -> str:
        """The options as they are given to another command, with a space before each."""
        words = [f"--set {text}" for text in self.parameters]
        words += [f"--model {self.model}"] if self.model else []
        words += [f"-I {directory}" for directory in self.search]
        words += [f"--max-{name} {value}" for name, value in self.limits.items()]
        return "".join(f" {word}" for word in words)


class _Bytes(click.ParamType[int]):
    """512MB, 16GB or a plain number of bytes."""

    name = "size"
    _UNITS: ClassVar[dict[str, int]] = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]?b?)", str(value).lower())
        if match is None or (match[2] and match[2] not in self._UNITS):
            self.fail(f"{value!r} is not a size such as 512MB or 16GB", param, ctx)
        size = int(float(match[1]) * self._UNITS[match[2]]) if len(match[1]) < 20 else 0
        if not 1 <= size <= SETTABLE["memory"]:
            self.fail(f"{value!r} is not from 1 byte to 1000 TB", param, ctx)
        return size


_SPEC_OPTIONS = (
    click.argument("spec", type=click.Path(), metavar="SPEC[:MODEL]"),
    click.option("--model", metavar="NAME", help="Which model, where a file has several."),
    click.option(
        "--set",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a parameter of the model to a number, yes or no; may be repeated.",
    ),
    click.option(
        "-I",
        "--include",
        "search",
        multiple=True,
        metavar="DIRECTORY",
        type=click.Path(),
        help="Import from this directory, too; may be repeated.",
    ),
    click.option(
        "--max-nodes",
        type=click.IntRange(1, SETTABLE["nodes"]),
        help="Most layers of the model, blocks and repeats expanded.  [default: 10,000]",
    ),
    click.option(
        "--max-parameters",
        type=click.IntRange(1, SETTABLE["parameters"]),
        help="Most parameters of the model.  [default: 2,147,483,648]",
    ),
    click.option(
        "--max-memory",
        type=_Bytes(),
        help="Most memory for the activations of a sample.  [default: 17.2GB]",
    ),
    click.option(
        "--max-depth",
        type=click.IntRange(1, SETTABLE["depth"]),
        help="Most blocks and repeats inside each other.  [default: 32]",
    ),
)


def spec_options(command: Command) -> Command:
    """Add the arguments that choose a model and set what it may be, as one `choice`."""

    @functools.wraps(command)
    def run(
        spec: str,
        model: str | None,
        parameters: tuple[str, ...],
        search: tuple[str, ...],
        **rest: Any,
    ) -> object:
        given = {name: rest.pop(f"max_{name}") for name in SETTABLE}
        limits = {name: value for name, value in given.items() if value is not None}
        return command(choice=SpecChoice(spec, model, parameters, search, limits), **rest)

    decorated: Any = run
    for option in reversed(_SPEC_OPTIONS):
        decorated = option(decorated)
    result: Command = decorated
    return result


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
