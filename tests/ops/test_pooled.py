"""Convolutions that pool what they make, in inference: where, and against the references.

One module a target has every algorithm: which one a convolution takes stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from cnnc.compiler import lower
from cnnc.diagnostics import Source
from cnnc.ir.graph import Graph, Node, Output, Parameter
from cnnc.ir.interpret import interpret
from cnnc.ir.program import Program
from cnnc.ir.target import TARGETS
from cnnc.ops import OPS
from cnnc.ops.add import Add
from cnnc.ops.batch_statistics import ChannelAffine, RunningAffine
from cnnc.ops.batchnorm import BatchNorm
from cnnc.ops.conv import Conv
from cnnc.ops.initializers import Constant, He
from cnnc.ops.op import Input, Op
from cnnc.ops.pooled_conv import PooledConv
from cnnc.ops.shapes import Array, Shape
from cnnc.passes.choice import Asked, Chosen, best_guess, prefer
from cnnc.passes.fuse import fuse
from cnnc.passes.pooled import pool_as_made
from tests.ops.test_kernels import check_forward, compile_graph, targets_by_lanes

TOGETHER: dict[str, tuple[str, Shape, list[Any]]] = {
    "odd": ("winograd4", (1, 7, 9), [("conv", 1, 3, 1), "relu", ("maxpool", 2)]),
    "norm": ("winograd4", (3, 10, 7), [("conv", 17, 3, 1), "norm", "relu", ("maxpool", 2)]),
    "mean": ("winograd4", (5, 6, 11), [("conv", 3, 3, 0), "relu6", ("avgpool", 2)]),
    "wide": ("winograd4", (9, 5, 9), [("conv", 5, 3, 1), "leaky_relu", ("maxpool", (1, 2))]),
    "small": ("winograd", (3, 7, 9), [("conv", 3, 3, 1), "relu", ("maxpool", 2)]),
    "tall": ("winograd", (2, 9, 5), [("conv", 6, 3, 1), ("maxpool", (2, 1)), "leaky_relu"]),
    "dot": ("winograd", (17, 2, 3), [("conv", 6, 3, 1), "norm", ("maxpool", 2)]),
    # A halo around what is pooled, and what is applied behind the pool.
    "read": (
        "winograd4",
        (3, 9, 8),
        [("conv", 4, 3, 1), ("maxpool", 2), "relu", ("conv", 2, 3, 1), ("avgpool", 2)],
    ),
    "joined": ("winograd4", (3, 7, 6), [("conv", 9, 3, 1), "norm", ("maxpool", 2), "add"]),
    "bare": ("direct", (3, 7, 9), [("conv", 8, 3, 1), ("maxpool", 2)]),
    "line": ("direct", (3, 21), [("conv", 5, 4, 2), "relu", ("maxpool", 2)]),
    "cube": ("direct", (2, 5, 6, 7), [("conv", 2, 2, 0), ("maxpool", (1, 2, 2))]),
    "deep": ("direct", (1, 4, 4, 5), [("conv", 3, 2, 1), "relu", ("avgpool", (2, 1, 2))]),
    "parts": ("direct", (4, 9, 12), [("conv", 6, 5, 2, {"groups": 2}), "relu", ("maxpool", 2)]),
    "steps": (
        "direct",
        (17, 17, 18),
        [("conv", 17, (3, 2), 0, {"stride": (2, 1), "dilation": (1, 3)}), "norm", ("maxpool", 2)],
    ),
}
"""The convolution's algorithm, the input's shape, then (conv, filters, kernel, pad), ..."""

APART: dict[str, tuple[str, Shape, list[Any]]] = {
    "overlaps": ("direct", (2, 9, 9), [("conv", 7, 3, 1), "relu", ("maxpool", 3, {"stride": 2})]),
    "gaps": ("direct", (2, 9, 9), [("conv", 7, 3, 1), "relu", ("maxpool", 2, {"stride": 3})]),
    "padded": ("direct", (2, 8, 8), [("conv", 7, 3, 1), ("maxpool", 2, {"pad": 1})]),
    "beyond": ("direct", (2, 9, 9), [("conv", 7, 3, 1), ("avgpool", 2, {"ceil": True})]),
    "large": ("direct", (2, 9, 9), [("conv", 7, 3, 1), ("maxpool", 3)]),
    "chunks": ("direct", (31, 5, 9), [("conv", 9, 5, 2), ("maxpool", 2)]),
    "kept": ("direct", (2, 9, 9), [("conv", 7, 3, 1), "relu", "output", ("maxpool", 2)]),
    "again": ("direct", (2, 8, 8), [("conv", 7, 3, 1), ("maxpool", 2), "again"]),
}
"""What stays two kernels; `output` hands back what stands before it, `again` pools it again."""


@dataclass
class Network:
    """A graph in the making; `algorithms` by convolution."""

    nodes: list[Node] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    algorithms: dict[Op, str] = field(default_factory=dict)

    @classmethod
    def of(cls, *tables: dict[str, tuple[str, Shape, list[Any]]]) -> Network:
        network = cls()
        for name, row in (pair for table in tables for pair in table.items()):
            network.chain(name, *row)
        return network

    def chain(self, name: str, algorithm: str, shape: Shape, steps: list[Any]) -> None:
        """Append what a row of the tables says."""
        self.nodes.append(Node(f"{name}_in", Input(shape, "float32"), (), (), shape))
        for number, step in enumerate(steps):
            last = self.nodes[-1]
            if step in ("output", "again"):
                self.outputs.append(Output(f"{last.name}_out", last.name))
            if step == "again":
                self.layer(f"{name}_again", bound("maxpool", last.shape, size=2), last.inputs[0])
            elif step == "add":
                other = Node(f"{name}_other", Input(last.shape, "float32"), (), (), last.shape)
                self.nodes.append(other)
                self.layer(f"{name}_{number}", Add(2), last.name, other.name)
            elif step == "norm":
                self.layer(f"{name}_affine", RunningAffine(1e-5, True, last.shape[0]))
                affine = ChannelAffine(last.shape[0])
                self.layer(f"{name}_norm", affine, last.name, self.nodes[-1].name)
            elif step != "output":
                kind, *given = (step,) if isinstance(step, str) else step
                names = ("filters", "kernel", "pad") if kind == "conv" else ("size",)
                more = given.pop() if given and isinstance(given[-1], dict) else {}
                arguments = dict(zip(names, given, strict=False)) | more
                op = bound(kind, last.shape, **arguments)
                self.layer(f"{name}_{number}", op, last.name)
                if isinstance(op, Conv):
                    assert self.algorithms.setdefault(op, algorithm) == algorithm
        self.outputs.append(Output(name, self.nodes[-1].name))

    def layer(self, name: str, op: Op, *inputs: str) -> None:
        """Append an op; its parameters are drawn, but for variances."""
        shapes = tuple(next(n.shape for n in self.nodes if n.name == read) for read in inputs)
        declares = BatchNorm(op.channels) if isinstance(op, RunningAffine) else op
        specs = declares.parameters(shapes)
        for p in specs:
            start = Constant(0.7) if p.name == "running_var" else He()
            self.parameters.append(Parameter(f"{name}.{p.name}", p.shape, start, 3, 3))
        names = tuple(f"{name}.{p.name}" for p in specs)
        self.nodes.append(Node(name, op, inputs, names, op.output_shape(shapes)))

    def graph(self) -> Graph:
        return Graph("pools", tuple(self.nodes), tuple(self.parameters), tuple(self.outputs))

    def choose(self, asked: Asked) -> Chosen:
        """Each convolution's own algorithm."""
        op = asked.op.conv if isinstance(asked.op, PooledConv) else asked.op
        algorithm = self.algorithms.get(op)
        if algorithm is None:
            return best_guess(asked)
        chosen = prefer(algorithm)(asked)
        assert algorithm == chosen.form.ALGORITHM
        return chosen


