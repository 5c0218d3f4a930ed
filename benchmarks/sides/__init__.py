"""The sides that cnnc is compared with: what each is called, needs and is good for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TRAINING, INFERENCE = "training", "inference"

KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "1099511627776",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""glibc keeps freed memory and asks for huge pages: without it, a step of PyTorch's has to take
its activations' pages from the system again."""


@dataclass(frozen=True, slots=True)
class Side:
    """A way to run a network, made by `module`.make(network, threads, variant)."""

    label: str
    module: str
    packages: tuple[str, ...] = ()
    """What has to be installed."""
    variant: str = ""
    kinds: tuple[str, ...] = (TRAINING, INFERENCE)
    environment: Mapping[str, str] = field(default_factory=dict)


CNNC = Side("cnnc", "cnnc_side")

PEERS = {
    "torch": Side("PyTorch", "torch_side", ("torch",), "first"),
    "torch-last": Side("PyTorch channels-last", "torch_side", ("torch",), "last"),
    "torch-tuned": Side("PyTorch tuned", "torch_side", ("torch",), "last", environment=KEEP_MEMORY),
    "torch-compile": Side(
        "torch.compile",
        "torch_side",
        ("torch",),
        "compile",
        environment={**KEEP_MEMORY, "TORCHINDUCTOR_FREEZING": "1"},
    ),
    "jax": Side("JAX", "jax_side", ("jax",)),
    "tensorflow": Side("TensorFlow", "tensorflow_side", ("tensorflow-cpu",), "graph"),
    "tensorflow-xla": Side("TensorFlow XLA", "tensorflow_side", ("tensorflow-cpu",), "xla"),
    "onnxruntime": Side(
        "ONNX Runtime", "onnxruntime_side", ("onnxruntime", "onnx"), kinds=(INFERENCE,)
    ),
    "openvino": Side("OpenVINO", "openvino_side", ("openvino", "onnx"), kinds=(INFERENCE,)),
}
SIDES = {"cnnc": CNNC, **PEERS}
