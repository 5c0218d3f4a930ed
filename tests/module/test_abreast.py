"""Large dense layers, which blocks go through side by side: awkward sizes, partial runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.compiler import Options, compile_spec, emit, open_spec
from cnnc.diagnostics import Source
from cnnc.ops.random_words import random_words
from tests.flags import optimized
from tests.module.conftest import Case
from tests.module.reference import close
from tests.module.test_dropout import reference
from tests.ops.test_kernels import targets_by_lanes

# Weights beyond a megabyte. Inputs in chunks and in one, with a remainder of a line; outputs in
# chunks, inputs in panels; tensors of each block's own that are added or derived, random bits. Few
# values go through relu: in one that is near 0, rounding would decide whether it has a gradient.
TEXT = """
model wide(classes=5) {
    input image: float32[2115]
    h = dense(139) -> silu
    a = h -> dense(1900)
    b = h -> dense(1900, bias=no)
    add(a, b) -> tanh -> dense(141) -> dropout(0.25) -> relu
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.02, momentum=0.9)
}
"""

SMALL = TEXT.replace("2115", "211").replace("1900", "19")


TARGETS = [pytest.param(target, id=f"<wide-{target}>") for target in targets_by_lanes()[::2]]


@pytest.fixture(scope="module", params=TARGETS)
def case(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Case:
    path = tmp_path_factory.mktemp("wide") / "wide.cnn"
    path.write_text(TEXT)
    with optimized(request.param):
        compiled = compile_spec(path, options=Options(request.param))
    return Case(compiled, compiled.load())


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 33, 48, 64, 80, 129])
@pytest.mark.parametrize("threads", [1, 3])
def test_outputs_equal_the_reference(case: Case, samples: int, threads: int) -> None:
    net = case.model(threads=threads)
    inputs = case.inputs(samples)
    (wanted,) = case.reference(net).outputs(*inputs)
    close(net(*inputs), wanted)


def test_the_loss_is_that_of_the_outputs(case: Case) -> None:
    net = case.model(threads=2)
    inputs, target = case.inputs(100), case.target(100)
    scores = net(*inputs).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    each = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(100), target]
    assert net.loss(*inputs, target) == pytest.approx(each.mean(), rel=1e-5)


@pytest.mark.parametrize("samples", [1, 17, 33, 64, 100, 290])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_equals_the_reference(case: Case, samples: int, threads: int) -> None:
    net = case.model(seed=11, threads=threads)
    (image,), labels = case.inputs(samples), case.target(samples)
    wanted, grads = reference(case, net, image, labels, random_words(11, 1, samples))
    assert net.compute_gradients(image, labels) == pytest.approx(wanted, rel=1e-5)
    for name, grad in grads.items():
        close(net.gradients[name], grad, 2e-5)


def test_training_gives_the_same_bits_for_any_number_of_threads(case: Case) -> None:
    # More blocks than groups, groups of more blocks than go abreast, and fewer of either.
    def trained(threads: int) -> list[bytes]:
        net = case.model(seed=5, threads=threads)
        for step, n in enumerate([1100, 1, 33, 300]):
            net.train_step(*case.inputs(n, step), case.target(n, step))
        return [view.tobytes() for view in net.parameters.values()]

    wanted = trained(1)
    for threads in (2, 3, 7):
        assert trained(threads) == wanted, f"{threads} threads"


def test_the_program_says_which_layers_blocks_go_through_abreast(tmp_path: Path) -> None:
    (tmp_path / "wide.cnn").write_text(TEXT)
    (tmp_path / "small.cnn").write_text(SMALL)
    wide = emit(*_spec(tmp_path / "wide.cnn"))
    assert "abreast: dense2 = dense2_forward(" in wide
    assert "up to 4 blocks abreast" in wide
    assert "abreast" not in emit(*_spec(tmp_path / "small.cnn"))


def _spec(path: Path) -> tuple[Source, str, Options]:
    source, options = open_spec(path, Options("x86-64-v3"))
    return source, "program", options