def bound(name: str, shape: Shape, **given: Any) -> Op:
    """An op with these arguments."""
    defaults = {each.name: each.default for each in OPS[name].FIELDS}
    return OPS[name].bind({**defaults, **given}, (shape,))


@cache
def compiled(target: str) -> tuple[Graph, Any]:
    place = targets_by_lanes().index(target)
    # The others differ in their lanes only, and have half of it each.
    some = {} if place == 0 else dict([*TOGETHER.items()][place % 2 :: 2])
    network = Network.of(some or TOGETHER, {"kept": APART["kept"]})
    graph = network.graph()
    # On every target what pays on one. Blocks of one sample, too, which else have other kernels.
    pooled = pool_as_made(fuse(graph), TARGETS["x86-64-v4"])
    return graph, compile_graph(pooled, TARGETS[target], network.choose, alone=0)


EACH = [pytest.param(target, id=f"<{target}>") for target in targets_by_lanes()]


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 33])
@pytest.mark.parametrize("target", EACH)
def test_what_is_pooled_as_it_is_made_equals_its_reference(target: str, samples: int) -> None:
    check_forward(*compiled(target), samples)


def not_numbers(graph: Graph, value: float) -> dict[str, Array]:
    """Inputs of which some elements have this value."""
    rng = np.random.default_rng(5)
    feeds = {}
    for node in graph.inputs():
        feeds[node.name] = rng.standard_normal((33, *node.shape)).astype(np.float32)
        feeds[node.name][rng.random(feeds[node.name].shape) < 0.02] = value
    return feeds


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("target", EACH)
def test_a_window_with_nan_has_nan_and_no_other(target: str, value: float) -> None:
    graph, module = compiled(target)
    model = module.Model(seed=3, threads=1)
    feeds = not_numbers(graph, value)
    with np.errstate(invalid="ignore"):
        doubles = {name: array.astype(np.float64) for name, array in feeds.items()}
        wanted = interpret(graph, doubles, dict(model.parameters))
    found = dict(zip((o.name for o in graph.outputs), model(*feeds.values()), strict=True))
    for output in graph.outputs:
        missing = np.isnan(wanted[output.tensor])
        assert missing.any() or not np.isnan(value), output.name
        direct = TOGETHER.get(output.name, APART["kept"])[0] == "direct"
        if direct:
            assert np.array_equal(np.isnan(found[output.name]), missing), output.name
        elif np.isnan(value):  # transforms of tiles spread it
            assert np.isnan(found[output.name])[missing].all(), output.name


