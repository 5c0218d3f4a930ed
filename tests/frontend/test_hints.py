"""What a newcomer writes from habit is answered with what to write instead."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cnnc.diagnostics import CompileError, Diagnostic, Source, record
from cnnc.frontend import parse, read_source, resolve


def errors(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        resolve(parse(Source("a.cnn", text)))
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("layer", "code", "help"),
    [
        ("relu(image)", "misplaced-value", "write image -> relu"),
        ("relu(x)", "misplaced-value", "write x -> relu"),
        ("conv(image, 4, 3x3)", "misplaced-value", "write image -> conv(4, 3x3)"),
        ("relu(conv(4, 3x3))", "misplaced-value", "write conv(4, 3x3) -> relu"),
        ("linear(10)", "unknown-layer", "did you mean dense?"),
        ("fc(10)", "unknown-layer", "did you mean dense?"),
        ("pool(2)", "unknown-layer", "did you mean maxpool?"),
        ("max_pool(2)", "unknown-layer", "did you mean maxpool?"),
        ("AvgPool2d(2)", "unknown-layer", "did you mean avgpool?"),
        ("conv2d(4, 3x3)", "unknown-layer", "did you mean conv?"),
        ("Conv2d(4, 3x3)", "unknown-layer", "did you mean conv?"),
        ("LeakyReLU", "unknown-layer", "did you mean leaky_relu?"),
        ("ConvTranspose2d(4, 2x2)", "unknown-layer", "did you mean conv_transpose?"),
        ("GlobalAveragePooling2D", "unknown-layer", "did you mean global_avgpool?"),
        ("swish", "unknown-layer", "did you mean silu?"),
        ("interpolate(2)", "unknown-layer", "did you mean upsample?"),
        ("// comment", "syntax-error", "# starts a comment"),
        ("conv(4, 3x3) // comment", "syntax-error", "# starts a comment"),
    ],
)
def test_layers(layer: str, code: str, help: str) -> None:
    (found,) = errors(f"model m {{\n input image: float32[3, 8, 8]\n {layer}\n}}\n")
    assert (found.code, found.help) == (code, help)


@pytest.mark.parametrize(
    ("entry", "help"),
    [
        ("epochs = 3", "write it as epochs 3"),
        ("batch: 32  # small", "write it as batch 32"),
        ("optimizer = sgd(lr=0.1)", "write it as optimizer sgd(lr=0.1)"),
        ("optimizer = sgd(\nlr=0.1)", "write it as optimizer sgd(...)"),
        ("seed", "write it as seed 0"),
        ("batch 64 // samples a step", "# starts a comment"),
        ("batch 128 // 2 epochs 3", "start a new line, or put ; between entries"),
    ],
)
def test_train_entries(entry: str, help: str) -> None:
    (found,) = errors(f"train {{\n {entry}\n}}\n")
    assert found.help == help


def test_a_parameter_without_a_value() -> None:
    (found,) = errors("model m(k) {\n input x: float32[3]\n dense(k)\n}\n")
    assert found.help is not None
    assert "--set k=…" in found.help


@pytest.mark.parametrize("head", ["model m", "model m(a=1)", "model m(a=1,\n b=2)  # {", "train"])
def test_a_missing_brace(head: str) -> None:
    text = (
        f"model right {{\n input x: float32[3]\n dense(2)\n}}\n{head}\n input x: float32[3]\n}}\n"
    )
    (found,) = errors(text)
    assert (found.code, found.span and found.span.line) == ("missing-brace", 5)
    assert found.help is not None
    assert found.help.endswith(" {")


def test_a_missing_brace_is_looked_for_quickly() -> None:
    started = time.perf_counter()
    for filler in (" ", "\n", "model ", "model\n"):
        assert errors("model" + filler * (200_000 // len(filler)) + "}")
    assert time.perf_counter() - started < 5


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        read_source(tmp_path / "none.cnn")
    (found,) = map(record, caught.value.diagnostics)
    assert (found["file"], found["line"]) == (str(tmp_path / "none.cnn"), None)
