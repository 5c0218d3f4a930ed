from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.diagnostics import CompileError, Diagnostic, Source
from cnnc.frontend import Limits, parse, read_source, resolve
from cnnc.ir.graph import Graph
from cnnc.ops.initializers import Constant, Glorot, He, Zeros
from cnnc.resources import resource

LENET = resource("specs", "lenet.cnn")


def resolved(text: str, **options: object) -> Graph:
    return resolve(parse(Source("test.cnn", text)), **options)  # type: ignore[arg-type]


def model(body: str, head: str = "m", **options: object) -> Graph:
    return resolved(f"model {head} {{\ninput image: float32[3, 8, 8]\n{body}\n}}", **options)


def errors(text: str, **options: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        resolved(text, **options)
    return caught.value.diagnostics


def attribute(expression: str, head: str = "m") -> object:
    """What scale(expression) multiplies by."""
    return model(f"scale({expression})", head).node("scale1").op.factor  # type: ignore[union-attr]


def test_lenet() -> None:
    graph = resolve(parse(read_source(LENET)))
    assert graph.name == "lenet"
    assert " ".join(node.name for node in graph.nodes) == (
        "image scale1 conv1 relu1 maxpool1 conv2 relu2 maxpool2 flatten1 "
        "dense1 relu3 dense2 relu4 dense3"
    )
    shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
    assert shapes["conv1.weight"] == (6, 1, 5, 5)
    assert shapes["dense1.weight"] == (120, 400)
    assert [(output.name, output.tensor) for output in graph.outputs] == [("dense3", "dense3")]
    training = graph.training
    assert training is not None
    assert (training.data, training.batch, training.epochs, training.seed) == ("mnist", 64, 3, 0)
    assert graph.node("conv2").span is not None
    assert graph.node("conv2").span.line == 7  # type: ignore[union-attr]


def test_initialisers_follow_the_readers() -> None:
    graph = model(
        "a = conv(4, 1) -> relu\nb = conv(4, 1)\nb2 = b -> relu\n"
        "c = conv(4, 1, init=constant(0.5))\nd = conv(4, 1)\nd2 = d -> relu\nadd(a, b, b2, c, d2)"
    )
    found = {p.name: p.initializer for p in graph.parameters}
    assert found["conv1.weight"] == He()
    assert found["conv1.bias"] == Zeros()
    assert found["conv2.weight"] == Glorot()
    assert found["conv3.weight"] == Constant(0.5)
    assert found["conv4.weight"] == He()


def test_current_value_and_names() -> None:
    graph = model(
        "a = conv(4, 1)\nb = conv(4, 1) -> relu\nconv(2, 1)\nconcat(a, b)\na -> conv(9, 1)"
    )
    inputs = {node.name: node.inputs for node in graph.nodes}
    assert inputs["conv4"] == ("conv1",)
    assert set(inputs) == {"image", "conv1", "conv4"}
    assert graph.outputs[0].name == "conv4"


def test_output_is_named_after_its_binding() -> None:
    graph = model("scores = conv(4, 1) -> relu\nscores")
    assert [(output.name, output.tensor) for output in graph.outputs] == [("scores", "relu1")]


def test_several_inputs_and_outputs() -> None:
    graph = resolved(
        "model m { input a: float32[4]; input b: uint8[4]; c = dense(3)\n"
        "d = a -> dense(2)\n output d, c }"
    )
    assert [node.name for node in graph.inputs()] == ["a", "b"]
    assert [(o.name, o.tensor) for o in graph.outputs] == [("d", "dense2"), ("c", "dense1")]
    assert graph.node("dense1").inputs == ("b",)


def test_labels_rename_no_other_layer() -> None:
    graph = model(
        "stem: conv(4, 1) -> conv(4, 1) -> conv2: relu -> conv(3, 1)".replace("conv2", "r")
    )
    assert [node.name for node in graph.nodes][1:] == ["stem", "conv2", "r", "conv3"]
    assert graph.parameter("stem.weight").shape == (4, 3, 1, 1)


def test_values_of_arguments() -> None:
    graph = model(
        "conv(6/2, 3, stride=2x1, pad=(1, 2))\n"
        "conv(4, [k, 1], pad=[1, (0, 2)], bias=no)\nmaxpool(2)",
        "m(k=3)",
    )
    first, second = graph.node("conv1").op, graph.node("conv2").op
    assert (first.filters, first.kernel, first.stride) == (3, (3, 3), (2, 1))  # type: ignore[union-attr]
    assert first.pad == ((1, 2), (1, 2))  # type: ignore[union-attr]
    assert second.kernel == (3, 1)  # type: ignore[union-attr]
    assert second.pad == ((1, 1), (0, 2))  # type: ignore[union-attr]
    assert graph.node("conv2").parameters == ("conv2.weight",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7 // 2 + 7 % 4 - 2 ** 3", -2),
        ("-7 // 2", -4),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("2 ** 3 ** 2 / 512", 1),
        ("(-1) ** 1000001", -1),
        ("0 ** 0 + 1 ** 99999999", 2),
        ("4 ** 0.5", 2),
        ("1 if n > 2 and not no else 2", 1),
        ("1 if n == 4 or yes != no else 1 / 0", 1),
        ("n / 0 if no else n", 3),
        ("n if no or n <= 3 else 0", 3),
        ("9 ** 19", 9**19),
    ],
)
def test_arithmetic(text: str, value: float) -> None:
    assert attribute(text, "m(n=3)") == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "9 ** 9 ** 9",
        "2 ** 64",
        "9223372036854775807 + 1",
        "1e308 * 10",
        "10.0 ** 400",
        "0 ** -1",
        "0.0 ** -1",
        "1 % 0",
        "1.0 // 0",
        "(-8) ** 0.5",
        "3037000500 * 3037000500",
    ],
)
def test_impossible_arithmetic(text: str) -> None:
    (found,) = errors(f"model m {{ input x: float32[1]; scale({text}) }}")
    assert found.code == "arithmetic"


