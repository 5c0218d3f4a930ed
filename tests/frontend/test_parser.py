from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cnnc.diagnostics import CompileError, Diagnostic, Source
from cnnc.frontend import Limits, Spec, format_spec, parse, read_source
from cnnc.frontend import spec as s
from cnnc.frontend.layout import lay_out
from cnnc.frontend.mistakes import MISTAKES
from cnnc.frontend.parser import _failure, _lark
from cnnc.frontend.syntax_errors import recognise
from cnnc.limits import DEFAULT_LIMITS

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.cnn"))


def parsed(text: str) -> Spec:
    return parse(Source("test.cnn", text))


def body(text: str) -> tuple[s.Statement, ...]:
    return parsed(f"model m {{\n{text}\n}}").models[0].body


def expression(text: str) -> s.Expression:
    (statement,) = body(f"f({text})")
    assert isinstance(statement, s.ChainStatement)
    (argument,) = statement.chain.links[0].arguments or ()
    return argument.value


def errors(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        parsed(text)
    return caught.value.diagnostics


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_specs_print_and_parse_back(path: Path) -> None:
    spec = parse(read_source(path))
    text = format_spec(spec)
    assert parsed(text) == spec
    assert format_spec(parsed(text)) == text


def test_statements_end_with_lines_and_go_on_with_arrows() -> None:
    first, second = body("a -> b  # c\n\n # d\n\t-> e;\nf ; ;\n")
    assert isinstance(first, s.ChainStatement)
    assert isinstance(second, s.ChainStatement)
    assert [str(link.name) for link in first.chain.links] == ["a", "b", "e"]
    assert [str(link.name) for link in second.chain.links] == ["f"]


def test_layout_keeps_every_place() -> None:
    text = 'model m {\n f(1, # ->\n 2)\n\n -> g; h\n}\n\ntrain { data "a;#b" }\n'
    laid = lay_out(Source("", text), DEFAULT_LIMITS)
    assert len(laid) == len(text)
    assert " ".join(laid.split()) == 'model m { f(1, 2) -> g; h } train { data "a;#b" }'
    assert laid.count("\n") == 2
    assert 'data "a;#b"' in laid


@pytest.mark.parametrize(
    "text",
    [
        "model m{input x:uint8[1,2]\nf}",
        "\ufeff\n\nmodel m\n# brace\n{\n}\n",
        "model m { f; g }; train { batch 1; epochs 2; }",
        "model m(a=1, b=2,) {\r\n f(a,\r\n b,)\r\n -> g\r\n}\r\n",
        "model m { f([1, (0, 2),], x=(1,)) }",
        "train { loss f(1) }",
        "",
    ],
)
def test_forms(text: str) -> None:
    spec = parsed(text)
    assert parsed(format_spec(spec)) == spec


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("1+2*3**-4", "1 + 2 * 3 ** -4"),
        ("(1+2)*3", "(1 + 2) * 3"),
        ("1-(2-3)", "1 - (2 - 3)"),
        ("(1-2)-3", "1 - 2 - 3"),
        ("2**3**4", "2 ** 3 ** 4"),
        ("(2**3)**4", "(2 ** 3) ** 4"),
        ("-2**2", "-2 ** 2"),
        ("(-2)**2", "(-2) ** 2"),
        ("not a<b and c or d", "not a < b and c or d"),
        ("not(a and b)", "not (a and b)"),
        ("(a if b else c) if d else e if f else g", "(a if b else c) if d else e if f else g"),
        ("(a<b)==c", "(a < b) == c"),
        ("8//3%2/1", "8 // 3 % 2 / 1"),
        ("1e-05", "1e-05"),
        (".5", "0.5"),
        ("5.", "5.0"),
        ("3x3x3", "3x3x3"),
        ("iffy", "iffy"),
        ("true", "yes"),
        ('"a b"', '"a b"'),
        ("constant(value=0.1)", "constant(value=0.1)"),
    ],
)
def test_expressions(text: str, printed: str) -> None:
    value = expression(text)
    assert format_spec(parsed(f"model m {{ f({text}) }}")) == f"model m {{\n    f({printed})\n}}\n"
    assert expression(printed) == value


def test_long_chains_are_printed_in_lines() -> None:
    text = format_spec(parsed("model m { " + " -> ".join(["layer(100, 3x3)"] * 20) + "}"))
    assert max(map(len, text.split("\n"))) <= 100
    assert parsed(text) == parsed(text.replace("\n        ->", " ->"))


