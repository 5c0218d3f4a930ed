"""What the runtimes for ONNX models share: weights that become a model for each batch size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sides.network import Network
from sides.onnx_graph import onnx_model


class Exported:
    """A network as ONNX; subclasses run it."""

    def __init__(self, network: Network, threads: int) -> None:
        self._network = network
        self._threads = threads
        self._weights: dict[str, NDArray[np.float32]] = {}

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Take over weights."""
        self._weights = dict(weights)

    def samples(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """As the caller of `inference` has them."""
        return self._network.prepare(samples)

    def model(self, size: int) -> bytes:
        """The ONNX model for batches of that size."""
        return onnx_model(self._network, self._weights, size)