@pytest.mark.parametrize("target", EACH[:1])
def test_threads_change_no_bit_of_what_is_pooled(target: str) -> None:
    graph, module = compiled(target)
    feeds = not_numbers(graph, 3.0)
    one, other = (module.Model(seed=3, threads=n)(*feeds.values()) for n in (1, 3))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


EVERY = fuse(Network.of(TOGETHER, APART).graph())
POOLED = pool_as_made(EVERY, TARGETS["x86-64-v4"])


def ops_of(name: str, graph: Graph) -> list[Any]:
    """The ops of a row of the tables, in order."""
    return [node.op for node in graph.nodes if node.name.startswith(f"{name}_")]


@pytest.mark.parametrize("name", TOGETHER)
def test_windows_side_by_side_are_pooled_by_the_convolution(name: str) -> None:
    kinds = [op.NAME for op in ops_of(name, POOLED)]
    assert "pooled_conv" in kinds
    assert not {"conv", "maxpool", "avgpool"} & {*kinds}


def test_few_registers_hold_no_tile_of_rows_that_pays() -> None:
    wide = ("direct", (1, 28, 28), [("conv", 6, 5, 2), ("maxpool", 2)])
    graph = fuse(Network.of({"wide": wide, "line": TOGETHER["line"]}).graph())
    many, few = (pool_as_made(graph, TARGETS[name]) for name in ("x86-64-v4", "x86-64-v3"))
    assert [op.NAME for op in ops_of("wide", many)] == ["input", "pooled_conv"]
    assert [op.NAME for op in ops_of("wide", few)] == ["input", "conv", "maxpool"]
    assert [op.NAME for op in ops_of("line", few)] == ["input", "pooled_conv"]


@pytest.mark.parametrize("name", APART)
def test_others_are_pooled_apart(name: str) -> None:
    assert ops_of(name, POOLED) == ops_of(name, EVERY)


@pytest.mark.parametrize(
    ("name", "before"), [("odd", 0), ("norm", 1), ("mean", 1), ("wide", 0), ("tall", 0)]
)
def test_what_rises_is_applied_to_the_largest_value_alone(name: str, before: int) -> None:
    (pooled,) = (op for op in ops_of(name, POOLED) if isinstance(op, PooledConv))
    assert pooled.before == before


def test_a_program_pools_so_in_inference_only_and_says_so() -> None:
    text = """
        model net {
            input x: float32[1, 8, 8]
            conv(2, 3x3) -> relu -> maxpool(2x2)
            flatten -> dense(2)
        }
        train { loss mse; optimizer sgd(lr=0.1) }
    """
    (program,) = (form for stage, form in lower(Source("net.cnn", text)) if stage == "program")
    assert isinstance(program, Program)
    calls = {
        schedule.name: [call.computes for part in schedule.segments for call in part.calls][:2]
        for schedule in program.schedules()
    }
    assert calls["infer"] == ["conv1", "dense1"]
    assert calls["loss"] == ["conv1", "dense1"]
    assert calls["train"] == ["conv1", "maxpool1"]
    reasons = [kernel.form.reason() for kernel in program.kernels]
    assert sum("stores the largest value of each 2x2 window" in each for each in reasons) == 1
