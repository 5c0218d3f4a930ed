"""Every op's compiled kernels against its reference, over its own awkward examples.

A network holds many examples side by side, since what a module costs besides its kernels is much:
each has its input, the gradient of its output as a second input, and its result and data gradients
as outputs. A second network trains all layers with parameters at once on a squared error.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.codegen.build import Built, build_targets, load_extension
from cnnc.codegen.render import render, render_stub
from cnnc.ir.graph import Graph, Node, Output, OutputLoss, Parameter, Training
from cnnc.ir.interpret import interpret
from cnnc.ir.target import TARGETS, Target
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.ops.add import Add
from cnnc.ops.concat import Concat
from cnnc.ops.flatten import Flatten
from cnnc.ops.initializers import He
from cnnc.ops.mse import Mse
from cnnc.ops.op import RANDOM, Example, Gradient, Input, Trait
from cnnc.ops.optimizers import Sgd
from cnnc.ops.shapes import Array
from cnnc.passes.choice import Choice, best_guess
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan
from tests.flags import optimized
from tests.ops.examples import LAYERS, parameter_names

Layers = list[tuple[str, Example]]

SAMPLES = [0, 1, 15, 16, 17, 33]
GROUPS = {
    "conv": ("conv",),
    "linear": ("conv_transpose", "dense"),
    "windows": ("maxpool", "avgpool", "adaptive_avgpool"),
    "statistics": ("groupnorm", "layernorm", "global_avgpool", "global_maxpool"),
    "activations": ("relu", "relu6", "leaky_relu", "elu", "sigmoid", "tanh", "hardsigmoid"),
    "gates": ("silu", "gelu", "hardswish", "softplus", "prelu"),
    "joins": ("add", "sub", "mul", "normalize", "scale", "dropout_mask", "dropout"),
    "softmax": ("softmax", "log_softmax", "channel_dropout", "identity"),
    "moves": ("upsample", "zero_pad", "crop", "reshape", "slice", "flatten", "concat"),
}
"""Ops that belong together; every other op is in `rest`."""
MODULES = (
    "conv+statistics+softmax",
    "linear+windows+gates",
    "activations+joins+moves+rest",
)
"""Groups that are compiled together: modules of about one size."""

SCALES = {
    f"{stem}_in{i}": max(1.0, example.scale / 4)
    for stem, example in LAYERS
    for i in range(len(example.inputs))
}
"""Standard deviations of inputs, so that an example's whole range is reached."""

RANDOM_INPUTS = {
    f"{stem}_in{i}"
    for stem, example in LAYERS
    for i, name in enumerate(example.op.input_names(len(example.inputs)))
    if name == RANDOM
}


def group_of(op: str) -> str:
    """The group that an op is compiled with."""
    return next((group for group, ops in GROUPS.items() if op in ops), "rest")


def layers_of(groups: str) -> list[tuple[str, Example]]:
    """The examples of the ops of a group, or of several with + between them."""
    return [layer for layer in LAYERS if group_of(layer[1].op.NAME) in groups.split("+")]


def runnable_targets() -> list[str]:
    """The targets that this machine can run, its own first."""
    from cnnc.codegen.toolchain import host_target

    host = host_target()
    return [target.name for target in TARGETS.values() if target.runs_on(host)]


def targets_by_lanes() -> list[str]:
    """Those that differ in their lanes, on which the text of kernels depends; the least of each."""
    each = {TARGETS[name].lanes: name for name in runnable_targets()}
    return list(each.values())


def layers_on(groups: str, target: str) -> list[tuple[str, Example]]:
    """The examples of these groups that are compiled for a target: all for the machine's own.

    The others get every second one, in turns: what differs is the number of lanes.
    """
    place = targets_by_lanes().index(target)
    return layers_of(groups) if place == 0 else layers_of(groups)[place % 2 :: 2]


def _cases(modules: Sequence[str]) -> list[Any]:
    """Each module for each target; what shares one runs in one process (tests/conftest.py)."""
    return [
        pytest.param(groups, target, id=f"<{groups} {target}>")
        for groups in modules
        for target in targets_by_lanes()
    ]


EVERY = [group for group in (*GROUPS, "rest") if layers_of(group)]
WITH_PARAMETERS = [
    groups
    for groups in MODULES
    if any(parameter_names(example) for _, example in layers_of(groups))
]