def test_notes_tell_where_a_number_comes_from() -> None:
    text = "model m(classes=0,\n n=classes * 2) {\ninput x: float32[4]\ndense(n)\n}"
    (found,) = errors(text)
    assert found.notes == ("n = 0 is set on line 2",)
    (found,) = errors(text, parameters={"n": -1})
    assert found.notes == ("n = -1 was set from outside the file",)


def test_parameters_from_outside() -> None:
    text = "model m(n, double=n * 2) { input x: float32[4]; dense(double) }"
    assert resolved(text, parameters={"n": 3}).outputs[0].tensor == "dense1"
    assert resolved(text, parameters={"n": 3.0, "double": 7}).node("dense1").shape == (7,)
    (found,) = errors(text, parameters={"n": 3, "m": 4})
    assert found.code == "unknown-parameter"
    (found,) = errors(text, parameters={"n": float("nan")})
    assert found.code == "bad-value"


def test_choice_of_a_model() -> None:
    text = "model a { input x: float32[4]; dense(2) }\nmodel b { input x: float32[4]; dense(3) }"
    assert resolved(text, model="b").node("dense1").shape == (3,)
    assert errors(text)[0].notes == ("they are a, b",)
    (found,) = errors(text, model="c")
    assert (found.code, found.help) == ("unknown-model", "models: a, b")


def test_provenance_of_both_operands() -> None:
    found = errors(
        "model m {\ninput x: float32[4]\na = dense(2)\nb = dense(3)\nadd(a, b)\n}",
    )
    assert found[0].notes == (
        "a comes from dense on line 3: (4) -> (2)",
        "b comes from dense on line 4: (4) -> (3)",
    )
    assert found[0].span is not None
    assert found[0].span.text == "b"


def test_errors_do_not_cascade() -> None:
    found = errors(
        "model m(n=1/0) {\ninput x: float32[n]\na = rleu -> dense(n)\nb = a -> dense(3)\n"
        "add(a, b) -> flatten\ndense(2) -> conv(1, 99x99)\n}\n"
        "train { loss cross_entropy; optimizer sgd(1) }"
    )
    assert [d.code for d in found] == ["arithmetic", "unknown-layer"]


def test_warnings_do_not_fail() -> None:
    warnings: list[Diagnostic] = []
    model("a = conv(4, 1)\nrelu", "m(n=1)", warn=warnings.append)
    assert [(w.code, w.severity) for w in warnings] == [("unused-name", "warning")] * 2


def test_dead_layers_are_left_out() -> None:
    graph = model("a = conv(4, 1) -> relu\nconv(2, 1)")
    assert [node.name for node in graph.nodes] == ["image", "conv2"]
    assert [p.name for p in graph.parameters] == ["conv2.weight", "conv2.bias"]


def test_node_limit() -> None:
    (found,) = errors(
        "model m { input x: float32[4]; " + "relu;" * 12 + "}", limits=Limits(nodes=10)
    )
    assert found.code == "too-large"


def test_misspelt_names_get_a_suggestion() -> None:
    found = errors(
        "model m(width=3) {\ninput x: float32[4]\nflaten\ndense(widht)\ndense(3, bais=no)\n"
        "hidden = dense(2)\nhiden\ndense(2, init=Glorot)\n}\n"
        "train { losss mse; loss mes; optimizer sgb(1) }"
    )
    assert [d.help for d in found] == [
        f"did you mean {name}?"
        for name in ("flatten", "width", "bias", "hidden", "glorot", "loss", "mse", "sgd")
    ]


def test_graph_is_the_same_under_any_hash_seed() -> None:
    program = (
        "from cnnc.frontend import *; from cnnc.resources import resource;"
        "print(resolve(parse(read_source(resource('specs', 'lenet.cnn')))))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(LENET).parents[1])},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert "conv2" in texts.pop()


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        ("relu", "he"),
        ("batchnorm -> relu", "he"),
        ("groupnorm(2) -> dropout -> gelu", "he"),
        ("batchnorm", "glorot"),
        ("sigmoid", "glorot"),
        ("maxpool(2) -> relu", "glorot"),
    ],
)
def test_what_follows_a_layer_chooses_its_first_weights(after: str, wanted: str) -> None:
    text = f"model a {{\n input x: float32[2, 8]\n conv(4, 3, bias=no) -> {after}\n}}\n"
    graph = resolve(parse(Source("a.cnn", text)))
    assert wanted == graph.parameter("conv1.weight").initializer.NAME
