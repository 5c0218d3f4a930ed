"""Blocks, repeats, lets and alternatives: what they expand to, and what the layers are called."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import CompileError, Diagnostic, Source, render
from cnnc.frontend import parse, resolve
from cnnc.ir.graph import Graph

RESIDUAL = """
block residual(filters, stride=1) {
    main     = conv(filters, 3x3, stride=stride, pad=same, bias=no) -> relu
            -> conv(filters, 3x3, pad=same, bias=no)
    shortcut = conv(filters, 1x1, stride=stride, bias=no)  if stride != 1  else identity
    add(main, shortcut) -> relu
}
"""


def resolved(text: str, **options: object) -> Graph:
    return resolve(parse(Source("test.cnn", text)), **options)  # type: ignore[arg-type]


def model(body: str, before: str = "", **options: object) -> Graph:
    text = f"{before}\nmodel m {{\ninput image: float32[4, 8, 8]\n{body}\n}}"
    return resolved(text, **options)


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes][1:]


def errors(text: str, **options: object) -> tuple[Diagnostic, ...]:
    with pytest.raises(CompileError) as caught:
        resolved(text, **options)
    return caught.value.diagnostics


def test_a_block_reads_the_current_value_and_its_result_becomes_it() -> None:
    graph = model("conv(4, 1) -> residual(8, stride=2) -> conv(3, 1)", RESIDUAL)
    reads = {node.name: node.inputs for node in graph.nodes}
    assert reads["residual1.conv1"] == ("conv1",)
    assert reads["residual1.conv3"] == ("conv1",)
    assert reads["residual1.add1"] == ("residual1.conv2", "residual1.conv3")
    assert reads["conv2"] == ("residual1.relu2",)
    assert graph.parameter("residual1.conv3.weight").shape == (8, 4, 1, 1)


def test_an_alternative_that_is_not_chosen_makes_no_layers() -> None:
    graph = model("residual(4)", RESIDUAL)
    assert names(graph) == [
        f"residual1.{name}" for name in ("conv1", "relu1", "conv2", "identity1", "add1", "relu2")
    ]


def test_alternatives_follow_each_other() -> None:
    text = "relu if n == 1 else dense(n) if n == 2 else flatten -> dense(9)"
    shapes = [
        resolved(f"model m(n=1) {{\ninput x: float32[4]\n{text}\n}}", parameters={"n": n})
        .nodes[-1]
        .shape
        for n in (1, 2, 3)
    ]
    assert shapes == [(4,), (2,), (9,)]


def test_names_nest_and_labels_override() -> None:
    stage = "block stage(n) { residual(n) -> last: residual(n); conv(n, 1) }"
    graph = model("stage(4)\nthird: stage(4)\nstage(4)\nconv(2, 1)", RESIDUAL + stage)
    found = {name.rpartition(".")[0] for name in names(graph)}
    assert {"stage1.residual1", "stage1.last", "third.residual1", "stage3", ""} <= found
    assert "stage2" not in {name.split(".")[0] for name in names(graph)}
    assert graph.outputs[0].name == "conv1"


def test_the_output_of_a_block_is_called_after_the_call() -> None:
    graph = model("residual(4)", RESIDUAL)
    assert [(o.name, o.tensor) for o in graph.outputs] == [("residual1", "residual1.relu2")]
    graph = model("s: repeat 2 { relu }")
    assert [(o.name, o.tensor) for o in graph.outputs] == [("s", "s.relu2")]


def test_a_repeat_counts_on_and_a_labelled_one_counts_for_itself() -> None:
    graph = model("relu; repeat 2 { relu -> tanh }; s: repeat 2 { relu }; relu")
    assert names(graph) == [
        "relu1",
        "relu2",
        "tanh1",
        "relu3",
        "tanh2",
        "s.relu1",
        "s.relu2",
        "relu4",
    ]


def test_labels_in_repeats_get_the_number_of_the_pass() -> None:
    graph = model("repeat 2 { a: relu }; repeat i in 3..4 { b: relu; repeat 2 { c: relu } }")
    assert names(graph) == ["a1", "a2", "b3", "c3_1", "c3_2", "b4", "c4_1", "c4_2"]


def test_a_counter_is_a_number() -> None:
    graph = model("repeat i in 2..4 { conv(2 ** i, 1) }")
    assert [node.shape[0] for node in graph.nodes] == [4, 4, 8, 16]


@pytest.mark.parametrize("times", ["0", "1 - 1", "i in 1..0"])
def test_an_empty_repeat(times: str) -> None:
    assert names(model(f"repeat {times} {{ tanh }}; relu")) == ["relu1"]
    assert names(model(f"s: repeat {times} {{ tanh }}; relu")) == ["relu1"]
    block = f"block b {{ repeat {times} {{ tanh }} }}"
    assert names(model("b -> s: b; relu", block)) == ["relu1"]


def test_names_are_bound_anew_in_each_pass() -> None:
    graph = model("repeat 2 { x = identity; y = conv(4, 1); let n = 3; add(x, y) }")
    reads = {node.name: node.inputs for node in graph.nodes}
    assert reads["add2"] == ("identity2", "conv2")


def test_lets_are_words_extents_and_numbers() -> None:
    graph = model(
        "let n = width * 2\nconv(n, size, pad=padding, init=start)",
        "let width = 3; let size = [3, 1]\nlet padding = same; let zero = 0.5\n"
        "let start = constant(zero * 2)",
    )
    op = graph.node("conv1").op
    assert (op.filters, op.kernel, op.pad) == (6, (3, 1), ((1, 1), (0, 0)))  # type: ignore[union-attr]
    assert graph.parameter("conv1.weight").initializer.constant == 1.0  # type: ignore[attr-defined]


def test_arguments_of_a_call_mean_what_they_mean_to_the_caller() -> None:
    block = "block inner(n, pad, init) { conv(n, 3x3, pad=pad, init=init) }\n"
    outer = "block outer(n) { inner(n + 1, same, constant(n / 2)) }"
    graph = model("outer(4)", block + outer)
    assert graph.node("outer1.inner1.conv1").shape == (5, 8, 8)
    parameter = graph.parameter("outer1.inner1.conv1.weight")
    assert parameter.initializer.constant == 2.0  # type: ignore[attr-defined]


def test_a_default_may_use_the_parameters_before_it() -> None:
    graph = model("b(4); b(4, 3)", "block b(n, m=n * 2) { conv(m, 1) }")
    assert [node.shape[0] for node in graph.nodes] == [4, 8, 3]


def test_a_block_joins_values_of_the_caller() -> None:
    up = "block up(filters, skip) { x = conv(filters, 1); concat(x, skip) }"
    graph = model("enc = relu\nenc -> tanh -> up(3, enc) -> up(2, skip=image)", up)
    reads = {node.name: node.inputs for node in graph.nodes}
    assert reads["up1.concat1"] == ("up1.conv1", "relu1")
    assert reads["up2.concat1"] == ("up2.conv1", "image")
    assert graph.node("up2.concat1").shape == (6, 8, 8)


def test_a_block_may_stand_after_its_use() -> None:
    assert names(resolved("model m { input x: float32[4]\n b }\nblock b { relu }"))


def test_split_makes_a_node_for_each_name() -> None:
    graph = model("a, b = split(2)\nc, d = a -> relu -> parts: split(2)\nconcat(d, b, c)")
    assert names(graph) == ["split1_1", "split1_2", "relu1", "parts_1", "parts_2", "concat1"]
    assert graph.node("split1_2").shape == (2, 8, 8)


def test_a_mistake_in_a_block_is_reported_once_with_the_way_to_it() -> None:
    block = "block inner(n) {\nconv(n, 9x9)\n}\nblock outer(n) {\ninner(n)\n}\n"
    text = "model m {\ninput x: float32[4, 8, 8]\na = outer(3)\nrepeat 40 {\nouter(3)\n}\n}"
    (found,) = errors(block + text)
    assert found.code == "kernel-too-large"
    assert found.notes[-2:] == (
        "in block inner, called at line 5",
        "in block outer, called at line 9",
    )


def test_the_pass_of_a_repeat_is_named() -> None:
    text = "model m {\ninput x: float32[4, 8, 8]\nrepeat 40 {\nconv(4, 3x3)\n}\n}"
    (found,) = errors(text)
    assert found.notes[-1] == "in pass 4 of the repeat at line 3"


def test_how_often_a_mistake_is_met_is_told() -> None:
    block = "block b(n) {\nlet m = n / 0\nconv(m, 1)\n}\n"
    (found,) = errors(block + "model m {\ninput x: float32[4, 8, 8]\nb(1) -> b(2) -> b(3)\n}")
    assert found.notes == (
        "n = 1 is given on line 7",
        "in block b, called at line 7; the same in 2 more places",
    )


def test_a_value_that_every_call_leaves_unused_is_a_warning() -> None:
    warnings: list[Diagnostic] = []
    block = "block b(n, k=1) { x = relu; y = relu; z = tanh; conv(n, 1) -> relu }\n"
    model("b(2) -> b(3)", block, warn=warnings.append)
    messages = [warning.message for warning in warnings]
    assert messages == [
        "the parameter k is never used",
        "the value x is never used",
        "the value y is never used",
        "the value z is never used",
    ]


def test_what_only_the_other_alternative_reads_is_no_warning() -> None:
    warnings: list[Diagnostic] = []
    model("a = tanh\nb = relu\na -> relu if 1 > 2 else b", warn=warnings.append)
    assert not warnings


def test_a_model_takes_words_and_flags_no_numbers_from_outside() -> None:
    text = "model m(deep=no, lr=1e-3) { input x: float32[4]; dense(3 if deep else 2); scale(lr) }"
    assert resolved(text, parameters={"deep": True}).node("dense1").shape == (3,)
    assert resolved(text, parameters={"lr": 1e-4}).node("dense1").shape == (2,)


@pytest.mark.parametrize(
    ("train", "losses"),
    [
        ("train { loss mse(output=b); optimizer sgd(1) }", [("b", 1.0)]),
        (
            "train { loss mse(output=a, weight=2); loss l1(weight=n/4, output=b); optimizer adam }",
            [("a", 2.0), ("b", 0.5)],
        ),
    ],
)
def test_losses_of_several_outputs(train: str, losses: list[tuple[str, float]]) -> None:
    training = resolved(
        "model m(n=2) { input x: float32[4]; a = dense(n); b = dense(3); output a, b\n"
        f"{train} }}\nmodel other {{ input x: float32[4]; dense(2) }}",
        model="m",
    ).training
    assert training is not None
    assert [(loss.output, loss.weight) for loss in training.losses] == losses


def test_no_loss_has_an_argument_that_all_of_them_have() -> None:
    from cnnc.frontend.training import JUDGING
    from cnnc.ops import LOSSES

    assert not [f.name for loss in LOSSES.values() for f in loss.FIELDS if f.name in JUDGING]


def test_train_blocks_belong_to_models() -> None:
    models = "".join(
        f"model {name} {{ input x: float32[4]; dense(2){inside} }}\n"
        for name, inside in (("a", ""), ("b", "; train { loss l1; optimizer sgd(2) }"), ("c", ""))
    )
    text = models + "train a { loss mse; optimizer sgd(1) }"
    found = [resolved(text, model=name).training for name in ("a", "b", "c")]
    assert [t and t.losses[0].loss.NAME for t in found] == ["mse", "l1", None]
    (error,) = errors(models + "train { loss mse; optimizer sgd(1) }", model="a")
    assert error.code == "bad-training"
    assert "for none of them" in error.message
    (error,) = errors(models + "train d { loss mse; optimizer sgd(1) }", model="a")
    assert (error.code, error.help) == ("undefined-name", "models: a, b, c")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("min(3, n, 7)", 3),
        ("max(n)", 4),
        ("ceil(n / 3)", 2),
        ("floor(-n / 3)", -2),
        ("abs(-n)", 4),
        ("round(2.5) + round(3.5)", 6),
        ("ceil(2.1) / 2", 1.5),
    ],
)
def test_functions(text: str, value: float) -> None:
    graph = model(f"scale({text})", "let n = 4")
    assert graph.node("scale1").op.factor == pytest.approx(value)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("min()", "missing-argument"),
        ("ceil(1, 2)", "extra-argument"),
        ("abs(x=1)", "unknown-argument"),
        ("floor(yes)", "bad-type"),
        ("ceil(1e300)", "arithmetic"),
        ("sqrt(2)", "undefined-name"),
    ],
)
def test_functions_in_error(text: str, code: str) -> None:
    (found,) = errors(f"model m {{ input x: float32[4]; scale({text}) }}")
    assert found.code == code, render([found])
