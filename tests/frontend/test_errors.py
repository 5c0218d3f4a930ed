"""Every file in tests/errors is refused with what its comments expect, line by line.

`# error[code]: words` stands on the guilty line; the message contains the words.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cnnc.diagnostics import CODES, SPEC_CODES, CompileError, Diagnostic, render
from cnnc.frontend import parse, read_source, resolve

ERRORS = Path(__file__).parents[1] / "errors"
FILES = sorted(ERRORS.glob("*.cnn"))
EXPECTATION = re.compile(r"# (error|warning)\[([a-z-]+)\]:? ?([^#\n]*)")


def expectations(text: str) -> list[tuple[int, str, str, str]]:
    """(line, severity, code, words), in order."""
    return [
        (number, match[1], match[2], match[3].strip())
        for number, line in enumerate(text.split("\n"), 1)
        for match in EXPECTATION.finditer(line)
    ]


def diagnose(path: Path) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    try:
        resolve(parse(read_source(path)), warn=found.append)
    except CompileError as error:
        found.extend(error.diagnostics)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_error_file(path: Path) -> None:
    found = diagnose(path)
    expected = expectations(path.read_text(encoding="utf-8"))
    shown = render(found)
    places = sorted((d.span.line if d.span else 0, d.severity, d.code) for d in found)
    assert places == sorted(e[:3] for e in expected), shown
    for line, _, code, words in expected:
        messages = [d.message for d in found if d.code == code and d.span and d.span.line == line]
        assert any(words in message for message in messages), f"{words!r} not in:\n{shown}"


def test_every_code_of_specs_has_a_file() -> None:
    stems = {path.stem for path in FILES}
    assert not set(SPEC_CODES) - stems
    for path in FILES:
        codes = {code for _, _, code, _ in expectations(path.read_text(encoding="utf-8"))}
        own = max((code for code in CODES if path.stem.startswith(code)), key=len)
        assert own in codes


def test_every_code_that_is_used_is_declared() -> None:
    """A code is the first argument of what reports it."""
    package = Path(__file__).parents[2] / "cnnc"
    reporters = {"OpError", "Diagnostic", "error", "warning", "refuse", "_report", "Mistake"}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            code = getattr(node.args[0], "value", None)
            if name in reporters and isinstance(code, str) and re.fullmatch("[a-z]+(-[a-z]+)+", code):
                assert code in CODES, f"{path}:{node.lineno}: {code}"
