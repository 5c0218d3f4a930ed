"""A compiled model against the float64 reference: outputs, losses, gradients, running statistics.

Several networks that share nothing lie in one model. Whatever differs is told as the network's
whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import interpret
from cnnc.ir.verify import verify_graph
from cnnc.ops.batch_statistics import BatchStatistics
from cnnc.ops.loss import LossOp
from cnnc.ops.op import Input
from cnnc.ops.random_words import random_words
from cnnc.ops.shapes import Array
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse

SAMPLES = (1, 5, 17)
OUTPUTS = 2e-5
"""Of the largest entry: float32 through some ten layers."""
GRADIENTS = 1e-4
"""The same through twice as many; of the largest entry of the layer's gradients, by its weight and
its bias, since the latter is often a sum that cancels to nothing.
"""
ROUNDING = 30
"""Where little is left of large terms, as of a bias's gradient before a batchnorm, rounding is all
there is: so many times the error of the reference itself, when it computes in float32, is no fault.
"""
TINY = 1e-6
"""Of the network's largest gradient: about the last bits of a float32."""
CONSTANT = 1e-7
"""A variance of a batch below it: one value, or the same ones from a relu that is dead."""
LONE = 1e-3
"""As TINY where a channel is constant in the whole batch: nothing is left behind its batchnorm, and
1 / sqrt(eps) = 316 times rounding comes before it. NumPy's sums of equal numbers do not round.
"""
FUSED = 1e-9

Owner = Callable[[str], str]


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be: whose, what, and how far off."""

    owner: str
    what: str
    error: float

    def __str__(self) -> str:
        return f"{self.what}: off by {self.error:.3g}"


@dataclass
class Twin:
    """The reference of a compiled model: its graphs, and one batch at a time through them."""

    graph: Graph
    """As resolved."""
    grad: Graph = field(init=False)

    def __post_init__(self) -> None:
        self.grad = verify_graph(differentiate(self.graph))

    @cached_property
    def fused(self) -> Graph:
        return verify_graph(fuse(self.grad))

    @property
    def step(self) -> Graph:
        assert self.grad.step is not None
        return self.grad.step

    def batch(self, samples: int) -> tuple[list[Array], list[Array]]:
        """The model's inputs, and targets for its losses."""
        rng = np.random.default_rng(samples)
        inputs = []
        for node in self.graph.inputs():
            assert isinstance(node.op, Input)
            shape = (samples, *node.shape)
            if node.op.dtype == "uint8":
                inputs.append(rng.integers(0, 256, shape, dtype=np.uint8))
            else:
                inputs.append(rng.standard_normal(shape).astype(np.float32))
        targets = []
        for _, loss, target in self.losses(self.step):
            shape, classes = (samples, *target.shape), _loss(loss).classes(self.judged(loss).shape)
            if classes is not None:
                targets.append(rng.integers(0, classes, shape))
            elif _loss(loss).NAME == "binary_cross_entropy":
                targets.append(rng.random(shape, np.float32))
            else:
                targets.append(rng.standard_normal(shape).astype(np.float32))
        return inputs, targets

    def losses(self, graph: Graph) -> Iterator[tuple[Node, Node, Node]]:
        """(share, loss, target) nodes of a differentiated graph."""
        for name in graph.losses:
            loss = graph.node(name)
            share = graph.nodes[graph.nodes.index(loss) - 1]
            yield share, loss, graph.node(loss.inputs[1])

    def judged(self, loss: Node) -> Node:
        return self.step.node(loss.inputs[0])

    def feeds(
        self, graph: Graph, inputs: Sequence[Array], targets: Sequence[Array], words: Array
    ) -> dict[str, Array]:
        """float64 arrays for all of a differentiated graph's inputs."""
        names = [node.name for node in self.graph.inputs()]
        fed = {name: a.astype(np.float64) for name, a in zip(names, inputs, strict=True)}
        training = self.graph.training
        assert training is not None
        for (share, loss, target), array, judge in zip(
            self.losses(graph), targets, training.losses, strict=True
        ):
            labels = array.dtype.kind in "iu"
            fed[target.name] = array if labels else array.astype(np.float64)
            each = judge.weight / counted(_loss(loss), array)
            fed[share.name] = np.full(len(array), each)
        for node in graph.inputs():
            if node.op == Input((), "random"):
                fed[node.name] = words
        return fed


