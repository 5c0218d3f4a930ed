"""cnnc's arrays, channels first, as frameworks with channels last keep them, and back.

Convolutions' weights become (*kernel, in, out), those of dense layers (in, out). Where a dense
layer reads a flattened picture, its rows follow the other order of the elements, as they would had
it been trained there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.ir.graph import Node
from sides.network import Network

Arrays = Mapping[str, NDArray[np.float32]]


class ChannelsLast:
    """The change of layout for one network."""

    def __init__(self, network: Network) -> None:
        self._readers: dict[str, Node] = {}
        self._origin: dict[str, tuple[int, ...]] = {}
        for node in network.layers:
            for name in node.parameters:
                self._readers[name] = node
            source = node.inputs[0]
            if node.op.NAME == "flatten":
                self._origin[node.name] = network.shape(source)
            elif source in self._origin and node.op.NAME != "dense":
                self._origin[node.name] = self._origin[source]

    def parameters(self, arrays: Arrays) -> dict[str, NDArray[np.float32]]:
        """From cnnc's layout."""
        return {name: self._turn(name, array) for name, array in arrays.items()}

    def back(self, arrays: Arrays) -> dict[str, NDArray[np.float32]]:
        """To cnnc's layout."""
        return {name: self._turn_back(name, np.asarray(a)) for name, a in arrays.items()}

    def _turn(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        if not name.endswith(".weight") or array.ndim == 1:
            return array
        if array.ndim == 2:
            shape = self._shape(name)
            if shape is not None:
                array = np.moveaxis(array.reshape(-1, *shape), 1, -1).reshape(len(array), -1)
            return np.ascontiguousarray(array.T)
        turned = np.moveaxis(array, (0, 1), self._places(name))
        return np.ascontiguousarray(turned)

    def _turn_back(self, name: str, array: NDArray[np.float32]) -> NDArray[np.float32]:
        if not name.endswith(".weight") or array.ndim == 1:
            return array
        if array.ndim == 2:
            array, shape = array.T, self._shape(name)
            if shape is not None:
                parted = array.reshape(-1, *shape[1:], shape[0])
                array = np.moveaxis(parted, -1, 1).reshape(len(array), -1)
            return array
        return np.moveaxis(array, self._places(name), (0, 1))

    def _shape(self, name: str) -> tuple[int, ...] | None:
        return self._origin.get(self._readers[name].inputs[0])

    def _places(self, name: str) -> tuple[int, int]:
        """Where cnnc's first two axes go: (out, in), or (in, out) of a transposed convolution."""
        return (-2, -1) if self._readers[name].op.NAME == "conv_transpose" else (-1, -2)


def samples_last(samples: NDArray[Any]) -> NDArray[Any]:
    """(n, channels, *space) -> (n, *space, channels)."""
    return np.ascontiguousarray(np.moveaxis(samples, 1, -1)) if samples.ndim > 2 else samples


def outputs_first(outputs: NDArray[Any]) -> NDArray[Any]:
    """(n, *space, channels) -> (n, channels, *space), the same memory."""
    return np.moveaxis(outputs, -1, 1) if outputs.ndim > 2 else outputs
