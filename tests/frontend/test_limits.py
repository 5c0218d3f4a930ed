"""Small files that describe huge networks end in an error, soon and before memory is taken."""

from __future__ import annotations

import time

import pytest

import cnnc
from cnnc.cli.building import compile_command
from cnnc.diagnostics import CompileError, Diagnostic, Source
from cnnc.frontend import Limits, parse, resolve
from cnnc.limits import SETTABLE

INPUT = "input x: float32[3, 8, 8]\n"
CHAIN = (
    "".join(f"block b{i} {{ b{i + 1} -> b{i + 1} }}\n" for i in range(30)) + "block b30 { relu }\n"
)
DEEP = "".join(f"block b{i} {{ b{i + 1} }}\n" for i in range(60)) + "block b60 { relu }\n"
WIDE = "model m { input x: float32[3, 1000, 1000]\nrepeat 99 { conv(900, 3x3, pad=same) } }"


def errors(text: str, **options: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        resolve(parse(Source("a.cnn", text)), **options)  # type: ignore[arg-type]
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (
            f"model m {{ {INPUT} repeat 1000000000 {{ repeat 1000000000 {{ relu }} }} }}",
            "too-large",
            "10,000 layers",
        ),
        (
            f"model m {{ {INPUT} relu; repeat 1000000000 {{ repeat 1000000000 {{ }} }} }}",
            "too-large",
            "100,000",
        ),
        (
            f"model m {{ {INPUT} relu; repeat 9000000000000000000 {{ let a = 1 }} }}",
            "too-large",
            "100,000",
        ),
        (
            f"model m {{ {INPUT} repeat 1000000000 {{ reluu; let a = b; add(x, y) }} }}",
            "unknown-layer",
            "reluu",
        ),
        (f"{CHAIN}model m {{ {INPUT} b0 }}", "too-large", "10,000 layers"),
        (f"{DEEP}model m {{ {INPUT} b0 }}", "too-deep", "32 deep"),
        (
            f"model m {{ {INPUT} repeat 99999 {{ conv(1000000, 8x8, pad=same) }} }}",
            "too-large",
            "parameters here",
        ),
        (WIDE, "too-large", "bytes here"),
    ],
    ids=["layers", "passes", "lets", "errors", "doubling", "depth", "parameters", "memory"],
)
def test_it_ends_soon(text: str, code: str, words: str) -> None:
    started = time.process_time()
    found = errors(text)
    assert time.process_time() - started < 5  # whatever else the machine does
    assert code in [d.code for d in found]
    assert any(words in d.message for d in found)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(nodes=4), "too-large"),
        (Limits(parameters=100), "too-large"),
        (Limits(memory=1000), "too-large"),
        (Limits(depth=1), "too-deep"),
    ],
)
def test_limits_may_be_lowered(limits: Limits, code: str) -> None:
    text = f"block b {{ conv(3, 3x3, pad=same) }}\nmodel m {{ {INPUT} repeat 4 {{ b }} }}"
    assert resolve(parse(Source("a.cnn", text))).nodes
    (found,) = errors(text, limits=limits)
    assert found.code == code
    assert found.help is not None
    assert "--max-" in found.help


def test_the_deepest_network_is_no_matter_for_the_stack() -> None:
    most = SETTABLE["depth"]
    blocks = "".join(f"block b{i} {{ repeat 1 {{ b{i + 1} }} }}\n" for i in range(most // 2 - 1))
    text = f"{blocks}block b{most // 2 - 1} {{ repeat 1 {{ relu }} }}\nmodel m {{ {INPUT} b0 }}"
    assert resolve(parse(Source("a.cnn", text)), limits=Limits(depth=most)).nodes


def test_the_command_line_has_these_limits() -> None:
    given = {parameter.name for parameter in compile_command.params}
    assert {f"max_{name}" for name in SETTABLE} <= given


def test_limits_from_python(tmp_path: object) -> None:
    path = tmp_path / "a.cnn"  # type: ignore[operator]
    path.write_text(f"model m {{ {INPUT} relu -> relu }}")
    with pytest.raises(CompileError, match="more than 2 layers"):
        cnnc.compile(path, max_nodes=2)
    with pytest.raises(TypeError, match=r"max_memory is an int, a number of bytes, got '8GB'"):
        cnnc.compile(path, max_memory="8GB")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"max_nodes is an int, got 2\.5"):
        cnnc.compile(path, max_nodes=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"parameters is a dict of numbers by name, got \[1\]"):
        cnnc.compile(path, parameters=[1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="search is a list of directories, got 'blocks'"):
        cnnc.compile(path, search="blocks")
    with pytest.raises(TypeError, match="no argument max_node"):
        cnnc.compile(path, max_node=2)
    with pytest.raises(ValueError, match="max_depth is from 1 to 64"):
        cnnc.compile(path, max_depth=65)