def counted(loss: LossOp, target: Array) -> float:
    """What the losses of a batch are divided by: the samples, or the weight of their labels."""
    weights = loss.label_weights()
    if weights is None:
        return len(target)
    table = np.array(weights.weights) if weights.weights else np.ones(int(target.max()) + 1)
    return float(np.where(target == weights.ignore, 0.0, table[target]).sum()) or np.inf


def _loss(node: Node) -> LossOp:
    assert isinstance(node.op, LossOp)
    return node.op


def shaken(net: Any, seed: int = 7) -> dict[str, Array]:
    """Parameters that are neither 0 nor 1 nor alike, written into a model; float64 copies."""
    rng = np.random.default_rng(seed)
    for name, view in net.parameters.items():
        last = name.rsplit(".", 1)[1]
        if last in ("bias", "running_mean"):
            view[...] = rng.uniform(-0.5, 0.5, view.shape)
        elif view.ndim == 1 or last == "running_var" or np.ptp(view) == 0:
            view[...] = rng.uniform(0.5, 1.5, view.shape) * (1 if view.ndim == 1 else 0.3)
    return {name: view.astype(np.float64) for name, view in net.parameters.items()}


@dataclass(frozen=True)
class Values:
    """All tensors of a graph in float64, and how far off they are in float32."""

    graph: Graph
    exact: Mapping[str, Array]
    rough: Mapping[str, Array]

    def noise(self, name: str) -> float:
        return float(abs(self.exact[name] - self.rough[name]).max(initial=0))

    def size(self, name: str) -> float:
        return float(abs(self.exact[name]).max(initial=0))


def evaluate(graph: Graph, feeds: Mapping[str, Array], weights: Mapping[str, Array]) -> Values:
    exact, rough = (
        interpret(graph, feeds, weights),
        interpret(graph, _single(feeds), _single(weights)),
    )
    return Values(graph, exact, rough)


def _single(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in arrays.items()}


