"""Random well-formed networks: compiled, and compared with the reference.

Eight networks share a module, since what a module costs besides its kernels is much. `--networks N`
asks for more of them, `--first-network SEED --networks 1` for one alone.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnc.codegen.render import render
from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec
from cnnc.diagnostics import Source
from cnnc.frontend import format_spec, parse, resolve
from cnnc.ir.graph import Graph
from cnnc.ir.target import TARGETS
from cnnc.ir.verify import verify_graph, verify_program
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse
from cnnc.passes.plan import plan
from tests.ops.test_kernels import runnable_targets
from tests.property.comparison import SAMPLES, Difference, compare, compare_fused, trained_bits
from tests.property.networks import OPTIMIZERS, Network, from_random, lines_of, network, text_of

TOGETHER = 8
TARGETS_IN_TURN = sorted(runnable_targets(), reverse=True)


class Group:
    """Networks in one module, and which of its names are whose."""

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.networks = [network(first + i, f"n{first + i}_") for i in range(count)]
        number = first // TOGETHER
        self.target = TARGETS_IN_TURN[number % len(TARGETS_IN_TURN)]
        self.text = text_of(self.networks, OPTIMIZERS[number % len(OPTIMIZERS)])

    def compile(self, folder: Path) -> Compiled:
        path = folder / f"group{self.first}.cnn"
        path.write_text(self.text, encoding="utf-8")
        return compile_spec(path, options=Options(self.target))

    @cached_property
    def graph(self) -> Graph:
        return resolve(parse(Source("group.cnn", self.text)))

    def owner(self, name: str) -> str:
        """The prefix of the network whose an output or parameter is."""
        for output in self.graph.outputs:
            if output.name == name:
                return name.split("_", maxsplit=1)[0] + "_"
        span = self.graph.parameter(name).span
        assert span is not None
        for net, (top, body) in zip(self.networks, lines_of(self.networks), strict=True):
            if span.line in top or span.line in body:
                return net.prefix
        raise KeyError(name)

    def tell(self, found: list[Difference], samples: int) -> str:
        """What is wrong, by network, and each guilty one's text alone."""
        lines = [f"target {self.target}, {samples} samples"]
        for net in self.networks:
            mine = [difference for difference in found if difference.owner == net.prefix]
            if mine:
                lines += [f"\n{net.prefix}:", *map(str, mine), text_of([net])]
                lines.append(f"alone: --first-network {net.seed} --networks 1")
        lines += [f"one of all: {difference}" for difference in found if not difference.owner]
        return "\n".join(lines)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "group" in metafunc.fixturenames:
        first = metafunc.config.getoption("--first-network")
        end = first + metafunc.config.getoption("--networks")
        groups = [Group(n, min(TOGETHER, end - n)) for n in range(first, end, TOGETHER)]
        names = [f"<{group.first} {group.target}>" for group in groups]
        metafunc.parametrize("group", groups, ids=names)


@pytest.mark.slow
def test_compiled_networks_equal_their_reference(group: Group, tmp_path: Path) -> None:
    shapes = {name: shape for net in group.networks for name, shape in net.outputs.items()}
    assert {o.name: group.graph.node(o.tensor).shape for o in group.graph.outputs} == shapes
    model = group.compile(tmp_path).load().Model
    for samples in SAMPLES:
        found = compare(model, group.graph, group.owner, samples)
        assert not found, group.tell(found, samples)
    for samples in (5, 40):
        one, two = (trained_bits(model, group.graph, threads, samples) for threads in (1, 2))
        different = [name for name in one if one[name] != two[name]]
        assert not different, f"with two threads, {samples} samples: {different}\n{group.text}"


def networks() -> st.SearchStrategy[Network]:
    """Random networks that hypothesis can make smaller."""
    return st.randoms(use_true_random=False).map(from_random)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_no_pass_changes_what_a_network_computes(net: Network) -> None:
    text = text_of([net])
    spec = parse(Source("random.cnn", text))
    assert parse(Source("printed.cnn", format_spec(spec))) == spec
    graph = resolve(spec)
    assert {o.name: graph.node(o.tensor).shape for o in graph.outputs} == net.outputs
    fused = verify_graph(fuse(verify_graph(differentiate(graph))))
    target = list(TARGETS.values())[len(text) % len(TARGETS)]
    render(verify_program(plan(fused, target)), "random.cnn", {})
    assert not compare_fused(graph), text
