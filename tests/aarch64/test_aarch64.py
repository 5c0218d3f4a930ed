"""The NEON kernels, cross-compiled, run under qemu and compared with the NumPy reference.

`make aarch64` prepares what they need: a cross compiler, qemu, and a sysroot with Python and NumPy,
which CNNC_AARCH64 names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.codegen.toolchain import find_compiler
from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec
from cnnc.diagnostics import CompileError
from cnnc.ir.graph import Graph
from cnnc.ir.interpret import interpret
from cnnc.ir.target import TARGETS
from cnnc.ops.shapes import Array
from tests.aarch64.inside import STEPS
from tests.flags import optimized
from tests.module.specs import LENET
from tests.ops.examples import parameter_names
from tests.ops.test_kernels import (
    EVERY,
    SAMPLES,
    _assert_close,
    _double,
    _feeds,
    build_graph,
    layers_of,
    side_by_side,
    trained_together,
)

COMPILER, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64"
SYSROOT = os.environ.get("CNNC_AARCH64", "")

pytestmark = pytest.mark.skipif(
    not (SYSROOT and shutil.which(COMPILER) and shutil.which(QEMU)),
    reason="no cross compiler, qemu and sysroot: make aarch64",
)


HALVES = {
    f"{group}-{half}": layers_of(group)[place::2]
    for group in EVERY
    for place, half in enumerate(("even", "odd"))
    if layers_of(group)[place::2]
}
"""Every example of every layer, in modules that take not too long to compile."""

TRAINED = {
    half: layers
    for half, layers in HALVES.items()
    if any(parameter_names(example) for _, example in layers)
}


def _each(halves: Iterable[str]) -> list[Any]:
    """Halves that may run beside each other: each compiles modules of its own."""
    return [pytest.param(h, id=f"<{h}>") for h in halves]


@pytest.fixture(autouse=True)
def cross(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(SYSROOT).resolve()
    monkeypatch.setenv("CC", f"{COMPILER} --sysroot={root}")
    (include,) = (root / "usr/include").glob("python3.*")
    monkeypatch.setenv("CNNC_PYTHON_INCLUDE", str(include))


def run(folder: Path, name: str, kind: str) -> None:
    """Have inside.py run the module in `folder` on its feeds."""
    root = Path(SYSROOT).resolve()
    libraries = root / "usr/lib/aarch64-linux-gnu"
    environment = {
        "LD_LIBRARY_PATH": f"{libraries / 'blas'}:{libraries / 'lapack'}",
        "PYTHONHOME": str(root / "usr"),
    }
    given = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    inside = Path(__file__).with_name("inside.py")
    python = root / "usr/bin/python3"
    subprocess.run([QEMU, "-L", root, *given, python, inside, folder, name, kind], check=True)


def found(folder: Path, what: str) -> dict[str, Array]:
    return dict(np.load(folder / f"{what}.npz"))


def compute(graph: Graph, kind: str, folder: Path) -> None:
    """Build a graph's module and run it for every number of samples."""
    with optimized("aarch64"):
        build_graph(graph, [TARGETS["aarch64"]], folder)
    for samples in SAMPLES[kind == "gradients" :]:
        feeds = _feeds(graph, samples)
        if kind == "gradients":
            feeds.pop("loss_grad")
        np.savez(folder / f"feeds-{samples}.npz", **feeds)
    run(folder, graph.name, kind)


@pytest.mark.parametrize("half", _each(HALVES))
def test_forward_and_data_gradient_kernels_equal_their_references(
    half: str, tmp_path: Path
) -> None:
    graph = side_by_side(HALVES[half])
    compute(graph, "call", tmp_path)
    parameters = _double(found(tmp_path, "parameters"))
    for samples in SAMPLES:
        wanted = interpret(graph, _double(_feeds(graph, samples)), parameters)
        outputs = found(tmp_path, f"found-{samples}")
        for output in graph.outputs:
            _assert_close(outputs[output.name], wanted[output.tensor], output.name)


@pytest.mark.parametrize("half", _each(TRAINED))
def test_parameter_gradient_kernels_equal_their_references(half: str, tmp_path: Path) -> None:
    graph = trained_together(TRAINED[half])
    assert graph.step is not None
    compute(graph, "gradients", tmp_path)
    parameters = _double(found(tmp_path, "parameters"))
    for samples in SAMPLES[1:]:
        feeds = _double(_feeds(graph, samples)) | {"loss_grad": np.full(samples, 1 / samples)}
        wanted = interpret(graph.step, feeds, parameters)
        gradients = found(tmp_path, f"found-{samples}")
        for parameter, node in graph.step.gradients:
            _assert_close(gradients[parameter], wanted[node], parameter)


def test_lenet_trains_as_on_this_machine_on_any_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = compile_lenet("aarch64", tmp_path)
    assert compiled.extension.name.endswith("-aarch64-linux-gnu.so")
    with pytest.raises(CompileError, match="this machine cannot run code for aarch64"):
        compiled.load()
    rng = np.random.default_rng(0)
    feeds = {
        n: (rng.integers(0, 256, (n, 1, 28, 28)).astype(np.uint8), rng.integers(0, 10, n))
        for n in (1, 17, 33)
    }
    for n, arrays in feeds.items():
        np.savez(tmp_path / f"feeds-{n}.npz", *arrays)
    run(tmp_path, "lenet", "train")
    for variable in ("CC", "CNNC_PYTHON_INCLUDE"):
        monkeypatch.delenv(variable)
    model = compile_lenet(find_compiler_target(), tmp_path / "here").load().Model
    for n, arrays in feeds.items():
        net, there = model(seed=3, threads=1), found(tmp_path, f"found-{n}")
        losses = [net.train_step(*arrays) for _ in range(STEPS)]
        np.testing.assert_allclose(there["losses"], losses, rtol=1e-5)
        _assert_close(there["outputs"], net(arrays[0]), f"outputs of {n}")
        for name, view in net.parameters.items():
            _assert_close(there[name], view, name)


def compile_lenet(target: str, folder: Path) -> Compiled:
    return compile_spec(LENET, output=folder, options=Options(target))


def find_compiler_target() -> str:
    """What every machine like this one runs, for bits that do not depend on it."""
    return "x86-64" if find_compiler().machine == "x86_64" else "aarch64"
