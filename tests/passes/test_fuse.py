"""Element-wise ops in their producers' kernels: which are, and that no value changes by it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.codegen.build import build, load_extension
from cnnc.codegen.render import render, render_stub
from cnnc.codegen.toolchain import host_target
from cnnc.compiler import lower
from cnnc.diagnostics import Source
from cnnc.ir.graph import Graph, Node, Output, OutputLoss, Parameter, Training
from cnnc.ir.interpret import interpret
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.ops import OPS
from cnnc.ops.dropout_mask import DropoutMask
from cnnc.ops.initializers import He
from cnnc.ops.mse import Mse
from cnnc.ops.op import Gradient, Input, Op
from cnnc.ops.optimizers import Sgd
from cnnc.ops.shapes import Array, Shape
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan


@dataclass
class Network:
    """A graph in the making; every method gives the new tensor's name."""

    nodes: list[Node] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)

    def input(self, name: str, shape: Shape, dtype: str = "float32") -> str:
        self.nodes.append(Node(name, Input(shape, dtype), (), (), shape))
        return name

    def layer(self, kind: str, *inputs: str, **arguments: Any) -> str:
        shapes = tuple(self.shape(name) for name in inputs)
        defaults = {f.name: f.default for f in OPS[kind].FIELDS}
        return self.op(OPS[kind].bind({**defaults, **arguments}, shapes), *inputs)

    def op(self, op: Op, *inputs: str) -> str:
        shapes = tuple(self.shape(name) for name in inputs)
        name = f"{op.NAME}{sum(node.op.NAME == op.NAME for node in self.nodes) + 1}"
        specs = op.parameters(shapes)
        for p in specs:
            self.parameters.append(
                Parameter(f"{name}.{p.name}", p.shape, He(), p.fan_in, p.fan_out)
            )
        names = tuple(f"{name}.{p.name}" for p in specs)
        self.nodes.append(Node(name, op, inputs, names, op.output_shape(shapes)))
        return name

    def shape(self, name: str) -> Shape:
        return next(node.shape for node in self.nodes if node.name == name)

    def graph(self, *outputs: str, train: bool = False) -> Graph:
        training = None
        if train:
            training = Training((OutputLoss(outputs[0], Mse()),), Sgd(0.1), 16, 1, None)
        results = tuple(Output(name, name) for name in outputs)
        return Graph("net", tuple(self.nodes), tuple(self.parameters), results, training)


def epilogues(graph: Graph) -> dict[str, tuple[str, ...]]:
    """What is fused into what."""
    return {
        node.name: tuple(
            f"{op.of.NAME}'" if isinstance(op, Gradient) else op.NAME for op in node.epilogue
        )
        for node in graph.nodes
        if node.epilogue
    }


def compiled(graph: Graph) -> Any:
    program = verify_program(plan(verify_graph(graph), host_target()))
    source, stub = render(program, "test.cnn", {}), render_stub(program, "test.cnn")
    folder = Path(tempfile.mkdtemp(prefix="cnnc-fuse-"))
    built = build(program.name, source, stub, host_target(), folder)
    return load_extension(program.name, built.extension)


def fed(graph: Graph, samples: int) -> dict[str, Array]:
    """Arrays for the inputs; the one called `random` holds bits."""
    rng = np.random.default_rng(samples)
    feeds: dict[str, Array] = {}
    for node in graph.inputs():
        if node.name == "loss_grad":
            continue
        shape = (samples, *node.shape)
        feeds[node.name] = rng.standard_normal(shape).astype(np.float32)
        if isinstance(node.op, Input) and node.op.dtype == "uint8":
            feeds[node.name] = rng.integers(0, 256, shape, dtype=np.uint8)
        if node.name == "random":
            feeds[node.name] = rng.integers(0, 2**32, shape, dtype=np.uint32)
    return feeds


def passed(feeds: Mapping[str, Array]) -> list[Array]:
    """The arrays as a model takes them: random bits as if they were float32."""
    return [a.view(np.float32) if name == "random" else a for name, a in feeds.items()]


def double(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: np.asarray(a) if name == "random" else np.asarray(a, np.float64)
        for name, a in arrays.items()
    }


def close(found: Array, wanted: Array) -> None:
    scale = max(float(abs(wanted).max()), 1e-3)
    assert float(abs(found - wanted).max()) < 2e-5 * scale


