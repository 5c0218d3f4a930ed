"""docs/tutorial.md does what it says: its blocks run in order, in one directory and one Python."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cnnc.compiler import Options, emit
from cnnc.frontend import read_source
from cnnc.resources import resource

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")
FLAGS = doctest.ELLIPSIS
EQUATION = re.compile(r"`([-+*/() 0-9]+?)\s*=\s*(-?[0-9]+)`")


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    line: int
    varies: bool


def blocks() -> Iterator[Block]:
    for found in re.finditer(
        r"^(<!-- figures vary -->\n)?```(\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE
    ):
        yield Block(found[2], found[3], TEXT[: found.start(3)].count("\n") + 1, bool(found[1]))


def of_kind(kind: str) -> list[Block]:
    found = [block for block in blocks() if block.kind == kind]
    assert found
    return found


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory as the reader has it: specs/ inside, `cnnc` on the path."""
    shutil.copytree(resource("specs"), tmp_path / "specs")
    command = tmp_path / "bin" / "cnnc"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m cnnc "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("lenet", None)


def test_all_of_it_runs(clone: Path) -> None:
    scope: dict[str, Any] = {}
    answers = ""
    for block in blocks():
        if block.kind == "console":
            answers += run_console(block)
        elif block.kind == "python":
            run_python(block, scope)
    lenet, perceptron = map(float, re.findall(r"^test accuracy: (\S+) %", answers, re.MULTILINE))
    assert lenet > 98.5
    assert 100 - perceptron > 3 * (100 - lenet), "wrong several times as often, says the text"


def run_python(block: Block, scope: dict[str, Any]) -> None:
    name = f"line {block.line} of {PAGE.name}"
    test = doctest.DocTest(
        doctest.DocTestParser().get_examples(block.text, name), scope, name, str(PAGE), 0, None
    )
    assert test.examples, f"{name}: no examples"
    report: list[str] = []
    # A DocTest copies the names it starts from; the next block needs those it has made.
    result = doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(
        test, out=report.append, clear_globs=False
    )
    scope.update(test.globs)
    assert not result.failed, "".join(report)


def run_console(block: Block) -> str:
    answers = ""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        done = subprocess.run(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert not block.varies or done.returncode == 0, done.stdout
        shown = without_figures if block.varies else str
        wanted, found = (shown(without_building(text)) for text in (expected, done.stdout))
        same = doctest.OutputChecker().check_output(wanted, found, FLAGS)
        assert same, f"$ {command}\n{done.stdout}"
        answers += done.stdout
    return answers


def without_building(text: str) -> str:
    """What is compiled already, by another test perhaps, is not compiled again."""
    return re.sub(r"^compiling \w+ \.\.\.\n", "", text, flags=re.MULTILINE)


def without_figures(text: str) -> str:
    return re.sub(r"\d[\d,.]*", "0", text)


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    assert {block.kind for block in blocks()} == {"cnn", "console", "cython", "python"}
    assert TEXT.count("```") == 2 * len(list(blocks()))


@pytest.mark.parametrize("block", of_kind("cnn"), ids=lambda block: f"line-{block.line}")
def test_specs_are_those_of_the_examples(block: Block) -> None:
    specs = [path.read_text(encoding="utf-8") for path in resource("specs").glob("*.cnn")]
    assert any(block.text in spec for spec in specs)


def test_generated_code_is_what_cnnc_emits() -> None:
    (block,) = of_kind("cython")
    assert "cnnc emit pyx specs/edge.cnn --target x86-64-v3\n" in TEXT
    source = read_source(resource("specs", "edge.cnn"))
    assert block.text in emit(source, "pyx", Options(target="x86-64-v3"))


def test_the_gradient_kernel_that_it_names_exists() -> None:
    source = read_source(resource("specs", "edge.cnn"))
    code = emit(source, "pyx", Options(target="x86-64-v3"))
    assert "`conv1_weight_gradient`" in TEXT
    assert "void conv1_weight_gradient(" in code


def test_arithmetic_in_the_text() -> None:
    equations = EQUATION.findall(TEXT)
    assert len(equations) >= 15
    for left, right in equations:
        assert eval(left) == int(right), f"{left} = {right}"  # noqa: S307 - digits and signs


def test_shares_in_the_text() -> None:
    """Part 10: the convolutions' share of LeNet's parameters and work, from its table."""
    assert "have 4 % of the parameters and do 86 % of the work" in TEXT
    assert round(100 * (156 + 2_416) / 61_706) == 4
    assert round(100 * (117_600 + 240_000) / 416_520) == 86


def test_every_link_leads_somewhere() -> None:
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)", prose):
        assert (PAGE.parent / target).is_file(), target
