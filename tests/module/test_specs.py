"""Specs that put the generator to the test: names, targets, and the same bytes everywhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnc.codegen.toolchain import host_target
from cnnc.compiler import Options, emit, lower
from cnnc.diagnostics import CompileError, Source
from cnnc.ir.target import TARGETS
from tests.module.conftest import Case, Compile
from tests.module.reference import close
from tests.module.specs import DIGITS, LENET

# What the Model class is made of: its locals, the module's names, Python's.
IN_THE_CLASS = """
    arrays held outputs output0 pinned0 threads value values samples _np _array _Pinned _os
    _PARAMETERS Model Arrays LANES vec tuple range isinstance ValueError TypeError parameters
    infer_batch prange threadid x_array X x_ _ Py_ssize_t Py_buffer None True int self target loss
    lambda cdef nogil
"""
# What the kernels and schedules are made of: theirs, C's, and the compiler's own.
IN_THE_KERNELS = """
    arrays block samples first work losses total lane share gradients accumulate outputs groups
    partial i o c k w g out acc vload vexp vec vzero LANES INFINITY min max infer_block infer_batch
    train_block loss_block sgd_step conv1_forward dense9_forward weight bias scratch source result
    input0 state step mode rate velocity pow sqrt free prange Model Arrays _np I linux unix errno
    EOF stdin main x_ X _ None int self loss target NULL cdef
"""


def _accepted(template: str, names: str) -> list[str]:
    """The names that the language lets through there."""
    found = []
    for name in names.split():
        try:
            dict(lower(Source("names.cnn", template.format(name=name))))
        except CompileError:
            continue
        found.append(name)
    return found


def test_a_name_that_the_language_takes_can_be_an_input(compiled: Compile) -> None:
    names = _accepted("model names {{\n input {name}: float32[3]\n dense(2)\n}}\n", IN_THE_CLASS)
    assert {"X", "held"} <= set(names)
    lines = [f"    input {name}: float32[3]" for name in names]
    text = "\n".join(["model names {", *lines, f"    add({', '.join(names)}) -> dense(2)", "}", ""])
    model = compiled(text).load().Model
    assert sorted(model.input_shapes) == sorted(names)
    net = model(threads=1)
    one = {name: np.full((2, 3), i, np.float32) for i, name in enumerate(model.input_shapes)}
    total = float(sum(range(len(names))))
    wanted = np.full((2, 3), total) @ net.parameters["dense1.weight"].T.astype(float)
    close(net(**one), wanted)
    close(net.predict(*one.values()), wanted)


def test_a_name_that_the_language_takes_can_be_a_layer_and_an_output(compiled: Compile) -> None:
    label = "model names {{\n input x: float32[3]\n {name}: dense(3) -> relu\n}}\n"
    value = "model names {{\n input x: float32[3]\n {name} = dense(3) -> relu\n output {name}\n}}\n"
    labels = _accepted(label, IN_THE_KERNELS)
    values = _accepted(value, IN_THE_KERNELS)
    assert {"X", "lane"} <= {*labels} & {*values}
    # A name is given once: every other one is a layer's, the rest are values and outputs.
    layers = labels[::2]
    names = [name for name in values if name not in layers]
    lines = [f"    {name}: dense(3)" for name in layers]
    lines += [f"    {name} = dense(3) -> relu" for name in names]
    text = "\n".join(
        ["model names {", "    input x: float32[3]", *lines, f"    output {', '.join(names)}", "}"]
    )
    done = compiled(text + "\n")
    case = Case(done, done.load())
    net = case.model()
    assert list(net.output_shapes) == names
    assert {f"{name}.weight" for name in layers} <= set(net.parameters)
    (x,) = case.inputs(5)
    for found, wanted in zip(net(x), case.reference(net).outputs(x), strict=True):
        close(found, wanted)


def _others() -> list[str]:
    host = host_target()
    return [target.name for target in TARGETS.values() if target.runs_on(host)][1:]


@pytest.mark.parametrize("target", _others())
def test_narrower_targets_agree_with_the_reference(compiled: Compile, target: str) -> None:
    done = compiled(DIGITS, target)
    case = Case(done, done.load())
    net = case.model(seed=1, threads=2)
    assert net.target == target
    reference = case.reference(net)
    for n in (1, 3, 4, 5, 8, 9, 40):
        (image,) = case.inputs(n)
        close(net(image), reference.outputs(image)[0])
        _, grads = reference.gradients(image, target=case.target(n))
        net.compute_gradients(image, case.target(n))
        for name, grad in grads.items():
            close(net.gradients[name], grad)
    losses = []
    for step in range(3):
        losses.append(net.train_step(*case.inputs(40, step), case.target(40, step)))
        wanted = reference.step(*case.inputs(40, step), target=case.target(40, step))
        assert losses[-1] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("target", _others())
def test_weights_are_the_same_for_every_target(
    digits: Case, compiled: Compile, target: str, tmp_path: Path
) -> None:
    other = compiled(DIGITS, target).load().Model
    for name, view in digits.module.Model(seed=5).parameters.items():
        np.testing.assert_array_equal(other(seed=5).parameters[name], view)
    digits.model().save(tmp_path / "file")
    other.load(tmp_path / "file")


@pytest.mark.skipif(len(_others()) < 2, reason="one target alone runs here")
def test_every_target_gives_another_source() -> None:
    source = Source("digits.cnn", DIGITS)
    texts = {emit(source, "pyx", Options(target)) for target in TARGETS}
    assert len(texts) == len(TARGETS)


def test_source_and_stub_are_the_same_bytes_anywhere(
    lenet: Case, root: Path, tmp_path: Path
) -> None:
    found = set()
    (tmp_path / "lenet.cnn").write_bytes(LENET.read_bytes())
    for seed, where, spec in (("1", root, str(LENET)), ("77", tmp_path, "lenet.cnn")):
        output = tmp_path / seed
        subprocess.run(
            [sys.executable, "-m", "cnnc", "compile", spec, "-o", str(output)],
            cwd=where,
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": str(root),
                "TZ": f"UTC+{seed[0]}",
            },
            capture_output=True,
            check=True,
        )
        found.add(((output / "lenet.pyx").read_bytes(), (output / "lenet.pyi").read_bytes()))
    found.add((lenet.compiled.pyx.read_bytes(), lenet.compiled.stub.read_bytes()))
    assert len(found) == 1
    ((pyx, stub),) = found
    text = emit(Source("lenet.cnn", LENET.read_text()), "pyx")
    assert pyx.decode() == text
    assert not re.search("0x7f[0-9a-f]{10}", text)
    for secret in (str(root), str(tmp_path)):
        assert secret not in text
        assert secret not in stub.decode()
