"""Tensors made in the place of others that several read: one that comes too early shows."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from cnnc.compiler import Compiled, Options, compile_spec
from cnnc.ir.interpret import interpret
from cnnc.ir.program import Schedule
from cnnc.passes.expand import expand
from cnnc.passes.plan import plan
from tests.module.reference import Reference
from tests.ops.test_kernels import targets_by_lanes

# Almost every tensor has several readers, one of which could take its place too early; an output is
# read on, and what is applied at the end could take its place too late.
PLAIN = """
model turns {
    input image: float32[3, 13, 10]
    conv(4, 3x3, pad=1) -> relu
    first = identity
    main = conv(4, 3x3, pad=1) -> gelu
    other = first -> softmax
    second = add(main, first, other) -> relu
    third = second -> conv(4, 3x3, pad=1)
    gate = second -> global_avgpool -> dense(4) -> sigmoid
    hidden = mul(third, gate)
    joined = add(hidden, second)
    inner = joined -> groupnorm(2)
    add(joined, inner) -> silu -> tanh
    maxpool(2x2) -> relu
    conv(5, 3x3) -> relu -> maxpool(2x2) -> flatten
    wide = dense(9) -> relu
    narrow = wide -> dense(9) -> relu
    scores = add(wide, narrow) -> dense(3)
    output hidden, scores
}
train {
    loss mse(output=scores)
    optimizer sgd(lr=0.1)
}
"""

# With batchnorms: what is kept from segment to segment, strips, and sums over the batch.
NORMED = """
model turns {
    input image: float32[3, 13, 10]
    conv(17, 3x3, pad=1) -> batchnorm -> relu
    first = identity
    second = depthwise(3x3, pad=1) -> batchnorm -> relu
    third = first -> conv(17, 1x1) -> batchnorm
    add(first, second, third) -> relu
    fourth = identity
    fifth = conv(17, 3x3, pad=1) -> batchnorm
    hidden = add(fourth, fifth, third) -> relu
    scores = maxpool(3x3) -> batchnorm -> relu -> global_maxpool -> dense(3)
    output hidden, scores
}
train {
    loss mse(output=scores)
    optimizer sgd(lr=0.1)
}
"""

NETWORKS = [
    pytest.param((text, target), id=f"<{name}-{target}>")
    for name, text, targets in (
        ("plain", PLAIN, targets_by_lanes()[::2]),
        ("normed", NORMED, targets_by_lanes()[:1]),
    )
    for target in targets
]


@pytest.fixture(scope="module", params=NETWORKS)
def compiled(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Compiled:
    text, target = request.param
    path = tmp_path_factory.mktemp("turns") / "turns.cnn"
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        # Threads share every call of a single sample that they can.
        patch.setattr("cnnc.passes.plan.plan", partial(plan, divided_from=0))
        return compile_spec(path, options=Options(target))


@pytest.fixture(scope="module")
def model_class(compiled: Compiled) -> Any:
    return compiled.load().Model


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([3, samples])
    images = rng.standard_normal((samples, 3, 13, 10)).astype(np.float32)
    return images, rng.standard_normal((samples, 3)).astype(np.float32)


def in_place(schedule: Schedule | None) -> set[str]:
    assert schedule is not None
    return {name for buffer in (*schedule.buffers, *schedule.kept) for name in buffer.also}


def test_something_is_made_in_place(compiled: Compiled) -> None:
    program = compiled.programs[0]
    assert in_place(program.infer)
    if program.single is None:  # the one that has no batch norm; what waits for one's sums is kept
        assert in_place(program.train)
    else:
        assert in_place(program.single.schedule)
        assert program.single.schedule.divided


def test_outputs_equal_their_reference(compiled: Compiled, model_class: Any) -> None:
    for samples in (1, 15, 33):  # one by one, a part of a block, several blocks
        net = model_class(seed=1, threads=2)
        images, _ = data(samples)
        found = net(images)
        forward = expand(compiled.graph, training=False)
        parameters = {name: view.astype(np.float64) for name, view in net.parameters.items()}
        values = interpret(forward, {"image": images.astype(np.float64)}, parameters)
        for value, output in zip(found, forward.outputs, strict=True):
            exact = values[output.tensor]
            assert float(abs(value - exact).max()) < 2e-5 * float(abs(exact).max())
        for value, again in zip(found, net(images), strict=True):
            assert np.array_equal(value, again)


@pytest.mark.parametrize("samples", [1, 15, 17, 33])
def test_a_step_equals_its_reference(compiled: Compiled, model_class: Any, samples: int) -> None:
    net = model_class(seed=1, threads=1)
    reference = Reference(compiled.graph, net)
    images, targets = data(samples)
    net(images)  # what it leaves in the memory that they share must not matter
    loss, gradients = reference.gradients(images, target=targets)
    assert net.train_step(images, targets) == pytest.approx(loss, rel=1e-5)
    for name, wanted in gradients.items():
        scale = max(float(abs(wanted).max()), 1e-2)
        assert float(abs(net.gradients[name] - wanted).max()) < 2e-4 * scale, name


def test_threads_change_no_bit(model_class: Any) -> None:
    images, targets = data(33)
    results = []
    for threads in (1, 2, 3):
        net = model_class(seed=1, threads=threads)
        for _ in range(2):
            net.train_step(images, targets)
        few = [value.copy() for samples in (1, 5) for value in net(images[:samples])]
        results.append([*(view.copy() for view in net.parameters.values()), *few])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert np.array_equal(one, two)
