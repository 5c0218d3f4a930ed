"""A compiled network and the same one in PyTorch: equal weights, inputs and targets for both.

Where an activation is nearly 0, rounding decides whether relu lets its gradient through, and
PyTorch's float32 disagrees with its own float64 as well: in a ResNet-50 with its first weights by a
tenth. So the weights are chosen such that few activations are near 0, and the inputs such that the
gradients are steady: weights moved by some roundings give the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.ir.graph import Graph, OutputLoss
from cnnc.ops.shapes import Array
from tests.torch_ops import network_loss, run, torch

GRADIENT_FLOOR = 1e-3
"""Of the largest gradient: what lies below it is rounding, as of a bias before a batchnorm."""
ROUNDINGS = 2e-6
"""How far weights are moved, relative to themselves, to see whether gradients are steady."""
STEADY = 2e-4
ATTEMPTS = 30

Tensors = dict[str, Any]


class Twin:
    """PyTorch in float64 beside a compiled Model; one without training is run alone."""

    def __init__(self, graph: Graph, model: type[Any], samples: int) -> None:
        self.graph = graph
        self.losses = graph.training.losses if graph.training else ()
        self.trained = {p.name for p in graph.parameters if p.trained}
        self.net = model(seed=0, threads=2)
        self._shake()
        for seed in range(ATTEMPTS):
            self._draw(samples, seed)
            if not self.losses:
                return
            self.loss, self.gradients, self.moved = self.step(self.parameters(torch.float64))
            if self._is_steady():
                return
        raise AssertionError(f"{graph.name}: no inputs at which its gradients are steady")

    def _shake(self) -> None:
        """Weights at which each parameter matters and few activations are nearly 0."""
        rng = np.random.default_rng(1)
        for name, view in self.net.parameters.items():
            stem, _, kind = name.rpartition(".")
            if kind == "running_var":
                view[...] = rng.uniform(0.7, 1.3, view.shape)
            elif kind == "running_mean":
                view[...] = rng.normal(0, 0.1, view.shape)
            elif f"{stem}.running_mean" in self.net.parameters and kind == "weight":
                # relu is to cut two and a half to four deviations below the mean
                view[...] = rng.uniform(0.2, 0.4, view.shape)
                bias = self.net.parameters[f"{stem}.bias"]
                bias[...] = view * rng.uniform(2.5, 4, view.shape)
            elif f"{stem}.running_mean" in self.net.parameters:
                continue
            elif kind == "bias":
                view[...] = rng.normal(0, 0.1, view.shape)

    def _draw(self, samples: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.inputs = {n.name: _input(n.op, samples, rng) for n in self.graph.inputs()}
        self.targets = [self._target(judge, samples, rng) for judge in self.losses]

    def _target(self, judge: OutputLoss, samples: int, rng: np.random.Generator) -> Array:
        tensor = next(o.tensor for o in self.graph.outputs if o.name == judge.output)
        output = self.graph.node(tensor).shape
        classes = judge.loss.classes(output)
        shape = (samples, *judge.loss.target(output).shape)
        if classes is not None:
            return rng.integers(0, classes, shape)
        return rng.random(shape).astype(np.float32)

    def _is_steady(self) -> bool:
        rng = torch.Generator().manual_seed(0)
        exact = self.parameters(torch.float32)
        noise = {n: torch.randn(t.shape, generator=rng) for n, t in exact.items()}
        for way in (ROUNDINGS, -ROUNDINGS):
            moved = {n: t.detach() * (1 + way * noise[n]) for n, t in exact.items()}
            _, gradients, _ = self.step({n: self._leaf(n, t) for n, t in moved.items()})
            if max(self.gradient_errors(gradients).values()) > STEADY:
                return False
        return True

    # PyTorch's side

    def _leaf(self, name: str, tensor: Any) -> Any:
        return tensor.detach().requires_grad_(name in self.trained)

    def parameters(self, dtype: Any) -> Tensors:
        """Leaves with the compiled model's present values; statistics without gradient."""
        items = self.net.parameters.items()
        return {name: self._leaf(name, torch.tensor(view, dtype=dtype)) for name, view in items}

    def outputs(self, parameters: Tensors, *, training: bool) -> Tensors:
        """Those of the whole network by their names."""
        dtype = next((t.dtype for t in parameters.values()), torch.float64)
        feeds = {name: torch.from_numpy(x).to(dtype) for name, x in self.inputs.items()}
        values = run(self.graph, feeds, parameters, training=training)
        return {output.name: values[output.tensor] for output in self.graph.outputs}

    def step(self, parameters: Tensors) -> tuple[float, dict[str, Array], dict[str, Array]]:
        """The loss, the gradients, and the statistics after a training step."""
        outputs = self.outputs(parameters, training=True)
        total: Any = 0.0
        for judge, target in zip(self.losses, self.targets, strict=True):
            output, aim = outputs[judge.output], torch.from_numpy(target)
            aim = aim.to(output.dtype) if target.dtype.kind == "f" else aim
            total = total + judge.weight * network_loss(judge.loss, output, aim)
        total.backward()
        gradients = {n: t.grad.numpy() for n, t in parameters.items() if t.requires_grad}
        return (
            total.item(),
            gradients,
            {n: t.numpy() for n, t in parameters.items() if not t.requires_grad},
        )

    # both

    def output_errors(self) -> dict[str, float]:
        """Of inference, relative to each output's largest entry."""
        found = self.net(*self.inputs.values())
        found = found if isinstance(found, tuple) else (found,)
        with torch.no_grad():
            wanted = self.outputs(self.parameters(torch.float64), training=False)
        pairs = zip(wanted, found, strict=True)
        return {name: error(array, wanted[name].numpy()) for name, array in pairs}

    def gradient_errors(self, found: Any) -> dict[str, float]:
        """Of gradients, relative to each one's largest entry."""
        assert set(found) == set(self.gradients)
        floor = GRADIENT_FLOOR * max(float(abs(g).max()) for g in self.gradients.values())
        return {n: error(found[n], wanted, floor) for n, wanted in self.gradients.items()}

    def training_errors(self) -> tuple[float, dict[str, float], dict[str, float]]:
        """Of the loss, of each gradient, and of each statistic after a step of the optimizer."""
        given = (*self.inputs.values(), *self.targets)
        loss = self.net.compute_gradients(*given)
        gradients = self.gradient_errors(self.net.gradients)
        assert self.net.train_step(*given) == loss
        statistics = {n: error(self.net.parameters[n], t) for n, t in self.moved.items()}
        return abs(loss / self.loss - 1), gradients, statistics


def _input(op: Any, samples: int, rng: np.random.Generator) -> Array:
    shape = (samples, *op.shape)
    if op.dtype == "uint8":
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.standard_normal(shape).astype(np.float32)


def error(found: Array, wanted: Array, floor: float = 1e-30) -> float:
    """The largest difference, relative to the largest entry or to `floor`, if that is more."""
    assert found.shape == wanted.shape
    assert np.isfinite(wanted).all()
    return float(abs(found - wanted).max() / max(float(abs(wanted).max()), floor))