def test_every_layer_is_in_a_module() -> None:
    compiled = [stem for groups in MODULES for stem, _ in layers_of(groups)]
    assert sorted(compiled) == sorted(stem for stem, _ in LAYERS)


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize(("groups", "target"), _cases(MODULES))
def test_forward_and_data_gradient_kernels_equal_their_references(
    groups: str, target: str, samples: int
) -> None:
    check_forward(*_side_by_side(groups, target), samples)


def check_forward(graph: Graph, module: Any, samples: int) -> None:
    """Compare all outputs with the reference."""
    model = module.Model(seed=3, threads=1)
    feeds = _feeds(graph, samples)
    found = model(*feeds.values())
    wanted = interpret(graph, _double(feeds), _double(model.parameters))
    for output, value in zip(graph.outputs, found, strict=True):
        _assert_close(value, wanted[output.tensor], output.name)


@pytest.mark.parametrize("samples", SAMPLES[1:])
@pytest.mark.parametrize(("groups", "target"), _cases(WITH_PARAMETERS))
def test_parameter_gradient_kernels_equal_their_references(
    groups: str, target: str, samples: int
) -> None:
    check_gradients(*_trained_together(groups, target), samples)


def check_gradients(graph: Graph, module: Any, samples: int) -> None:
    """Compare all gradients by parameters with the reference."""
    model = module.Model(seed=3, threads=1)
    feeds = _feeds(graph, samples)
    feeds.pop("loss_grad")
    model.compute_gradients(*feeds.values())
    share = np.full(samples, 1 / samples)
    assert graph.step is not None
    feeds = _double(feeds) | {"loss_grad": share}
    wanted = interpret(graph.step, feeds, _double(model.parameters))
    for parameter, node in graph.step.gradients:
        _assert_close(model.gradients[parameter], wanted[node], parameter)


@pytest.mark.parametrize(("groups", "target"), _cases(WITH_PARAMETERS)[:: len(targets_by_lanes())])
def test_every_layer_with_parameters_is_trained_here(groups: str, target: str) -> None:
    graph = trained_together(layers_on(groups, target))
    wanted = sum(len(parameter_names(example)) for _, example in layers_of(groups))
    assert graph.step is not None
    assert len(graph.step.gradients) == wanted


def _assert_close(found: Array, wanted: Array, what: str) -> None:
    assert found.shape == wanted.shape, what
    if not wanted.size:
        return
    scale = max(float(abs(wanted).max()), 1e-3)
    worst = float(abs(found - wanted).max()) / scale
    assert worst < 3e-6, f"{what}: off by {worst:.1e} of the largest entry"


def _double(arrays: Any) -> dict[str, Array]:
    """The arrays in float64; random bits, which a model reads as float32, as the integers."""
    return {
        name: a.view(np.uint32) if name in RANDOM_INPUTS else np.asarray(a, np.float64)
        for name, a in arrays.items()
    }


def _feeds(graph: Graph, samples: int) -> dict[str, Array]:
    rng = np.random.default_rng(samples)
    feeds = {}
    for node in graph.inputs():
        values = rng.standard_normal((samples, *node.shape)) * SCALES.get(node.name, 1.0)
        feeds[node.name] = values.astype(np.float32)
        if node.name in RANDOM_INPUTS:
            bits = rng.integers(0, 2**32, (samples, *node.shape), dtype=np.uint32)
            feeds[node.name] = bits.view(np.float32)
    return feeds


@cache
def _side_by_side(groups: str, target: str) -> tuple[Graph, Any]:
    graph = side_by_side(layers_on(groups, target))
    return graph, compile_graph(graph, TARGETS[target])


def side_by_side(layers: Layers) -> Graph:
    """Forward and data gradient of these layers, for a model that is only called."""
    nodes: list[Node] = []
    parameters: list[Parameter] = []
    outputs: list[Output] = []
    for stem, example in layers:
        layer = _layer(stem, example, parameters)
        nodes += [*_inputs(stem, example), layer]
        outputs.append(Output(f"{stem}_out", layer.name))
        if Trait.PASSES_GRADIENT in example.op.TRAITS:
            continue
        grad = Node(f"{stem}_dy", Input(layer.shape, "float32"), (), (), layer.shape)
        nodes.append(grad)
        for operand, source in zip(
            layer.op.input_names(len(layer.inputs)), layer.inputs, strict=True
        ):
            if operand == RANDOM:
                continue
            nodes.append(_data_gradient(layer, operand, source, grad, nodes))
            outputs.append(Output(nodes[-1].name, nodes[-1].name))
    return Graph("ops", tuple(nodes), tuple(parameters), tuple(outputs))


