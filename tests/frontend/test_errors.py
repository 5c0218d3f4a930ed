"""Specs in tests/errors and docs/language.md say with comments what is wrong with them.

`# error[code]: words` stands on the guilty line; the message contains the words. All that is
expected is reported, and nothing else.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cnnc.diagnostics import CODES, SPEC_CODES, CompileError, Diagnostic, Source, render
from cnnc.frontend import parse, resolve

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "errors").glob("*.cnn"))
LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```cnn\n(.*?)```", LANGUAGE, re.DOTALL)
EXPECTATION = re.compile(r"# (error|warning)\[([a-z-]+)\]:? ?([^#\n]*)")


def expectations(text: str) -> list[tuple[int, str, str, str]]:
    """(line, severity, code, words), in order."""
    return [
        (number, match[1], match[2], match[3].strip())
        for number, line in enumerate(text.split("\n"), 1)
        for match in EXPECTATION.finditer(line)
    ]


def diagnose(source: Source) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    try:
        resolve(parse(source), warn=found.append)
    except CompileError as error:
        found.extend(error.diagnostics)
    return found


def check(source: Source) -> None:
    found = diagnose(source)
    expected = expectations(source.text)
    shown = render(found)
    places = sorted((d.span.line if d.span else 0, d.severity, d.code) for d in found)
    assert places == sorted(e[:3] for e in expected), shown
    for line, _, code, words in expected:
        messages = [d.message for d in found if d.code == code and d.span and d.span.line == line]
        assert any(words in message for message in messages), f"{words!r} not in:\n{shown}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_error_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    check(Source(path.name, path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_of_the_language_reference(text: str) -> None:
    if "comparisons do not chain" in text:
        # a syntax error, shown with others: it hides them, as the page says
        (found,) = diagnose(Source("language.md", text))
        assert found.code == "syntax-error"
        text = re.sub(r"\n[^\n]*comparisons do not chain[^\n]*", "", text)
    check(Source("language.md", text))


@pytest.mark.parametrize("code", ["shape-mismatch", "undefined-name"])
def test_the_reference_shows_an_error_as_it_is_printed(code: str) -> None:
    shown = re.findall(
        rf"\n\n((?:    [^\n]*\n)*?    error\[{code}\](?:[^\n]*\n(?=    ))*[^\n]*\n)", LANGUAGE
    )
    (text,) = shown
    found = [
        render([diagnostic])
        for example in EXAMPLES
        if f"error[{code}]" in example
        for diagnostic in diagnose(Source("wrong.cnn", re.sub(r" +#.*", "", example)))
    ]
    assert "\n".join(line[4:] for line in text.rstrip("\n").split("\n")) in found


def test_every_code_of_specs_has_a_file() -> None:
    stems = {path.stem for path in FILES}
    assert not set(SPEC_CODES) - stems
    for path in FILES:
        codes = {code for _, _, code, _ in expectations(path.read_text(encoding="utf-8"))}
        assert max((code for code in CODES if path.stem.startswith(code)), key=len) in codes


def test_every_code_that_is_used_is_declared() -> None:
    """A code is the first argument of what reports it."""
    reporters = (
        "OpError",
        "Diagnostic",
        "Mistake",
        "error",
        "warning",
        "refuse",
        "_report",
        "fail",
    )
    used = set()
    for path in (ROOT / "cnnc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                code = getattr(node.args[0], "value", None)
                if name in reporters and re.fullmatch("[a-z]+(-[a-z]+)*", str(code)):
                    used.add(code)
    assert used <= set(CODES)
