"""Each op's NumPy reference: shapes, and gradients against finite differences in float64."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.ops import OPTIMIZERS
from cnnc.ops.op import RANDOM, Example
from cnnc.ops.shapes import Array
from tests.ops.examples import EXAMPLES, arrays, operand_shapes, parameter_names

IDS = [name for name, _ in EXAMPLES]
CASES = [example for _, example in EXAMPLES]


@pytest.mark.parametrize("example", CASES, ids=IDS)
@pytest.mark.parametrize("samples", [0, 1, 3])
def test_the_forward_reference_has_the_shape_that_the_shape_rule_says(
    example: Example, samples: int
) -> None:
    result = example.op.forward(arrays(example, samples))
    assert result.shape == (samples, *example.op.output_shape(example.inputs))
    assert result.dtype == np.float64


@pytest.mark.parametrize("example", CASES, ids=IDS)
def test_the_references_gradients_are_the_slopes_of_the_forward_direction(example: Example) -> None:
    operands = arrays(example, 2)
    output = example.op.forward(operands)
    grad = np.random.default_rng(1).standard_normal(output.shape)
    for name, shape in operand_shapes(example).items():
        if name in ("target", RANDOM):
            continue
        reads = {
            read: {**operands, "output": output}[read] for read in example.op.gradient_reads(name)
        }
        found = example.op.backward(name, grad, reads, shape)
        assert found.shape == operands[name].shape
        for place in _places(operands[name], 25):
            slope = _slope(example, operands, name, place, grad)
            assert found[place] == pytest.approx(slope, rel=1e-5, abs=1e-7), (name, place)


def _places(array: Array, count: int) -> list[tuple[int, ...]]:
    """Corners and random places."""
    rng = np.random.default_rng(2)
    chosen = {0, array.size - 1, *rng.integers(0, array.size, count).tolist()}
    return [tuple(int(i) for i in np.unravel_index(flat, array.shape)) for flat in sorted(chosen)]


def _slope(
    example: Example, operands: dict[str, Array], name: str, place: tuple[int, ...], grad: Array
) -> float:
    step = 1e-6
    sides = []
    for sign in (1, -1):
        moved = {key: value.copy() for key, value in operands.items()}
        moved[name][place] += sign * step
        sides.append(float((example.op.forward(moved) * grad).sum()))
    return (sides[0] - sides[1]) / (2 * step)


@pytest.mark.parametrize("example", CASES, ids=IDS)
def test_a_gradient_reads_only_operands_that_there_are(example: Example) -> None:
    known = {*operand_shapes(example), "output", "target"}
    for name in operand_shapes(example):
        assert set(example.op.gradient_reads(name)) <= known


@pytest.mark.parametrize("example", CASES, ids=IDS)
def test_parameters_are_named_once_and_have_fans(example: Example) -> None:
    specs = example.op.parameters(example.inputs)
    assert len({spec.name for spec in specs}) == len(specs)
    assert all(spec.fan_in > 0 and spec.fan_out > 0 for spec in specs)
    assert parameter_names(example) <= set(operand_shapes(example))


def test_a_label_is_counted_from_zero() -> None:
    loss = dict(EXAMPLES)["cross_entropy-0"].op
    logits = np.zeros((1, 3))
    logits[0, 2] = 50
    assert loss.forward({"input": logits, "target": np.array([2])})[0] == pytest.approx(0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizers_first_step_goes_downhill(name: str) -> None:
    kind = OPTIMIZERS[name]
    defaults = {f.name: 0.1 if f.name == "lr" else f.default for f in kind.FIELDS}
    optimizer = kind.bind(defaults)
    state = {slot: np.zeros(2) for slot in kind.SLOTS}
    moved = optimizer.step(np.array([1.0, -1.0]), np.array([1.0, -1.0]), state, 1)
    assert abs(moved).max() < 0.95
    np.testing.assert_allclose(moved, [moved[0], -moved[0]], rtol=1e-6)