def inference() -> Graph:
    """Every producer that can take an op which reads a channel, an index, a gate or a parameter."""
    net = Network()
    pixels = net.input("pixels", (3, 8, 6), "uint8")
    random = net.input("random", ())
    gate = net.input("gate", (4, 1, 1))
    plane = net.input("plane", (1, 8, 6))
    x = net.layer("normalize", pixels, mean=[120.0, 110.0, 90.0], std=[60.0, 55.0, 70.0])
    conv = net.layer("conv", x, filters=4, kernel=(3, 3), pad="same")
    y = net.layer("prelu", conv)
    y = net.layer("mul", y, gate)
    y = net.op(DropoutMask(0.25, 7), y, random)
    pooled = net.layer("maxpool", y, size=(2, 2))
    pooled = net.layer("normalize", pooled, mean=[0.1, 0.2, 0.3, 0.4], std=0.5)
    joined = net.layer("concat", pooled, pooled)
    joined = net.layer("prelu", joined)
    again = net.layer("relu", joined)
    again = net.op(DropoutMask(0.5, 8, channels=True), again, random)
    flat = net.layer("flatten", again)
    out = net.layer("prelu", net.layer("dense", flat, units=5))
    out = net.op(DropoutMask(0.5, 9), net.layer("tanh", out), random)
    wide = net.layer("mul", net.layer("conv", x, filters=2, kernel=(3, 3), pad="same"), plane)
    soft = net.layer("prelu", net.layer("softmax", wide))
    return net.graph(out, soft)


def training() -> Graph:
    """Backward kernels of pools, convolutions and dense layers that take masks and slopes."""
    net = Network()
    image = net.input("image", (2, 9, 8))
    random = net.input("random", ())
    y = net.layer("conv", image, filters=3, kernel=(3, 3), pad="same")
    y = net.op(DropoutMask(0.25, 1), y, random)
    y = net.layer("maxpool", y, size=(2, 2))
    y = net.layer("conv", y, filters=4, kernel=(3, 3), pad="same")
    y = net.layer("prelu", y)
    y = net.layer("avgpool", y, size=(3, 3), stride=(2, 2), pad=1)
    y = net.layer("silu", y)
    y = net.layer("normalize", y, mean=[0.1, 0.2, 0.3, 0.4], std=[0.5, 2.0, 1.0, 3.0])
    y = net.op(DropoutMask(0.25, 2, channels=True), y, random)
    gate = net.layer("dense", net.layer("flatten", net.layer("maxpool", y, size=(2, 2))), units=4)
    gate = net.layer("sigmoid", gate)
    y = net.layer("mul", y, gate)
    y = net.layer("dense", net.layer("flatten", y), units=6)
    y = net.op(DropoutMask(0.5, 3), net.layer("elu", y), random)
    return net.graph(net.layer("dense", y, units=3), train=True)


def haloed() -> Graph:
    """Every operand has a halo, as padded convolutions read them all."""
    net = Network()
    image, random = net.input("image", (3, 5, 4)), net.input("random", ())
    x = net.layer("conv", image, filters=3, kernel=(3, 3), pad="same")
    gate = net.layer("sigmoid", net.layer("maxpool", x, size=(5, 4)))
    layers = [
        x,
        net.layer("prelu", x),
        net.layer("prelu", x, shared=True),
        net.layer("softmax", x),
        net.layer("log_softmax", x),
        net.layer("mul", x, gate),
        net.layer("sub", x, gate),
        net.layer("normalize", x, mean=[0.1, 0.2, 0.3], std=[0.5, 2.0, 1.0]),
        net.op(DropoutMask(0.5, 1), x, random),
        net.layer("gelu", x),
    ]
    read = [net.layer("conv", y, filters=2, kernel=(3, 3), pad="same") for y in layers]
    return net.graph(net.layer("add", *read), train=True)


def test_ops_that_read_a_place_a_gate_or_a_parameter_are_fused() -> None:
    found = epilogues(fuse(verify_graph(inference())))
    assert found["conv1"] == ("prelu", "mul", "dropout_mask")
    assert found["dense1"] == ("prelu",)
    assert found["tanh1"] == ("dropout_mask",)
    assert found["maxpool1"] == ("normalize",)
    assert found["concat1"] == ("prelu", "relu", "dropout_mask")
    assert found["conv2"] == ("mul",)
    assert found["softmax1"] == ("prelu",)
    assert found["pixels"] == ("normalize",)


@pytest.mark.parametrize("samples", [1, 17, 33])
def test_fused_and_unfused_inference_agree(samples: int) -> None:
    graph = inference()
    _agree(graph, samples)


