"""cnnc: the compiled module, fed what the spec says (bytes, where it says uint8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.compiler import compile_spec
from sides.network import Batch, Network


class CnncSide:
    """One model; what it prepares itself is not prepared for it."""

    def __init__(self, network: Network, threads: int) -> None:
        module = compile_spec(network.path, options=network.options).load()
        self._rate = network.optimizer.lr
        self._make = partial(module.Model, seed=0, threads=threads)
        self._net = self._make()

    def first_weights(self) -> dict[str, NDArray[np.float32]]:
        """As initialised, but with statistics and biases that matter."""
        rng = np.random.default_rng(1)
        found = {name: view.copy() for name, view in self._net.parameters.items()}
        for name, values in found.items():
            if name.endswith("running_var"):
                values[...] = rng.uniform(0.7, 1.3, values.shape)
            elif name.endswith(("running_mean", "bias")):
                values[...] = rng.normal(0, 0.1, values.shape)
        return found

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over weights; a new model, for its optimizer remembers nothing."""
        self._net = self._make()
        self._net.learning_rate = self._rate
        for name, view in self._net.parameters.items():
            view[...] = weights[name]

    def samples(self, samples: NDArray[Any]) -> NDArray[Any]:
        """As the caller of `inference` has them."""
        return samples

    def inference(self, size: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """NumPy in and out."""
        del size
        net: Callable[[NDArray[Any]], NDArray[np.float32]] = self._net
        return net

    def batch(self, batch: Batch) -> Batch:
        """As `step` takes it."""
        return batch

    def training(self, size: int) -> Callable[[Batch], float]:
        """A step: forward, backward and optimizer; the loss before it."""
        del size
        step = self._net.train_step
        return lambda batch: float(step(*batch))

    def gradients(self, batch: Batch) -> dict[str, NDArray[np.float32]]:
        """Of the mean loss of a batch."""
        self._net.compute_gradients(*batch)
        return {name: view.copy() for name, view in self._net.gradients.items()}


def make(network: Network, threads: int, variant: str) -> CnncSide:
    """The side."""
    del variant
    return CnncSide(network, threads)
