"""OpenVINO on the CPU, compiled for a fixed batch and asked for latency.

The precision is set to float32: where the processor can do bfloat16 quickly, OpenVINO takes that by
itself. It is not to choose processors: the run has chosen them. Inputs and outputs share memory
with NumPy, as its guide to performance advises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import properties

from sides.exported import Exported
from sides.network import Network


class OpenVinoSide(Exported):
    """One infer request, used again and again."""

    def inference(self, size: int) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """NumPy in and out."""
        core = openvino.Core()
        settings = {
            properties.hint.performance_mode: properties.hint.PerformanceMode.LATENCY,
            properties.hint.inference_precision: openvino.Type.f32,
            properties.inference_num_threads: self._threads,
            properties.num_streams: 1,
            properties.hint.enable_cpu_pinning: False,
        }
        compiled = core.compile_model(core.read_model(self.model(size)), "CPU", settings)
        request = compiled.create_infer_request()

        def run(samples: NDArray[Any]) -> NDArray[np.float32]:
            found = request.infer([samples], share_inputs=True, share_outputs=True)
            output: NDArray[np.float32] = found[0]
            return output

        return run


def make(network: Network, threads: int, variant: str) -> OpenVinoSide:
    """The side."""
    del variant
    return OpenVinoSide(network, threads)
