"""Imports: which files they find, what they bring, and what is said about what they hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cnnc.compiler import Options, lower, open_spec
from cnnc.diagnostics import CompileError, Diagnostic
from cnnc.frontend import parse, read_source, resolve, split_model
from cnnc.ir.graph import Graph

MODEL = "model m {\ninput x: float32[4, 8, 8]\nb(3)\n}\n"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "specs").mkdir()
    monkeypatch.chdir(tmp_path / "specs")


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def resolved(path: str = "m.cnn", **options: object) -> Graph:
    return resolve(parse(read_source(path)), **options)  # type: ignore[arg-type]


def errors(path: str = "m.cnn", **options: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        resolved(path, **options)
    return caught.value.diagnostics


def test_blocks_and_lets_are_imported() -> None:
    write("m.cnn", 'import "lib/b.cnn"\n' + MODEL.replace("b(3)", "b(3 * wide)"))
    write("lib/b.cnn", 'import "c.cnn"\nlet wide = narrow * 2\nblock b(n) { c(n + wide) }')
    write("lib/c.cnn", "let narrow = 1\nblock c(n) { conv(n, 1) }\nmodel demo { }")
    assert resolved().node("b1.c1.conv1").shape == (8, 8, 8)
    assert resolve(parse(read_source(Path("m.cnn").resolve()))).nodes


def test_an_import_brings_only_what_the_file_itself_defines() -> None:
    write("m.cnn", 'import "b.cnn"\n' + MODEL.replace("b(3)", "c(3)"))
    write("b.cnn", 'import "c.cnn"\nblock b(n) { c(n) }')
    write("c.cnn", "block c(n) { conv(n, 1) }")
    (found,) = errors()
    assert found.code == "unknown-layer"


def test_a_file_that_two_files_import_is_read_once() -> None:
    write("m.cnn", 'import "b.cnn"; import "c.cnn"; import "./lib/../d.cnn"\n' + MODEL)
    write("b.cnn", 'import "d.cnn"\nblock b(n) { d(n) }')
    write("c.cnn", 'import "d.cnn"\nblock c(n) { d(n) }')
    write("d.cnn", "block d(n) { conv(n, 1) }")
    assert resolved().node("b1.d1.conv1").shape == (3, 8, 8)


def test_a_name_that_two_files_give() -> None:
    write("m.cnn", 'import "b.cnn"\nimport "c.cnn"\nlet b = 3\n' + MODEL)
    write("b.cnn", "block b(n) { conv(n, 1) }")
    write("c.cnn", "\nblock b(n) { conv(n, 1) }")
    first, second = errors()
    assert first.message == "b is imported twice: it is given at b.cnn:1 and at c.cnn:2"
    assert second.notes == ("it is first given at b.cnn:1",)


def test_a_cycle_is_shown() -> None:
    write("m.cnn", 'import "a.cnn"\n' + MODEL)
    write("a.cnn", 'import "b.cnn"\nblock b(n) { relu }')
    write("b.cnn", 'import "a.cnn"')
    (found,) = errors()
    assert found.code == "import-cycle"
    assert found.message == "these files import each other: a.cnn -> b.cnn -> a.cnn"
    assert found.span is not None
    assert (found.span.source.name, found.span.line) == ("b.cnn", 1)
    assert found.notes == ("this file is imported at a.cnn:1, from m.cnn:1",)


def test_errors_in_an_imported_file() -> None:
    write("m.cnn", 'import "lib/b.cnn"\n' + MODEL)
    write("lib/b.cnn", "block b(n) {\n  conv(n, 9x9)\n}\nlet a = 1 / 0")
    first, second = errors()
    assert str(CompileError([second])).split("\n")[:2] == [
        "error[arithmetic]: 1 / 0 divides by zero",
        "  --> lib/b.cnn:4:9",
    ]
    assert first.code == "kernel-too-large"
    assert first.notes[-2:] == (
        "in block b, called at m.cnn:4",
        "this file is imported at m.cnn:1",
    )


def test_syntax_errors_in_an_imported_file() -> None:
    write("m.cnn", 'import "b.cnn"\n' + MODEL)
    write("b.cnn", "block b(n) {\n  conv(n, 9x9) relu\n}\n")
    (found, *_) = [d for d in errors() if d.code == "missing-arrow"]
    assert found.notes == ("this file is imported at m.cnn:1",)


def test_the_search_path(tmp_path: Path) -> None:
    write("m.cnn", 'import "b.cnn"\n' + MODEL)
    write("../shared/b.cnn", "block b(n) { conv(n, 1) }")
    (found,) = [d for d in errors() if d.code == "bad-import"]
    assert found.help is not None
    assert "-I DIRECTORY" in found.help
    assert resolved(search=["../shared"]).nodes
    assert resolved(search=(tmp_path / "shared",)).nodes
    write("m.cnn", 'import "../shared/b.cnn"\n' + MODEL)
    assert resolved(search=["../shared"]).nodes


@pytest.mark.parametrize(
    "path", ["../out.cnn", "sub/../../out.cnn", "link.cnn", "linked/out.cnn", "/dev/zero", "fifo"]
)
def test_no_way_out_of_the_search_path(path: str) -> None:
    write("../out.cnn", "block b(n) { conv(n, 1) }")
    Path("sub").mkdir()
    Path("link.cnn").symlink_to("../out.cnn")
    Path("linked").symlink_to("..")
    os.mkfifo("fifo")
    write("m.cnn", f'import "{path}"\n' + MODEL)
    assert "bad-import" in [d.code for d in errors()]


def test_a_link_within_is_fine() -> None:
    write("real/b.cnn", "block b(n) { conv(n, 1) }")
    Path("b.cnn").symlink_to("real/b.cnn")
    write("m.cnn", 'import "b.cnn"; import "real/b.cnn"\n' + MODEL)
    assert resolved().nodes


def test_files_that_are_no_specs() -> None:
    write(
        "m.cnn", 'import "b.cnn"; import "c.cnn"; import "a\0b"\n' + MODEL.replace("b(3)", "relu")
    )
    Path("b.cnn").write_bytes(b"\xff")
    Path("c.cnn").write_bytes(b"#" * 2**21)
    assert [d.code for d in errors()] == ["bad-import", "too-large", "bad-import"]


def test_many_files_are_refused() -> None:
    for number in range(120):
        write(f"f{number}.cnn", f'import "f{number + 1}.cnn"')
    write("m.cnn", 'import "f0.cnn"\n' + MODEL.replace("b(3)", "relu"))
    (found,) = errors()
    assert found.message == "a spec imports at most 100 files"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("m.cnn", ("m.cnn", None)),
        ("m.cnn:small", ("m.cnn", "small")),
        ("plain:small", ("plain", "small")),
        ("missing:small", ("missing:small", None)),
        ("odd:name", ("odd:name", None)),
        ("odd:name:small", ("odd:name", "small")),
        (r"C:\m.cnn", (r"C:\m.cnn", None)),
        (r"C:\m.cnn:small", (r"C:\m.cnn", "small")),
        (":small", (":small", None)),
        ("m.cnn:", ("m.cnn:", None)),
        ("m.cnn:5", ("m.cnn:5", None)),
    ],
)
def test_a_model_after_a_colon(spec: str, expected: tuple[str, str | None]) -> None:
    for name in ("m.cnn", "plain", "odd:name"):
        write(name, "")
    assert split_model(spec) == expected


def test_a_model_is_chosen_once() -> None:
    write(
        "m.cnn", "model a { input x: float32[2]; dense(1) }\nmodel b { input x: float32[2]; relu }"
    )
    source, options = open_spec("m.cnn:b")
    assert dict(lower(source, options))["graph"].name == "b"
    assert open_spec("m.cnn:b", Options(model="b"))[1].model == "b"
    with pytest.raises(CompileError) as caught:
        open_spec("m.cnn:b", Options(model="a"))
    assert caught.value.diagnostics[0].code == "ambiguous-model"