def test_places() -> None:
    source = Source("test.cnn", "model m {\n  stem: conv( 6 ) -> relu\n}\n")
    (statement,) = parse(source).models[0].body
    assert isinstance(statement, s.ChainStatement)
    first, second = statement.chain.links
    assert (first.span.text, first.call_span.text) == ("stem: conv( 6 )", "conv( 6 )")
    assert (first.span.line, first.span.column, first.span.end_column) == (2, 3, 18)
    assert second.span.text == "relu"
    assert (first.arguments or ())[0].value.span.text == "6"


@pytest.mark.parametrize(
    ("mistake", "text"),
    [(m, text) for m in MISTAKES for text in m.texts()],
    ids=range(sum(1 for m in MISTAKES for _ in m.texts())),
)
def test_examples_of_mistakes_are_recognised(mistake: object, text: str) -> None:
    error = _failure(text)
    assert error is not None, "this is no mistake"
    assert recognise(error, _failure) is mistake


def test_errors_of_different_statements_are_reported_together() -> None:
    found = errors("model m {\n f g\n h -> i\n conv(1 2)\n\n i -> \n j\n}\ntrain {\n batch\n}")
    assert [(d.code, d.span.line if d.span else 0) for d in found] == [
        ("missing-arrow", 2),
        ("missing-comma", 4),
        ("dangling-arrow", 6),
        ("missing-value", 10),
    ]


def test_errors_are_limited() -> None:
    assert len(errors("model m {\n" + "f g\n" * 100 + "}")) == DEFAULT_LIMITS.syntax_errors


def test_generic_error_says_what_was_expected_and_found() -> None:
    (found,) = errors("model m { input a: t[1] not }")
    assert found.code == "syntax-error"
    assert found.message == "expected the end of the line or }, found not"


def test_unclosed_brace_names_what_begins_inside() -> None:
    (found,) = errors("model m {\n f\n\ntrain {\n batch 1\n}")
    assert found.notes == ("it is still open where train begins on line 4",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("model m { f(" + "(" * 500 + "1" + ")" * 500 + ") }", "too-deep"),
        ("model m { f(" + "-" * 500 + "1) }", "too-deep"),
        ("model m { f(" + "1+" * 5000 + "1) }", "too-deep"),
        ("model m { f(" + "1 if yes else " * 5000 + "1) }", "too-deep"),
        ("model m { f(" + "2**" * 5000 + "1) }", "too-deep"),
        ("model m { f(" + "not " * 5000 + "1) }", "too-deep"),
        ("model m { f(" + "g(" * 5000 + ")" * 5000 + ") }", "too-deep"),
        ("model m { f(" + "9" * 100_000 + ") }", "too-large"),
        ("model m { f(1" + "x9" * 50_000 + "x" + "9" * 30 + ") }", "too-large"),
        ("#" * 300_000, "too-large"),
        ("\n" * 200_000 + "(", "unclosed-parenthesis"),
        (" ;" * 100_000 + "x", "syntax-error"),
        ("{" * 100_000, "too-deep"),
        ('"' * 99_999, "unclosed-string"),
        ("x" * 200_000, "syntax-error"),
    ],
)
def test_hostile_text(text: str, code: str) -> None:
    assert errors(text)[0].code == code


def test_limits_are_arguments() -> None:
    with pytest.raises(CompileError, match="more than 5"):
        parse(Source("", "model m { }"), Limits(characters=5))


def test_long_flat_specs_are_fine() -> None:
    spec = parsed("model m {\n" + "f(1, 2) -> g\n" * 5000 + "}")
    assert len(spec.models[0].body) == 5000


@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "a file for a directory"])
def test_the_cache_of_the_grammar_may_be_damaged(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache"
    monkeypatch.setenv("CNNC_CACHE_DIR", str(place))
    if damage == "a file for a directory":
        place.write_bytes(b"")
    elif damage != "missing":
        place.mkdir()
        name = f"grammar.{sys.implementation.cache_tag}"
        (place / name).write_bytes(b"" if damage == "empty" else bytes(range(256)))
    _lark.cache_clear()
    try:
        assert parsed("model m { f }").models
        _lark.cache_clear()
        assert parsed("model m { f }").models
    finally:
        _lark.cache_clear()


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin.cnn").write_bytes(b"model m { } # \xe9")
    for path, words in (
        (tmp_path / "none.cnn", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "latin.cnn", "byte 14 is not UTF-8"),
        ("a\0b", "null"),
    ):
        with pytest.raises(CompileError, match=words) as caught:
            read_source(path)
        assert caught.value.diagnostics[0].code == "unreadable-file"
