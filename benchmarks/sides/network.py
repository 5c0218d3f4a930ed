"""A spec -> what every side of the comparison needs: its layers, samples, labels and optimizer.

Layers that only change the numbers of the input (scale, normalize) are cnnc's to compute in every
call, from the bytes that it is fed. Every other side gets their results, float32, made beforehand.
Nothing here knows a framework.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.compiler import Options, lower
from cnnc.frontend import read_source
from cnnc.ir.graph import Graph, Node
from cnnc.ops.op import Gradient, as_float

SPECS = Path(__file__).resolve().parents[2] / "specs"
WITHOUT_CHANCE = {"mnist_cnn": {"rate": 0.0}}
"""Parameters that leave a network's dropout without effect, for comparing results."""
PREPARING = ("scale", "normalize")
SLOWER = 0.01
"""The share of a network's own learning rate that it is timed with."""

Batch = tuple[NDArray[Any], NDArray[np.int64]]


class NotComparedError(Exception):
    """A network, or a layer of it, that a side cannot be asked for."""


@dataclass(frozen=True)
class Network:
    """A spec of specs/ with one input, one output and cross entropy as its loss."""

    name: str
    exact: bool = False
    """Without chance: with dropout of rate 0."""

    @property
    def path(self) -> Path:
        """The spec's file."""
        return SPECS / f"{self.name}.cnn"

    @property
    def options(self) -> Options:
        """What to compile it with."""
        return Options(parameters=WITHOUT_CHANCE.get(self.name, {}) if self.exact else {})

    @property
    def has_chance(self) -> bool:
        """Whether its training steps are random."""
        return any(getattr(node.op, "rate", 0.0) > 0 for node in self.graph.nodes)

    @cached_property
    def stages(self) -> dict[str, Any]:
        """The forms up to the differentiated graph."""
        forms = {}
        for stage, form in lower(read_source(self.path), self.options):
            forms[stage] = form
            if stage == "grad":
                break
        return forms

    @cached_property
    def graph(self) -> Graph:
        """As resolved."""
        graph: Graph = self.stages["graph"]
        training = graph.training
        if len(list(graph.inputs())) != 1 or len(graph.outputs) != 1 or training is None:
            raise NotComparedError(f"{self.name} has not just one input, one output and a loss")
        loss: Any = training.losses[0].loss
        if loss.NAME != "cross_entropy" or any(
            (loss.label_smoothing, loss.class_weights, loss.ignore_index)
        ):
            raise NotComparedError(f"{self.name} is not trained by plain cross entropy")
        return graph

    @cached_property
    def input(self) -> Node:
        """Where samples enter."""
        return next(self.graph.inputs())

    @cached_property
    def preparing(self) -> list[Node]:
        """The layers that follow the input and only change its numbers."""
        found, tensor = [], self.input.name
        while len(readers := self.graph.consumers(tensor)) == 1:
            (node,) = readers
            if isinstance(node.op, Gradient) or node.op.NAME not in PREPARING:
                break
            found.append(node)
            tensor = node.name
        return found

    @property
    def entry(self) -> str:
        """The tensor that the prepared samples are."""
        return (self.preparing or [self.input])[-1].name

    @property
    def layers(self) -> list[Node]:
        """What is left to the framework, in order."""
        done = {self.input.name, *(node.name for node in self.preparing)}
        return [node for node in self.graph.nodes if node.name not in done]

    @property
    def result(self) -> str:
        """The output's tensor."""
        return self.graph.outputs[0].tensor

    @property
    def trained(self) -> list[str]:
        """Parameters with gradients."""
        return [p.name for p in self.graph.parameters if p.trained]

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Of one sample."""
        return self.graph.node(tensor).shape

    @property
    def optimizer(self) -> Any:
        """As the spec says, but for slower steps.

        They go on for long over the same few batches of random labels: at its own rate a network
        may end at infinity, and the sooner the faster it is.
        """
        optimizer: Any = self.graph.training.optimizer  # type: ignore[union-attr]
        return replace(optimizer, lr=SLOWER * optimizer.lr)

    def batches(self, size: int, count: int = 4) -> list[Batch]:
        """Smooth random pictures or signals as the spec's input wants them, and labels."""
        rng = np.random.default_rng(0)
        shape = self.shape(self.input.name)
        output = self.shape(self.result)
        found = []
        for _ in range(count):
            values = rng.standard_normal((size, *shape)).astype(np.float32)
            for axis in range(2, values.ndim):
                values += np.roll(values, 1, axis) + np.roll(values, 2, axis)
            if getattr(self.input.op, "dtype", "") == "uint8":
                deviation = values.std()
                values = np.clip(values * (64 / deviation) + 128, 0, 255).astype(np.uint8)
            labels = rng.integers(0, output[0], (size, *output[1:]))
            found.append((values, labels))
        return found

    def prepare(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """What the layers in `preparing` make of samples."""
        for node in self.preparing:
            samples = node.op.forward({"input": as_float(samples)})  # type: ignore[union-attr]
        return np.ascontiguousarray(samples, np.float32)
