"""A compiled model against the float64 reference: outputs, losses, gradients, running statistics.

Several networks that share nothing lie in one model. Whatever differs is told as the network's
whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import interpret
from cnnc.ir.verify import verify_graph
from cnnc.ops.batch_statistics import BatchStatistics
from cnnc.ops.op import Array, Gradient, Input, LossOp
from cnnc.ops.random_words import random_words
from cnnc.passes.differentiate import differentiate
from cnnc.passes.fuse import fuse

SAMPLES = (1, 5, 17)
OUTPUTS = 5e-5
"""Of the largest entry: float32 through some ten layers, normalisations among them."""
GRADIENTS = 5e-4
"""Twice as many layers, and differences of large sums."""
FLOOR = 1e-3
"""Of the network's largest gradient: what cancels to nothing, such as the gradient by a bias before
a batchnorm, is compared with that share of it."""
LONE = 1.0
"""The same for a batch of one sample, of which batchnorm leaves nothing but rounding."""
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
    shares: dict[str, float] = field(default_factory=dict)

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
        """Arrays for all of a differentiated graph's inputs."""
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


def compare(model: Any, graph: Graph, owner: Owner, samples: int) -> list[Difference]:
    """Everything that a batch shows."""
    twin, found = Twin(graph), []
    inputs, targets = twin.batch(samples)
    net = model(seed=3, threads=1)
    weights = shaken(net)
    none = np.zeros(samples, np.uint32)

    # Inference.
    values = interpret(twin.grad, twin.feeds(twin.grad, inputs, targets, none), weights)
    outputs = net(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for output, array in zip(graph.outputs, outputs, strict=True):
        found += _far(owner(output.name), output.name, array, values[output.tensor], OUTPUTS)
    found += _losses(twin, twin.grad, values, targets, net.loss(*inputs, *targets), owner, "loss")

    # Gradients.
    feeds = twin.feeds(twin.step, inputs, targets, random_words(3, 1, samples))
    values = interpret(twin.step, feeds, weights)
    loss = net.compute_gradients(*inputs, *targets)
    found += _losses(twin, twin.step, values, targets, loss, owner, "training loss")
    found += _gradients(twin, net, values, owner, samples)

    # Running statistics.
    net = model(seed=3, threads=1)
    shaken(net)
    net.train_step(*inputs, *targets)
    found += _statistics(twin, net, values, weights, owner, samples)
    return found


def _far(
    owner: str, what: str, found: Array, wanted: Array, tolerance: float, floor: float = 0.0
) -> list[Difference]:
    if found.shape != wanted.shape:
        return [Difference(owner, f"{what} has {found.shape}, not {wanted.shape}", np.inf)]
    scale = max(float(abs(wanted).max(initial=0)), floor, 1e-6)
    error = float(abs(found - wanted).max(initial=0)) / scale
    return [] if error < tolerance else [Difference(owner, what, error)]


def _losses(
    twin: Twin,
    graph: Graph,
    values: Mapping[str, Array],
    targets: Sequence[Array],
    found: float,
    owner: Owner,
    what: str,
) -> list[Difference]:
    """The sum of all; where it is off, nobody can say whose fault it is."""
    training = twin.graph.training
    assert training is not None
    total, size = 0.0, 0.0
    for (_, loss, _), judge, target in zip(
        twin.losses(graph), training.losses, targets, strict=True
    ):
        part = judge.weight * float(values[loss.name].sum()) / counted(_loss(loss), target)
        total, size = total + part, size + abs(part)
    return _far("", what, np.array(found), np.array(total), OUTPUTS, size)


def _gradients(
    twin: Twin, net: Any, values: Mapping[str, Array], owner: Owner, samples: int
) -> list[Difference]:
    trained = {p.name for p in twin.graph.parameters if p.trained}
    reached = dict(twin.step.gradients)
    largest: dict[str, float] = {}
    for name, node in twin.step.gradients:
        size = float(abs(values[node]).max(initial=0))
        largest[owner(name)] = max(largest.get(owner(name), 0), size)
    found = []
    for name in sorted(trained):
        array = net.gradients[name]
        wanted = values[reached[name]] if name in reached else np.zeros(array.shape)
        floor = (FLOOR if samples > 1 else LONE) * largest.get(owner(name), 0)
        found += _far(owner(name), f"gradient of {name}", array, wanted, GRADIENTS, floor)
    return found


def _statistics(
    twin: Twin,
    net: Any,
    values: Mapping[str, Array],
    weights: Mapping[str, Array],
    owner: Owner,
    samples: int,
) -> list[Difference]:
    found = []
    for node in twin.step.nodes:
        if isinstance(node.op, BatchStatistics):
            space = twin.step.node(node.inputs[0]).shape[1:]
            old = [weights[name] for name in node.parameters]
            count = samples * int(np.prod(space))
            wanted = node.op.running(values[node.name], *old, count)
            for name, value in zip(node.parameters, wanted, strict=True):
                found += _far(owner(name), name, net.parameters[name], value, OUTPUTS)
    return found


def compare_fused(graph: Graph, weights: Mapping[str, Array], samples: int = 3) -> list[str]:
    """The tensors whose values fusion changes, in float64."""
    twin = Twin(graph)
    inputs, targets = twin.batch(samples)
    words = random_words(1, 1, samples)
    changed = []
    for plain, fused in ((twin.grad, twin.fused), (twin.step, twin.fused.step)):
        assert fused is not None
        feeds = twin.feeds(plain, inputs, targets, words)
        wanted, found = interpret(plain, feeds, weights), interpret(fused, feeds, weights)
        pairs = [
            (a.tensor, b.tensor) for a, b in zip(plain.outputs, fused.outputs, strict=True)
        ]
        pairs += [(a, b) for (_, a), (_, b) in zip(plain.gradients, fused.gradients, strict=True)]
        pairs += zip(plain.losses, fused.losses, strict=True)
        changed += [
            a for a, b in pairs if _far("", a, found[b], wanted[a], FUSED, 1.0)
        ]
    return changed


def trained_bits(model: Any, graph: Graph, threads: int, samples: int) -> dict[str, bytes]:
    """All that a step and a call leave, bit for bit."""
    twin = Twin(replace(graph))
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


def is_gradient(node: Node) -> bool:
    return isinstance(node.op, Gradient)
