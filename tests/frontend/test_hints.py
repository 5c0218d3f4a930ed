"""What a newcomer writes from habit is answered with what to write instead."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cnnc.diagnostics import CompileError, Diagnostic, Source, record
from cnnc.frontend import parse, read_source, resolve

CALL = "model m { input x: float32[3, 8, 8]"
HIDDEN = (
    "rate is a parameter of the model: put the train block inside the model's braces to read it"
)


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
        ("split(image, 3)", "misplaced-value", "write a, b = image -> split(3)"),
        ("mul(image, 0.1)", "bad-type", "to multiply by a number write scale(0.1)"),
        ("concat([image, image])", "bad-type", "write concat(image, image)"),
        ("conv(4, 3x3, relu)", "misplaced-value", "write conv(4, 3x3) -> relu"),
        ("global_avgpool -> conv(4, 1)", "shape-mismatch", "global_avgpool(keep=yes) keeps"),
        ("conv(4, 3, act=tanh)", "unknown-argument", "a layer of its own: conv(...) -> tanh"),
        ("reshape([1, 192]) -> conv(4, 3x3)", "rank-mismatch", "write one number"),
        ("depthwise(7x7, same)", "bad-type", "same is a padding: pad=same"),
        ("conv(4, 3x3, bias=False)", "undefined-name", "write no"),
        ("conv(4, 3x3, init=xavier)", "undefined-name", "did you mean glorot?"),
        ("conv(4, 3x3, init=normal(0.1))", "undefined-name", "initialisers: constant,"),
        ("conv(4, 3x3, padding=1)", "unknown-argument", "did you mean pad?"),
        ("conv(4, (3, 3))", "bad-type", "write 3x3"),
        ("conv(8 / 3, 3x3)", "bad-type", "// divides and rounds down"),
        ("let k = 3; conv(4, kxk)", "undefined-name", "write [k, k]"),
        ('upsample(2, mode="bilinear")', "bad-type", "drop the quotes: mode=bilinear"),
        ("let act = relu; tanh", "bad-type", None),
        ("repeat depth { relu }", "undefined-name", None),
        ("relu if deep else tanh", "undefined-name", None),
        ("image = conv(4, 3x3)", "duplicate-name", None),
        ("a = conv(4, 3x3)", "bad-output", "or end the model with a"),
        ("output relu", "undefined-name", "relu is a layer; name its result"),
        ("relu -> (tanh)", "syntax-error", "write a -> b -> c; `if` chooses"),
        ("(relu if yes else tanh) -> tanh", "syntax-error", "write a -> b -> c; `if` chooses"),
        ("relu -> tanh if yes -> relu", "syntax-error", "give the choice a line of its own"),
        ("relu -> tanh if n > 1 -> relu", "syntax-error", "give the choice a line of its own"),
        ("relu --> tanh", "syntax-error", "write -> between layers"),
        ("relu if 2 => 1 else tanh", "syntax-error", "write >="),
        ("Repeat 3 { relu }", "syntax-error", "write repeat"),
        ("Output image", "syntax-error", "write output"),
        ("relu => tanh", "syntax-error", "write -> between layers"),
        ("for i in 1..3 { relu }", "syntax-error", "write repeat i in 1..3 { ... }"),
        ("return image", "syntax-error", "the last chain without a name is the result"),
        ("conv(4, 3x3).relu()", "unexpected-character", "by an arrow: ... -> relu"),
        ("relu if deep = yes else tanh", "syntax-error", "== compares"),
        ("my-net = relu", "syntax-error", "write my_net"),
        ("add image, image", "syntax-error", "write add(image, image)"),
        ("// comment", "syntax-error", "# starts a comment"),
        ("conv(4, 3x3) // comment", "syntax-error", "# starts a comment"),
    ],
)
def test_layers(layer: str, code: str, help: str | None) -> None:
    (found,) = errors(f"model m {{\n input image: float32[3, 8, 8]\n {layer}\n}}\n")
    assert found.code == code
    assert help is None or help in (found.help or "")


@pytest.mark.parametrize(
    ("entry", "help"),
    [
        ("epochs = 3", "write it as epochs 3"),
        ("batch: 32  # small", "write it as batch 32"),
        ("optimizer = sgd(lr=0.1)", "write it as optimizer sgd(lr=0.1)"),
        ("optimizer = sgd(\nlr=0.1)", "write it as optimizer sgd(...)"),
        ("seed", "write it as seed 0"),
        ("loss bce; optimizer adam", "did you mean binary_cross_entropy?"),
        ("lr 0.1; loss mse; optimizer adam", "it is the optimizer's: optimizer sgd(lr=...)"),
        ("loss cross_entropy(a); optimizer adam", "write output=a"),
        ("loss mse; optimizer sgd(lr=rate)", HIDDEN),
        ("batch 64 // samples a step", "# starts a comment"),
        ("batch 128 // 2 epochs 3", "start a new line, or put ; between entries"),
    ],
)
def test_train_entries(entry: str, help: str) -> None:
    model = "model m(rate=0.1) { input x: float32[3]; a = dense(2 if rate > 0 else 3); output a }\n"
    (found,) = errors(f"{model}train {{\n {entry}\n}}\n")
    assert found.help == help


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        (
            "block b(k) { conv(3, k) }\nmodel m { input x: float32[3, 8, 8]; b(relu) }",
            "relu is a",
            None,
        ),
        (
            "block b(k, own=1) { conv(own, k) }\nmodel m { input x: float32[3, 8, 8]; b(same) }",
            "conv's kernel",
            "same is a padding: pad=same",
        ),
        (
            f"block b(p, own=1) {{ conv(own, 1, pad=p) }}\n{CALL}; b(nearest) }}",
            "no padding or parameter is called nearest",
            "paddings: same, valid",
        ),
        (
            f"block b(m) {{ upsample(2, mode=m) }}\n{CALL}; b(m=bilinera) }}",
            "no parameter is called bilinera",
            "did you mean bilinear?",
        ),
        ("model m(act=relu) { input x: float32[3]; relu }", "relu is a layer, not a value", None),
        (
            "model m { input x: float32[None, 3, 8, 8]; relu }",
            "the batch axis is implied",
            "leave None out",
        ),
        (
            "block b { out = relu }\nmodel m { input x: float32[3]; b }",
            "block b has no result",
            "write the chain without out =, or end the block with out",
        ),
        ("Model m { input x: float32[3]; relu }", "in lower case, found Model", "write model"),
        ("model my-net { input x: float32[3]; relu }", "letters, digits and _", "write my_net"),
        (
            'import "none.cnn"\nmodel m { input x: float32[3]; resblock(3) }',
            "there is no file none.cnn",
            "looked for in .; a further directory is added by -I DIRECTORY",
        ),
    ],
)
def test_files(text: str, message: str, help: str | None) -> None:
    (found,) = errors(text)
    assert message in found.message
    assert found.help == help


def test_a_list_of_all_layers_is_wrapped() -> None:
    (found,) = errors("model m { input x: float32[3]; qqq }")
    assert found.help is not None
    assert max(map(len, found.help.split("\n"))) <= 80


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
    started = time.process_time()
    for filler in (" ", "\n", "model ", "model\n"):
        assert errors("model" + filler * (200_000 // len(filler)) + "}")
    assert time.process_time() - started < 5


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        read_source(tmp_path / "none.cnn")
    (found,) = map(record, caught.value.diagnostics)
    assert (found["file"], found["line"]) == (str(tmp_path / "none.cnn"), None)
