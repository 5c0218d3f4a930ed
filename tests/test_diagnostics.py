from __future__ import annotations

import io
import json

import pytest

from cnnc.diagnostics import (
    CompileError,
    Diagnostic,
    Source,
    Span,
    render,
    render_json,
    summarize,
    use_color,
)

SPEC = Source("specs/lenet.cnn", "model lenet {\n\n  input x\n  maxpool(2x2)\n  dense(10)\n}\n")


def place(text: str, source: Source = SPEC) -> Span:
    start = source.text.index(text)
    return Span(source, start, start + len(text))


def test_the_manner() -> None:
    shown = render(
        [
            Diagnostic(
                "shape-mismatch",
                "dense needs a flat input, got (8, 13, 13)",
                place("dense(10)"),
                ("the input comes from maxpool on line 4: (8, 26, 26) -> (8, 13, 13)",),
                "put flatten before this layer",
            )
        ]
    )
    assert (
        shown
        == """\
error[shape-mismatch]: dense needs a flat input, got (8, 13, 13)
  --> specs/lenet.cnn:5:3
   |
 5 |   dense(10)
   |   ^^^^^^^^^
   = note: the input comes from maxpool on line 4: (8, 26, 26) -> (8, 13, 13)
   = help: put flatten before this layer"""
    )


def test_several_and_without_a_place() -> None:
    diagnostics = [
        Diagnostic("build-failed", "it broke", None, ("two\nlines",), "try again"),
        Diagnostic("unused-name", "x", place("x"), severity="warning"),
        Diagnostic("bad-name", "y", None),
    ]
    assert render(diagnostics).startswith(
        "error[build-failed]: it broke\n   = note: two\n           lines\n   = help: try again\n\n"
        "warning[unused-name]: x\n"
    )
    assert summarize(diagnostics) == "2 errors, 1 warning"
    assert "it broke" in str(CompileError(diagnostics))


def test_wide_and_invisible_characters() -> None:
    source = Source("a\x1b[31m", "漢字\t\x1b]0;\u202e5 # e\u0301")
    shown = render([Diagnostic("syntax-error", "\x07", place("5", source))])
    _, where, _, line, marks = shown.split("\n")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\x07" not in shown
    assert line == " 1 | 漢字    \ufffd]0;\ufffd5 # e\u0301"
    assert marks == "   | " + " " * (4 + 4 + 5) + "^"
    assert where == "  --> a\ufffd[31m:1:9"


def test_long_lines_are_cut_around_the_place() -> None:
    source = Source("a", "x" * 500 + "HERE" + "y" * 500)
    shown = render([Diagnostic("syntax-error", "m", place("HERE", source))])
    line, marks = shown.split("\n")[-2:]
    assert len(line) < 120
    assert line[marks.index("^") : marks.rindex("^") + 1] == "HERE"


@pytest.mark.parametrize(
    ("start", "end", "marks"),
    [(0, 9, "^^^"), (3, 4, "   ^"), (3, 3, "   ^"), (9, 9, "^"), (4, 8, "^^^^")],
)
def test_places_at_the_ends_of_lines(start: int, end: int, marks: str) -> None:
    source = Source("a", "abc\ndefg\n")
    shown = render([Diagnostic("syntax-error", "m", Span(source, start, end))])
    assert shown.split("\n")[-1] == f"   | {marks}"


def test_gutter_is_as_wide_as_the_number() -> None:
    source = Source("a", "\n" * 99 + "x")
    shown = render([Diagnostic("syntax-error", "m", place("x", source), ("n",))])
    assert shown.split("\n")[1:] == [
        "    --> a:100:1",
        "     |",
        " 100 | x",
        "     | ^",
        "     = note: n",
    ]


def test_json() -> None:
    (found,) = json.loads(
        render_json([Diagnostic("bad-name", "m", place("x\n  max"), ("n",), "h")])
    )
    assert found == {
        "code": "bad-name",
        "severity": "error",
        "message": "m",
        "file": "specs/lenet.cnn",
        "line": 3,
        "column": 9,
        "end_line": 4,
        "end_column": 6,
        "notes": ["n"],
        "help": "h",
    }
    (found,) = json.loads(render_json([Diagnostic("build-failed", "m", None)]))
    assert (found["file"], found["line"]) == (None, None)


def test_color_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert use_color(Terminal())
    assert not use_color(Terminal(), False)
    assert not use_color(io.StringIO(), True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_color(Terminal())
    assert use_color(Terminal(), True)
    colored = render([Diagnostic("bad-name", "m", place("x"))], color=True)
    assert "\x1b[1;31merror[bad-name]" in colored