_MODULES: dict[tuple[str, bool], Any] = {}


def _module(kind: str, graph: Graph) -> Any:
    key = kind, bool(epilogues(graph))
    if key not in _MODULES:
        _MODULES[key] = compiled(graph)
    return _MODULES[key]


def _agree(graph: Graph, samples: int) -> None:
    feeds = fed(graph, samples)
    for form in (graph, fuse(graph)):
        model = _module("inference", form).Model(seed=1, threads=1)
        found = model(*passed(feeds))
        wanted = interpret(form, double(feeds), double(model.parameters))
        for output, value in zip(form.outputs, found, strict=True):
            close(value, wanted[output.tensor])


@pytest.mark.parametrize("network", [training, haloed])
@pytest.mark.parametrize("samples", [1, 17, 33])
def test_fused_and_unfused_gradients_agree(network: Callable[[], Graph], samples: int) -> None:
    graph = differentiate(verify_graph(network()))
    feeds = fed(graph, samples)
    share = {"loss_grad": np.full(samples, 1 / samples)}
    for form in (graph, fuse(graph)):
        model = _module(network.__name__, form).Model(seed=1, threads=1)
        model.compute_gradients(*passed(feeds))
        assert form.step is not None
        assert len(form.step.gradients) == len(form.parameters)
        wanted = interpret(form.step, double(feeds) | share, double(model.parameters))
        for parameter, node in form.step.gradients:
            close(model.gradients[parameter], wanted[node])


def test_gradients_that_read_a_place_are_fused_and_sums_are_not() -> None:
    graph = fuse(differentiate(verify_graph(training()))).step
    assert graph is not None
    found = epilogues(graph)
    masks = [name for name, ops in found.items() if "dropout_mask'" in ops]
    assert len(masks) >= 2
    assert any("normalize'" in ops for ops in found.values())
    (total,) = (node for node in graph.nodes if node.name == "prelu1.weight_grad")
    assert total.inputs[0] == graph.node("prelu1_grad").name


def test_a_costly_formula_stays_out_of_kernels_with_register_tiles() -> None:
    net = Network()
    conv = net.layer("conv", net.input("x", (2, 4, 4)), filters=2, kernel=(1, 1))
    pooled = net.layer("silu", net.layer("maxpool", net.layer("silu", conv), size=(2, 2)))
    graph = fuse(verify_graph(net.graph(pooled)))
    assert epilogues(graph) == {"maxpool1": ("silu",)}


def test_an_op_that_reads_its_input_twice_is_not_fused_into_it() -> None:
    net = Network()
    conv = net.layer("conv", net.input("x", (2, 4, 4)), filters=2, kernel=(1, 1))
    graph = net.graph(net.layer("mul", conv, conv))
    assert epilogues(fuse(verify_graph(graph))) == {}


def test_no_loader_takes_an_op_that_reads_another_operand() -> None:
    net = Network()
    x = net.input("x", (2, 4, 4))
    graph = net.graph(net.layer("prelu", x))
    assert epilogues(fuse(verify_graph(graph))) == {}
    gated = Network()
    x, gate = gated.input("x", (2, 4, 4)), gated.input("gate", (2, 1, 1))
    assert epilogues(fuse(verify_graph(gated.graph(gated.layer("mul", x, gate))))) == {}


def test_a_fused_parameter_is_read_by_the_epilogue() -> None:
    graph = fuse(verify_graph(inference()))
    conv = graph.node("conv1")
    assert conv.epilogue_inputs == ("prelu1.weight", "gate", "random")
    unread = replace(graph, parameters=graph.parameters[1:])
    with pytest.raises(Exception, match="reads"):
        verify_graph(unread)


def test_a_sum_of_gradients_is_not_applied_window_by_window() -> None:
    text = """
    model pooled {
        input x: float32[2, 5, 5]
        y = x -> conv(3, 3x3, pad=1)
        z = y -> maxpool(3x3, stride=1, pad=1)
        add(z, y) -> flatten -> dense(2)
    }
    train { loss mse; optimizer sgd(lr=0.1) }
    """
    forms = dict(lower(Source("pooled.cnn", text)))
    step = forms["fused"].step
    (pooled,) = (
        node
        for node in step.nodes
        if isinstance(node.op, Gradient) and node.op.of.NAME == "maxpool"
    )
    assert pooled.epilogue == ()
    assert any(node.op.NAME == "add" and pooled.name in node.inputs for node in step.nodes)
