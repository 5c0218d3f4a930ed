"""A first dense layer by halves of its inputs: the same bits from any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.compiler import Options, compile_spec
from tests.module.conftest import Case
from tests.module.reference import close
from tests.ops.test_kernels import targets_by_lanes

# Bytes with a scale and a view on their way, a bias and an activation; floats with neither.
BYTES = """
model bytes(classes=10) {
    input image: uint8[1, 24, 32]
    scale(1/255) -> flatten
    dense(97) -> silu
    dense(33) -> tanh
    dense(classes)
}
train {
    loss cross_entropy
    optimizer sgd(lr=0.05, momentum=0.9)
}
"""
FLOATS = """
model floats(classes=10) {
    input image: float32[720]
    dense(128, bias=no)
    dense(classes)
}
train {
    loss cross_entropy
    optimizer adam(lr=0.001)
}
"""

# With four lanes and few registers, tiles of the weight's gradient do not fill cache lines.
CASES = [
    pytest.param((text, target), id=f"<halves-{target}>")
    for text, target in zip((BYTES, FLOATS), targets_by_lanes()[:2], strict=False)
]
SAMPLES = [1, 15, 16, 17, 33, 128]
"""Of a block, of two, of an odd number; all but one block go by halves."""


@pytest.fixture(scope="module", params=CASES)
def case(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Case:
    text, target = request.param
    path = tmp_path_factory.mktemp("halves") / "halves.cnn"
    path.write_text(text)
    compiled = compile_spec(path, options=Options(target))
    return Case(compiled, compiled.load())


@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_equal_the_reference(case: Case, threads: int) -> None:
    net = case.model(seed=1, threads=threads)
    for samples in (0, *SAMPLES):
        inputs = case.inputs(samples)
        (wanted,) = case.reference(net).outputs(*inputs)
        close(net(*inputs), wanted)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_gradients_equal_the_reference(case: Case, threads: int) -> None:
    net = case.model(seed=2, threads=threads)
    for samples in SAMPLES:
        inputs, target = case.inputs(samples), case.target(samples)
        wanted, grads = case.reference(net).gradients(*inputs, target=target)
        assert net.compute_gradients(*inputs, target) == pytest.approx(wanted, rel=1e-5)
        for name, grad in grads.items():
            close(net.gradients[name], grad)


def test_training_gives_the_same_bits_for_any_number_of_threads(case: Case) -> None:
    def trained(threads: int) -> list[bytes]:
        net = case.model(seed=3, threads=threads)
        losses = []
        for step, n in enumerate([*SAMPLES, 300, 64]):
            (image,), target = case.inputs(n, step), case.target(n, step)
            # A layer for bytes takes floats as well.
            image = image.astype(np.float32) if step % 2 else image
            judged = net.loss(image, target)
            losses.append(net.train_step(image, target))
            assert losses[-1] == judged
        return [np.array(losses).tobytes(), *(view.tobytes() for view in net.parameters.values())]

    wanted = trained(1)
    for threads in (2, 3, 5):
        assert trained(threads) == wanted, f"{threads} threads"
