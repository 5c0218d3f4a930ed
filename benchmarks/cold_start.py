"""How long does a process take that imports LeNet and answers one image?

Fresh processes, started again and again in turn: cnnc's compiled module, the same network in what
else is installed, and an empty one that imports NumPy. The others are given their own files of the
weights, made beforehand; torch.compile has no cache, as on a machine that it is new to.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peers_goals import COLD_GOAL
from report import ROOT, Report, arguments, has_package, spread
from sides.network import Network
from worker import environment

from cnnc.compiler import compile_spec

IMAGE = "import numpy as np; image = np.ones((1, 1, 28, 28), np.{}); "
NUMPY = "import numpy"
CNNC = IMAGE.format("uint8") + "import lenet; lenet.Model(seed=0)(image)"
ONNX_RUNTIME = IMAGE.format("float32") + (
    "import onnxruntime; session = onnxruntime.InferenceSession('lenet.onnx');"
    " session.run(None, {'samples': image})"
)
OPENVINO = IMAGE.format("float32") + (
    "import openvino; openvino.compile_model('lenet.onnx', 'CPU')(image)[0]"
)
TORCH = IMAGE.format("float32") + (
    "import torch; from torch import nn; net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2),"
    " nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),"
    " nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)).eval();"
    " torch.set_grad_enabled(False); {}net(torch.from_numpy(image)).numpy()"
)
JAX = """
import numpy as np
import jax, jax.numpy as jnp
from jax import lax
image = np.ones((1, 28, 28, 1), np.float32)
w = dict(np.load("lenet.npz"))
def conv(x, name, pad):
    y = lax.conv_general_dilated(x, w[name + ".weight"].transpose(2, 3, 1, 0), (1, 1), pad,
                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
    y = jax.nn.relu(y + w[name + ".bias"])
    return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
@jax.jit
def net(x):
    x = conv(conv(x, "conv1", "SAME"), "conv2", "VALID").reshape(1, -1)
    for name in ("dense1", "dense2", "dense3"):
        x = (x if name == "dense1" else jax.nn.relu(x)) @ w[name + ".weight"].T + w[name + ".bias"]
    return x
np.asarray(net(image))
"""
ONCE = "torch.compile"
"""Takes so long that it runs once."""
PEERS = {
    "ONNX Runtime": ("onnxruntime", ONNX_RUNTIME),
    "OpenVINO": ("openvino", OPENVINO),
    "JAX": ("jax", JAX),
    "PyTorch": ("torch", TORCH.replace("{}", "")),
    ONCE: ("torch", TORCH.replace("{}", "net = torch.compile(net); ")),
}


def prepare(directory: Path) -> None:
    """The compiled module, its weights, and the ONNX model where that can be made."""
    network = Network("lenet")
    compiled = compile_spec(ROOT / "specs" / "lenet.cnn", output=directory)
    weights = {k: v.copy() for k, v in compiled.load().Model(seed=0).parameters.items()}
    np.savez(directory / "lenet.npz", **weights)
    if has_package("onnx"):
        from sides.onnx_graph import onnx_model

        (directory / "lenet.onnx").write_bytes(onnx_model(network, weights, 1))


def seconds(code: str, directory: Path) -> float:
    """Wall time of a process that has to succeed."""
    with tempfile.TemporaryDirectory() as cache:
        fresh = {"PYTHONPATH": str(directory), "TORCHINDUCTOR_CACHE_DIR": cache}
        env = {**environment(len(os.sched_getaffinity(0))), **fresh}
        env.pop("JAX_COMPILATION_CACHE_DIR", None)
        start = time.perf_counter()
        command = (sys.executable, "-c", code)
        done = subprocess.run(
            command, env=env, cwd=directory, capture_output=True, text=True, check=False
        )
        passed = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(done.stderr)
    return passed


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    report = Report(
        "Cold start of LeNet", ("numpy", "torch", "jax", "onnxruntime", "openvino"), options.output
    )
    report.paragraph(
        f"Wall seconds of whole processes, medians (min-max) of {options.rounds} rounds"
        " in turn, after one that is not counted."
    )
    programs = {"import numpy": NUMPY, "cnnc": CNNC}
    programs |= {
        name: code
        for name, (package, code) in PEERS.items()
        if has_package(package) and (".onnx" not in code or has_package("onnx"))
    }
    found: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory)
        for number in range(options.rounds + 1):
            for label, code in programs.items():
                if label != ONCE or number == options.rounds:
                    passed = seconds(code, directory)
                    if number:
                        found[label].append(passed)
    bare = found["import numpy"]
    rows = []
    for label, values in found.items():
        ratios = [value / base for value, base in zip(values, bare, strict=False)]
        goal, verdict = "", ""
        if label == "cnnc":
            goal = f"{COLD_GOAL}"
            verdict = "reached" if statistics.median(ratios) < COLD_GOAL else "missed"
        rows.append((label, spread(values, ".2f"), spread(ratios, ".2f"), goal, verdict))
    report.table(("", "seconds", "times import numpy", "below", ""), rows)
    report.finish()


if __name__ == "__main__":
    main()
