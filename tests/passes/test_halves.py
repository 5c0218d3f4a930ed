"""Which first layer two threads compute by halves of its inputs."""

from __future__ import annotations

import pytest

from cnnc.ir.text import format_program
from tests.passes.test_plan import program_of

LAYER = "input x: float32[784]\ndense(128) -> relu\ndense(10)"


@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3", "aarch64"])
def test_a_large_first_layer_has_halves_that_end_where_tiles_of_its_gradient_do(
    target: str,
) -> None:
    program = program_of(LAYER, target=target)
    assert program.train is not None
    halves = program.train.halves
    assert halves is not None
    assert (halves.layer, halves.source, halves.inputs) == ("dense1", "x", 784)
    assert halves.first % 16 == 0
    (sizes,) = (
        program.kernel(call.kernel).form.piece_sizes()
        for call in program.ending
        if call.computes == halves.gradient
    )
    ends, end = [], 0
    for count, size in sizes:
        for _ in range(count):
            end += size // 128
            ends.append(end)
    assert halves.first in ends
    assert abs(2 * halves.first - 784) == min(abs(2 * end - 784) for end in ends if end % 16 == 0)
    said = f"by two threads: {halves.first} and {784 - halves.first} of 784 inputs"
    assert said in format_program(program)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LAYER.replace("128", "64"), id="a small weight"),
        pytest.param(LAYER.replace("128", "640"), id="a weight that no cache keeps"),
        pytest.param(LAYER.replace("784", "790"), id="rows that end within a cache line"),
        pytest.param(LAYER.replace("relu", "batchnorm"), id="a barrier"),
        pytest.param(LAYER.replace("dense(10)", "dense(900)\ndense(10)"), id="a larger layer"),
        pytest.param(
            "input x: float32[784]\na = x -> dense(128)\nb = x -> dense(128)\nadd(a, b)",
            id="two layers that read the array",
        ),
        pytest.param(
            "input x: float32[784]\ndense(40) -> relu\ndense(784) -> relu\ndense(128)",
            id="not the first layer",
        ),
    ],
)
def test_others_have_none(body: str) -> None:
    program = program_of(body)
    assert program.train is not None
    assert program.train.halves is None
    assert not any("inputs and" in kernel.form.reason() for kernel in program.kernels)


def test_a_network_that_is_not_trained_has_none() -> None:
    program = program_of(LAYER, train=False)
    assert not any("inputs and" in kernel.form.reason() for kernel in program.kernels)
