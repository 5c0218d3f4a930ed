"""ONNX Runtime: all its graph optimisations, one session a batch size, threads as asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from sides.exported import Exported
from sides.network import Network


class OnnxRuntimeSide(Exported):
    """InferenceSession.run, NumPy in and out."""

    def inference(self, size: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """NumPy in and out."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        session = onnxruntime.InferenceSession(
            self.model(size), options, providers=["CPUExecutionProvider"]
        )
        names = ["result"]
        return lambda samples: session.run(names, {"samples": samples})[0]


def make(network: Network, threads: int, variant: str) -> OnnxRuntimeSide:
    """The side."""
    del variant
    return OnnxRuntimeSide(network, threads)
