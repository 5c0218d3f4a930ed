"""The networks in float64 NumPy, through the ops' references and the optimizers' own formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.ops.shapes import Array
from cnnc.passes.differentiate import differentiate

TOLERANCE = 1e-5
"""Of the largest entry: float32 sums of some hundred products, through a handful of layers."""


class Reference:
    """A float64 twin of a compiled model: the same parameters, its own optimizer state."""

    def __init__(self, graph: Graph, net: Any) -> None:
        self.graph = differentiate(graph)
        self.inputs = list(net.input_shapes)
        self.parameters = {name: a.astype(np.float64) for name, a in net.parameters.items()}
        self.state: dict[str, dict[str, Array]] = {name: {} for name in net.parameters}
        self.time = 0

    def outputs(self, *inputs: Array) -> list[Array]:
        feeds = dict(zip(self.inputs, map(_double, inputs), strict=True))
        forward = replace(self.graph, nodes=tuple(n for n in self.graph.nodes if self._ahead(n)))
        values = interpret(forward, feeds, self.parameters)
        return [values[output.tensor] for output in self.graph.outputs]

    def gradients(self, *inputs: Array, target: Array) -> tuple[float, dict[str, Array]]:
        """The mean loss and its gradient by every parameter."""
        feeds = dict(zip(self.inputs, map(_double, inputs), strict=True))
        feeds["target"] = target if target.dtype.kind in "iu" else _double(target)
        feeds["loss_grad"] = np.full(len(target), 1 / len(target))
        assert self.graph.step is not None
        values = interpret(self.graph.step, feeds, self.parameters)
        grads = {name: values[node] for name, node in self.graph.step.gradients}
        (loss,) = self.graph.step.losses
        return float(values[loss].mean()), grads

    def step(self, *inputs: Array, target: Array, lr: float | None = None) -> float:
        """One step of the spec's optimizer; the loss before it."""
        assert self.graph.training is not None
        optimizer = self.graph.training.optimizer
        if lr is not None:
            optimizer = replace(optimizer, lr=lr)
        loss, grads = self.gradients(*inputs, target=target)
        self.time += 1
        for name, grad in grads.items():
            state = self.state[name] or {slot: np.zeros_like(grad) for slot in optimizer.SLOTS}
            self.state[name] = state
            self.parameters[name] = optimizer.step(self.parameters[name], grad, state, self.time)
        return loss

    @staticmethod
    def _ahead(node: Any) -> bool:
        """Whether a node belongs to the network itself, not to its loss or gradients."""
        return not node.layer and node.name not in {"target", "loss_grad", "loss"}


def _double(array: Array) -> Array:
    return np.asarray(array, np.float64)


def close(found: Array, wanted: Array, tolerance: float = TOLERANCE) -> None:
    """Assert equal shapes, and differences small against the largest entry."""
    assert found.shape == wanted.shape
    if wanted.size:
        scale = max(float(np.abs(wanted).max()), 1e-6)
        np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=tolerance)
