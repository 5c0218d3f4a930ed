"""What each Kind of argument accepts, and what it says of the rest."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import Diagnostic, Source
from cnnc.frontend.arguments import Binder
from cnnc.frontend.evaluator import Evaluator
from cnnc.frontend.parser import parse
from cnnc.frontend.report import RefusedError, Report
from cnnc.frontend.spec import Argument, ChainStatement
from cnnc.frontend.values import Setting
from cnnc.limits import DEFAULT_LIMITS
from cnnc.ops.field import Field, Kind

MODE = Field("mode", Kind.WORD, "how", "nearest", choices=("nearest", "bilinear"))
AXIS = Field("axis", Kind.INTEGER, "which axis")
START = Field("start", Kind.INTEGER, "from here", minimum=-3, below=4)
MEAN = Field("mean", Kind.NUMBERS, "subtracted", minimum=0)
SIZES = Field("sizes", Kind.COUNTS, "of the pieces")


def arguments(text: str) -> tuple[Argument, ...]:
    source = Source("a.cnn", f"model m {{ f({text}) }}")
    (statement,) = parse(source).models[0].body
    assert isinstance(statement, ChainStatement)
    return statement.chain.links[0].arguments or ()


def bind(field: Field, text: str) -> tuple[object, list[Diagnostic]]:
    """The field's value for a text, None with what is reported."""
    report = Report(10)
    evaluator = Evaluator(report, DEFAULT_LIMITS, {})
    evaluator.settings["n"] = Setting(4, None)
    given = arguments(text)
    try:
        bound = Binder(evaluator, report).bind("layer", (field,), given, given[0].span)
    except RefusedError:
        return None, report.ordered()
    assert not report.failed
    return bound.values[field.name], []


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (MODE, "bilinear", "bilinear"),
        (MODE, "mode=nearest", "nearest"),
        (MODE, "nearest if n == 4 else bilinear", "nearest"),
        (AXIS, "-1", -1),
        (AXIS, "n - 4", 0),
        (AXIS, "6 / 2", 3),
        (START, "-3", -3),
        (MEAN, "0", 0.0),
        (MEAN, "[0.5, 1, n / 8]", [0.5, 1.0, 0.5]),
        (SIZES, "2", 2),
        (SIZES, "[n, 8 / 2, 1]", [4, 4, 1]),
    ],
)
def test_a_value_that_fits(field: Field, text: str, value: object) -> None:
    found, _ = bind(field, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("field", "text", "code", "message", "help"),
    [
        (
            MODE,
            "bilnear",
            "bad-value",
            "layer's mode must be one of nearest, bilinear, got bilnear",
            "did you mean bilinear?",
        ),
        (MODE, "2", "bad-type", "layer's mode must be one of nearest, bilinear, got 2", None),
        (
            MODE,
            '"bilinear"',
            "bad-type",
            "one of nearest, bilinear, got",
            "drop the quotes: mode=bilinear",
        ),
        (AXIS, "0.5", "bad-type", "layer's axis must be an integer, got 0.5", None),
        (AXIS, "yes", "bad-type", "layer's axis must be an integer, got yes", None),
        (START, "-4", "bad-value", "layer's start must be at least -3 and below 4, got -4", None),
        (MEAN, "[1, yes]", "bad-type", "must be a number or a list of numbers, got [1, yes]", None),
        (MEAN, "[1, -1]", "bad-value", "layer's mean must be at least 0, got [1, -1]", None),
        (MEAN, "[1, m]", "undefined-name", "no parameter is called m", "parameters: n"),
        (SIZES, "[1, 0]", "bad-value", "layer's sizes must be at least 1, got [1, 0]", None),
        (SIZES, "(1, 2)", "bad-type", "a positive integer or a list of them", None),
    ],
)
def test_a_value_that_does_not(
    field: Field, text: str, code: str, message: str, help: str | None
) -> None:
    _, (found,) = bind(field, text)
    assert found.code == code
    assert message in found.message
    assert found.help == help