def _data_gradient(layer: Node, operand: str, source: str, grad: Node, nodes: list[Node]) -> Node:
    assert not isinstance(layer.op, (Gradient, Input))
    bound = dict(zip(layer.op.input_names(len(layer.inputs)), layer.inputs, strict=True))
    bound |= {p.rsplit(".", 1)[1]: p for p in layer.parameters} | {"output": layer.name}
    names = [bound[read] for read in layer.op.gradient_reads(operand)]
    shape = next(node.shape for node in nodes if node.name == source)
    return Node(
        f"{source}_d{operand}",
        Gradient(layer.op, operand),
        (grad.name, *(n for n in names if n not in layer.parameters)),
        tuple(n for n in names if n in layer.parameters),
        shape,
        layer=layer.name,
    )


def _inputs(stem: str, example: Example) -> list[Node]:
    return [
        Node(f"{stem}_in{i}", Input(shape, "float32"), (), (), shape)
        for i, shape in enumerate(example.inputs)
    ]


def _layer(stem: str, example: Example, parameters: list[Parameter]) -> Node:
    specs = example.op.parameters(example.inputs)
    for p in specs:
        name = f"{stem}.{p.name}"
        parameters.append(Parameter(name, p.shape, He(), p.fan_in, p.fan_out))
    return Node(
        stem,
        example.op,
        tuple(f"{stem}_in{i}" for i in range(len(example.inputs))),
        tuple(f"{stem}.{p.name}" for p in specs),
        example.op.output_shape(example.inputs),
    )


@cache
def _trained_together(groups: str, target: str) -> tuple[Graph, Any]:
    graph = trained_together(layers_on(groups, target))
    return graph, compile_graph(graph, TARGETS[target])


def trained_together(layers: Layers) -> Graph:
    """Those of these layers that have parameters, trained on a squared error."""
    nodes: list[Node] = []
    parameters: list[Parameter] = []
    flat: list[Node] = []
    for stem, example in layers:
        if not parameter_names(example):
            continue
        layer = _layer(stem, example, parameters)
        size = (int(np.prod(layer.shape)),)
        flat.append(Node(f"{stem}_flat", Flatten(), (stem,), (), size))
        nodes += [*_inputs(stem, example), layer, flat[-1]]
    sizes = tuple(node.shape[0] for node in flat)
    joined = Node("joined", Concat(sizes), tuple(n.name for n in flat), (), (sum(sizes),))
    training = Training((OutputLoss("joined", Mse()),), Sgd(0.1), 16, 1, None)
    graph = Graph(
        "layers",
        (*nodes, joined),
        tuple(parameters),
        (Output("joined", "joined"),),
        training,
    )
    return differentiate(graph)


def compile_graph(
    graph: Graph, target: Target, choose: Choice = best_guess, alone: int | None = None
) -> Any:
    """The module of a graph, optimized; up to `alone` samples go one by one."""
    with optimized(target.name):
        return compile_plain(graph, target, choose, alone)


def compile_plain(
    graph: Graph, target: Target, choose: Choice = best_guess, alone: int | None = None
) -> Any:
    """The same, for what puts kernels together that are optimized elsewhere."""
    output = Path(tempfile.mkdtemp(prefix="cnnc-ops-"))
    built = build_graph(graph, [target], output, choose, alone)
    return load_extension(graph.name, built.extension)


def build_graph(
    graph: Graph,
    targets: Sequence[Target],
    output: Path,
    choose: Choice = best_guess,
    alone: int | None = None,
) -> Built:
    """The module of a graph, for one target or several."""
    fused = verify_graph(fuse(verify_graph(graph)))
    # What is trained here is not called: kernels of single samples would be compiled for nothing.
    alone = 0 if graph.step else alone
    programs = [verify_program(plan(fused, target, choose, alone)) for target in targets]
    sources = {program.target.name: render(program, "test.cnn", {}) for program in programs}
    return build_targets(graph.name, sources, render_stub(programs[0], "test.cnn"), output)


def test_gradients_of_a_value_used_twice_are_added() -> None:
    nodes = (
        Node("x", Input((3,), "float32"), (), (), (3,)),
        Node("twice", Add(2), ("x", "x"), (), (3,)),
    )
    graph = Graph("sum", nodes, (), (Output("twice", "twice"),))
    values = interpret(graph, {"x": np.ones((1, 3))}, {})
    np.testing.assert_array_equal(values["twice"], 2 * np.ones((1, 3)))
