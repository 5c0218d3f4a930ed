"""Modules of several targets: which one is taken, that it is the one that it says, who is refused.

Other processors than this machine's are qemu's, where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnc
from cnnc.codegen.build import load_extension
from cnnc.compiled import Compiled
from cnnc.diagnostics import CompileError
from cnnc.ir.target import TARGETS
from tests.module.conftest import Case, Compile
from tests.module.specs import DIGITS
from tests.ops.test_kernels import runnable_targets

RUNNABLE = runnable_targets()
SEVERAL = pytest.mark.skipif(len(RUNNABLE) < 2, reason="one target alone runs here")
X86 = TARGETS[RUNNABLE[0]].machine == "x86_64"
QEMU = pytest.mark.skipif(
    not (X86 and shutil.which("qemu-x86_64")), reason="no qemu-x86_64, e.g. apt install qemu-user"
)


@pytest.fixture(scope="module")
def several(compiled: Compile) -> Compiled:
    """All targets that this machine runs; their order says nothing."""
    return compiled(DIGITS, ",".join(reversed(RUNNABLE)))


def load(several: Compiled) -> Any:
    return load_extension(several.name, several.loadable)


def results(case: Case) -> list[Any]:
    """What a model computes, to the last bit."""
    found: list[Any] = []
    for samples in (1, 5, 16, 33):
        net, inputs = case.model(seed=2, threads=2), case.inputs(samples)
        found += [net(*inputs), net.train_step(*inputs, case.target(samples))]
        found += [net.train_step(*inputs, case.target(samples))]
        found += [net.gradients[name] for name in net.gradients]
        found += [net.parameters[name] for name in net.parameters]
    return found


@SEVERAL
@pytest.mark.parametrize("target", RUNNABLE)
def test_each_target_computes_what_it_computes_alone(
    several: Compiled, compiled: Compile, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = compiled(DIGITS, target)
    monkeypatch.setenv("CNNC_PROCESSOR", target)
    case = Case(several, load(several))
    assert case.module.Model.target == target
    for found, wanted in zip(results(case), results(Case(alone, alone.load())), strict=True):
        np.testing.assert_array_equal(found, wanted)


@SEVERAL
def test_the_best_is_taken(several: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    for unset in ("", None):
        monkeypatch.delenv("CNNC_PROCESSOR", raising=False)
        if unset is not None:
            monkeypatch.setenv("CNNC_PROCESSOR", unset)
        assert load(several).Model.target == RUNNABLE[0]
    assert several.load().Model.target == several.target.name == RUNNABLE[0]
    assert [target.name for target in several.targets] == RUNNABLE


@SEVERAL
def test_a_source_lies_beside_for_each(several: Compiled) -> None:
    names = [path.name for path in several.sources]
    assert names == [f"digits.{target}.pyx" for target in RUNNABLE]
    for path, target in zip(several.sources, RUNNABLE, strict=True):
        assert f"target {target}: " in path.read_text(encoding="utf-8")
    beside = {several.extension.name, several.stub.name, *names}
    assert {path.name for path in several.extension.parent.iterdir()} == beside


@SEVERAL
def test_who_is_refused(compiled: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    best = compiled(DIGITS, RUNNABLE[0])
    monkeypatch.setenv("CNNC_PROCESSOR", "pdp-11")
    known = ", ".join(reversed([t.name for t in TARGETS.values() if t.machine == "x86_64"]))
    with pytest.raises(ImportError, match=f"CNNC_PROCESSOR=pdp-11: the targets .* are {known}$"):
        load(best)
    monkeypatch.setenv("CNNC_PROCESSOR", RUNNABLE[1])
    left = f"digits was compiled for {RUNNABLE[0]}, which CNNC_PROCESSOR={RUNNABLE[1]} leaves out"
    with pytest.raises(ImportError, match=left):
        load(best)
    # The compiler takes the processor for the same one, and says so before anything is loaded.
    with pytest.raises(CompileError, match=f"cannot run code for {RUNNABLE[0]}"):
        best.load()


def on(processor: str, folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program under qemu's idea of a processor; a signal is a negative status."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        ["qemu-x86_64", "-cpu", processor, sys.executable, "-c", program],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


SLOPE = "model digits {\n input x: float32[1]\n dense(1)\n}\n"


IMPORT = """
try:
    import digits
except ImportError as error:
    print(error)
"""

TRAIN = """
import digits
import numpy as np
net = digits.Model(seed=1, threads=1)
image = np.random.default_rng(0).integers(0, 256, (17, 2, 9, 7)).astype(np.uint8)
losses = [net.train_step(image, np.arange(17) % 5) for _ in range(9)]
assert losses[-1] < losses[0], losses
print(net.target)
"""


@QEMU
@pytest.mark.parametrize(
    ("processor", "target"), [("Nehalem", "x86-64-v2"), ("max,-avx2", "x86-64-v2"),
                              ("max", "x86-64-v3")]
)  # fmt: skip
def test_older_processors_take_what_they_run(
    processor: str, target: str, several: Compiled
) -> None:
    ran = on(processor, several.extension.parent, TRAIN)
    assert (ran.returncode, ran.stdout) == (0, f"{target}\n"), ran.stderr


@QEMU
def test_a_processor_that_runs_none_is_told_what_it_lacks(compiled: Compile) -> None:
    shipped = compiled(SLOPE, "x86-64-v2,x86-64-v3,x86-64-v4")
    ran = on("core2duo", shipped.extension.parent, IMPORT)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == (
        "digits was compiled for x86-64-v2, x86-64-v3 or x86-64-v4, and this processor is one for "
        "x86-64: it lacks sse4.1, sse4.2, popcnt; compile it for this one\n"
    )


@QEMU
@pytest.mark.parametrize(
    ("target", "lacks"),
    [("x86-64-v3", "fma, movbe, avx, f16c, bmi1, avx2, bmi2, lzcnt"), ("x86-64-v4", "avx512f")],
)
def test_a_module_of_one_target_asks_before_it_runs(
    target: str, lacks: str, compiled: Compile
) -> None:
    ran = on("Nehalem", compiled(DIGITS, target).extension.parent, IMPORT)
    assert ran.returncode == 0, ran.stderr
    said = f"digits was compiled for {target}, and this processor is one for x86-64-v2: it lacks "
    assert ran.stdout.startswith(said)
    assert lacks in ran.stdout


@pytest.mark.parametrize("value", [["x86-64-v3"], 3])
def test_targets_are_named_in_a_str(value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="target is a str such as"):
        cnnc.compile(tmp_path / "none.cnn", target=value)
