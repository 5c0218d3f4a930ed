"""A compiled network and the same one in PyTorch: equal weights, inputs and targets for both."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.ir.graph import Graph, OutputLoss
from cnnc.ops.op import Array
from tests.torch_ops import network_loss, run, torch

GRADIENT_FLOOR = 1e-3
"""Of the largest gradient: what lies below it is rounding, as of a bias before a batchnorm."""


class Twin:
    """PyTorch in float64 beside a compiled Model."""

    def __init__(self, graph: Graph, model: type[Any], samples: int, seed: int = 0) -> None:
        assert graph.training is not None
        self.graph = graph
        self.losses = graph.training.losses
        self.net = model(seed=seed, threads=2)
        self.rng = np.random.default_rng(seed)
        self._shake()
        self.inputs = {node.name: self._input(node.op, samples) for node in graph.inputs()}
        self.targets = [self._target(judge, samples) for judge in self.losses]

    def _shake(self) -> None:
        """No parameter as it starts, so that each matters."""
        for name, view in self.net.parameters.items():
            kind = name.rpartition(".")[2]
            if kind == "running_var" or (kind == "weight" and view.ndim == 1):
                view[...] = self.rng.uniform(0.7, 1.3, view.shape)
            elif kind in {"bias", "running_mean"}:
                view[...] = self.rng.normal(0, 0.1, view.shape)

    def _input(self, op: Any, samples: int) -> Array:
        shape = (samples, *op.shape)
        if op.dtype == "uint8":
            return self.rng.integers(0, 256, shape).astype(np.uint8)
        return self.rng.standard_normal(shape).astype(np.float32)

    def _target(self, judge: OutputLoss, samples: int) -> Array:
        tensor = next(o.tensor for o in self.graph.outputs if o.name == judge.output)
        output = self.graph.node(tensor).shape
        classes, entry = judge.loss.classes(output), judge.loss.target(output)
        shape = (samples, *entry.shape)
        if classes is not None:
            return self.rng.integers(0, classes, shape)
        return self.rng.random(shape).astype(np.float32)

    # PyTorch's side

    def parameters(self) -> dict[str, Any]:
        """Leaves with the compiled model's present values; statistics without gradient."""
        trained = {p.name for p in self.graph.parameters if p.trained}
        return {
            name: torch.tensor(view, dtype=torch.float64, requires_grad=name in trained)
            for name, view in self.net.parameters.items()
        }

    def run(self, parameters: dict[str, Any], *, training: bool) -> dict[str, Any]:
        """The outputs of the whole network by their names."""
        feeds = {name: torch.from_numpy(x).double() for name, x in self.inputs.items()}
        values = run(self.graph, feeds, parameters, training=training)
        return {output.name: values[output.tensor] for output in self.graph.outputs}

    def loss(self, outputs: dict[str, Any]) -> Any:
        """The weighted sum that is trained."""
        total: Any = 0.0
        for judge, target in zip(self.losses, self.targets, strict=True):
            aim = torch.from_numpy(target)
            aim = aim.double() if target.dtype.kind == "f" else aim.long()
            total = total + judge.weight * network_loss(judge.loss, outputs[judge.output], aim)
        return total

    # both

    def output_errors(self) -> dict[str, float]:
        """Of inference, relative to each output's largest entry."""
        found = self.net(*self.inputs.values())
        found = found if isinstance(found, tuple) else (found,)
        with torch.no_grad():
            wanted = self.run(self.parameters(), training=False)
        return {
            name: error(array, wanted[name])
            for name, array in zip(wanted, found, strict=True)
        }

    def training_errors(self) -> tuple[float, dict[str, float], dict[str, float]]:
        """Of the loss, of each gradient and of each statistic after a step of the optimizer."""
        parameters = self.parameters()
        wanted = self.loss(self.run(parameters, training=True))
        wanted.backward()
        given = (*self.inputs.values(), *self.targets)
        loss = self.net.compute_gradients(*given)
        slopes = {n: t.grad.numpy() for n, t in parameters.items() if t.requires_grad}
        floor = GRADIENT_FLOOR * max(float(abs(slope).max()) for slope in slopes.values())
        gradients = {n: error(self.net.gradients[n], s, floor) for n, s in slopes.items()}
        assert set(self.net.gradients) == set(gradients)
        self.net.train_step(*given)
        moved = {n: t for n, t in parameters.items() if not t.requires_grad}
        statistics = {n: error(self.net.parameters[n], t) for n, t in moved.items()}
        wanted = wanted.item()
        return abs(loss - wanted) / max(abs(wanted), 1e-6), gradients, statistics


def error(found: Array, wanted: Any, floor: float = 1e-30) -> float:
    """The largest difference, relative to the largest entry or to `floor`, if that is more."""
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    assert np.isfinite(wanted).all()
    return float(abs(found - wanted).max() / max(float(abs(wanted).max()), floor))
