"""Specs that put the generator to the test: names, targets, and the same bytes everywhere."""

from __future__ import annotations

import os
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

# What generated code is made of: Python's, Cython's, C's and the templates' own names.
AWKWARD = """
    arrays held outputs output0 pinned0 threads value values samples work block first losses total
    lane share parameters gradients accumulate _np _array _Pinned _json _os _labels _view _index
    _read _PARAMETERS _lock _seed Model Arrays LANES vec vload vexp min max range tuple type str len
    ValueError TypeError MemoryError name path seed state step infer_batch infer_block train_block
    loss_block train_batch prange threadid sqrt free pow result source weight bias scratch groups
    blocks partial i o g c k out None True int float self class_ target loss cls print object bytes
    memoryview dict Exception input0 conv1_forward dense9_forward sgd_step update w rate mode
    velocity target_ target_array loads dtype shape args kwargs Py_ssize_t Py_buffer PyBUF_SIMPLE
    INFINITY vzero I linux unix errno EOF NULL stdin main yes lambda nogil cdef size_t _ x_ X
""".split()


def _accepted(template: str) -> list[str]:
    """The names that the language lets through there."""
    found = []
    for name in AWKWARD:
        try:
            dict(lower(Source("names.cnn", template.format(name=name))))
        except CompileError as error:
            assert {d.code for d in error.diagnostics} <= {
                "bad-name",
                "syntax-error",
                "missing-value",
            } | {  # noqa: E501
                d.code for d in error.diagnostics if name in d.message
            }
        else:
            found.append(name)
    return found


def test_a_name_that_the_language_takes_can_be_an_input(compiled: Compile) -> None:
    names = _accepted("model names {{\n input {name}: float32[3]\n dense(2)\n}}\n")
    assert len(names) > 40
    assert not {"None", "self", "int", "lambda", "cdef"} & set(names)
    lines = [f"    input {name}: float32[3]" for name in names]
    train = "train { loss mse; optimizer sgd(lr=0.1, momentum=0.5) }"
    text = "\n".join(
        ["model names {", *lines, f"    add({', '.join(names)}) -> dense(2)", "}", train, ""]
    )
    model = compiled(text).load().Model
    assert sorted(model.input_shapes) == sorted(names)
    net = model(threads=1)
    one = {name: np.full((2, 3), i, np.float32) for i, name in enumerate(names)}
    total = float(sum(range(len(names))))
    weight = net.parameters["dense1.weight"]
    wanted = np.full((2, 3), total) @ weight.T.astype(float)
    close(net(**one), wanted)
    close(net(*one.values()), wanted)
    target = np.zeros((2, 2), np.float32)
    assert net.train_step(*one.values(), target) == pytest.approx((wanted**2).mean(), rel=1e-5)


def test_a_name_that_the_language_takes_can_be_a_layer_and_an_output(compiled: Compile) -> None:
    label = "model names {{\n input x: float32[3]\n {name}: dense(3) -> relu\n}}\n"
    value = "model names {{\n input x: float32[3]\n {name} = dense(3) -> relu\n output {name}\n}}\n"
    labels, values = _accepted(label), _accepted(value)
    assert len(labels) > 40
    half = len(labels) // 2
    names = [name for name in values if name not in labels[:half]]
    lines = [f"    {name}: dense(3)" for name in labels[:half]]
    lines += [f"    {name} = dense(3) -> relu" for name in names]
    text = "\n".join(
        [
            "model names {",
            "    input x: float32[3]",
            *lines,
            f"    output {', '.join(names)}",
            "}",
            "",
        ]
    )
    done = compiled(text)
    net = done.load().Model(threads=1)
    assert list(net.output_shapes) == names
    assert {f"{name}.weight" for name in labels[:half]} <= set(net.parameters)
    case = Case(done, done.load())
    x = np.eye(3, dtype=np.float32)
    for found, wanted in zip(net(x), case.reference(net).outputs(x), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def _others() -> list[str]:
    host = host_target()
    same = [t for t in TARGETS.values() if t.machine == host.machine and t.lanes < host.lanes]
    return [t.name for t in same]


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
    for secret in (str(root), str(tmp_path), "0x7f"):
        assert secret not in text
        assert secret not in stub.decode()