def compare(model: Any, graph: Graph, owner: Owner, samples: int) -> list[Difference]:
    """Everything that a batch shows."""
    twin, found = Twin(graph), []
    inputs, targets = twin.batch(samples)
    net = model(seed=3, threads=1)
    weights = shaken(net)

    words = random_words(3, 1, samples)
    values = evaluate(twin.grad, twin.feeds(twin.grad, inputs, targets, words), weights)
    outputs = net(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output, array in zip(graph.outputs, outputs, strict=True):
        allowed = OUTPUTS * values.size(output.tensor) + ROUNDING * values.noise(output.tensor)
        wanted = values.exact[output.tensor]
        found += _far(owner(output.name), output.name, array, wanted, allowed)
    found += _loss_differs(twin, values, targets, net.loss(*inputs, *targets), "loss")

    values = evaluate(twin.step, twin.feeds(twin.step, inputs, targets, words), weights)
    loss = net.compute_gradients(*inputs, *targets)
    found += _loss_differs(twin, values, targets, loss, "loss in training")
    found += _gradients(twin, net, values, owner, samples)

    net = model(seed=3, threads=1)
    shaken(net)
    net.train_step(*inputs, *targets)
    return found + _statistics(twin, net, values, weights, owner, samples)


def _far(owner: str, what: str, found: Array, wanted: Array, allowed: float) -> list[Difference]:
    if found.shape != wanted.shape:
        return [Difference(owner, f"{what} has {found.shape}, not {wanted.shape}", np.inf)]
    error = float(abs(found - wanted).max(initial=0))
    if error <= allowed or not wanted.size:
        return []
    return [Difference(owner, what, error / max(float(abs(wanted).max()), 1e-30))]


def _loss_differs(
    twin: Twin, values: Values, targets: Sequence[Array], found: float, what: str
) -> list[Difference]:
    """The sum of all; where it is off, nobody can say whose fault it is."""
    training = twin.graph.training
    assert training is not None
    total, allowed = 0.0, 0.0
    for (_, node, _), judge, target in zip(
        twin.losses(values.graph), training.losses, targets, strict=True
    ):
        each = judge.weight / counted(_loss(node), target)
        total += each * float(values.exact[node.name].sum())
        noise = ROUNDING * values.noise(node.name) + OUTPUTS * values.size(node.name)
        allowed += each * len(target) * noise
    return _far("", what, np.array(found), np.array(total), allowed)


def _gradients(
    twin: Twin, net: Any, values: Values, owner: Owner, samples: int
) -> list[Difference]:
    reached = dict(twin.step.gradients)
    largest: dict[str, float] = {}
    for name, node in twin.step.gradients:
        for part in (owner(name), _layer(name)):
            largest[part] = max(largest.get(part, 0), values.size(node))
    lone = {
        owner(node.parameters[0])
        for node, _ in _batchnorms(twin, samples)
        if values.exact[node.name][1].min() < CONSTANT
    }
    found = []
    for name, array in net.gradients.items():
        what, whose = f"gradient of {name}", owner(name)
        if name not in reached:
            found += _far(whose, what, array, np.zeros(array.shape), 0)
            continue
        node = reached[name]
        allowed = GRADIENTS * largest[_layer(name)] + ROUNDING * values.noise(node)
        allowed += (LONE if whose in lone else TINY) * largest[whose]
        found += _far(whose, what, array, values.exact[node], allowed)
    return found


def _layer(parameter: str) -> str:
    return parameter.rsplit(".", 1)[0]


def _batchnorms(twin: Twin, samples: int) -> Iterator[tuple[Node, int]]:
    """The nodes that make statistics of the batch, and how many values a channel has."""
    for node in twin.step.nodes:
        if isinstance(node.op, BatchStatistics):
            yield node, samples * prod(twin.step.node(node.inputs[0]).shape[1:])


def _statistics(
    twin: Twin,
    net: Any,
    values: Values,
    weights: Mapping[str, Array],
    owner: Owner,
    samples: int,
) -> list[Difference]:
    found = []
    for node, count in _batchnorms(twin, samples):
        assert isinstance(node.op, BatchStatistics)
        old = [weights[name] for name in node.parameters]
        wanted = node.op.running(values.exact[node.name], *old, count)
        for name, value in zip(node.parameters, wanted, strict=True):
            allowed = OUTPUTS * max(values.size(node.name), 1.0)
            allowed += ROUNDING * values.noise(node.name)
            found += _far(owner(name), name, net.parameters[name], value, allowed)
    return found


def compare_fused(graph: Graph, samples: int = 3) -> list[str]:
    """The tensors whose values fusion changes, in float64."""
    twin, rng = Twin(graph), np.random.default_rng(0)
    weights = {p.name: rng.uniform(0.2, 0.6, p.shape) for p in graph.parameters}
    inputs, targets = twin.batch(samples)
    words = random_words(1, 1, samples)
    changed = []
    for plain, fused in ((twin.grad, twin.fused), (twin.step, twin.fused.step)):
        assert fused is not None
        feeds = twin.feeds(plain, inputs, targets, words)
        wanted, found = interpret(plain, feeds, weights), interpret(fused, feeds, weights)
        pairs = [(a.tensor, b.tensor) for a, b in zip(plain.outputs, fused.outputs, strict=True)]
        pairs += [(a, b) for (_, a), (_, b) in zip(plain.gradients, fused.gradients, strict=True)]
        pairs += zip(plain.losses, fused.losses, strict=True)
        changed += [
            a
            for a, b in pairs
            if _far("", a, found[b], wanted[a], FUSED * max(1.0, float(abs(wanted[a]).max())))
        ]
    return changed


def trained_bits(model: Any, graph: Graph, threads: int, samples: int) -> dict[str, bytes]:
    """All that a step and a call leave, bit for bit."""
    twin = Twin(graph)
    inputs, targets = twin.batch(samples)
    net = model(seed=3, threads=threads)
    shaken(net)
    bits = {"training loss": np.array(net.train_step(*inputs, *targets)).tobytes()}
    bits |= {f"gradient of {name}": a.tobytes() for name, a in net.gradients.items()}
    bits |= {name: a.tobytes() for name, a in net.parameters.items()}
    outputs = net(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    pairs = zip(graph.outputs, outputs, strict=True)
    return bits | {output.name: array.tobytes() for output, array in pairs}
