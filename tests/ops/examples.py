"""Every op's own examples, and arrays for them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from cnnc.ops import LOSSES, OPS, TRAINING_OPS
from cnnc.ops.loss import LossOp
from cnnc.ops.op import RANDOM, Example, Op, Trait
from cnnc.ops.shapes import Array, Shape

EXAMPLES: list[tuple[str, Example]] = [
    (f"{name}-{index}", example)
    for name, op in {**OPS, **TRAINING_OPS, **LOSSES}.items()
    for index, example in enumerate(op.examples())
]
LAYERS = [
    (name.replace("-", "_"), example)
    for name, example in EXAMPLES
    if Trait.LOSS not in example.op.TRAITS
]


def made(op: type[Op], shape: Shape, *values: int, **given: Any) -> Example:
    """An op with these first fields, and others by name, on an input of this shape."""
    first = [field.name for field in op.FIELDS[: len(values)]]
    defaults = {field.name: field.default for field in op.FIELDS[len(values) :]}
    arguments = {**defaults, **dict(zip(first, values, strict=True)), **given}
    return Example(op.bind(arguments, (shape,)), (shape,))


def operand_shapes(example: Example) -> dict[str, tuple[int, ...]]:
    """Inputs (no batch axis) and parameters by operand name; labels are left out."""
    op, names = example.op, example.op.input_names(len(example.inputs))
    shapes = dict(zip(names, example.inputs, strict=False))
    return shapes | {p.name: p.shape for p in op.parameters(example.inputs)}


def parameter_names(example: Example) -> set[str]:
    return {p.name for p in example.op.parameters(example.inputs)}


def arrays(example: Example, samples: int, seed: int = 0) -> dict[str, Array]:
    """Random float64 operands, and random bits; distinct values, so that no maximum is a tie."""
    rng = np.random.default_rng(seed)
    names = example.op.input_names(len(example.inputs))
    found: dict[str, Array] = {}
    for name, shape in operand_shapes(example).items():
        full = shape if name in parameter_names(example) else (samples, *shape)
        values = rng.permutation(prod(full)) / max(prod(full), 1) - 0.5
        found[name] = values.reshape(full) + 0.01 * rng.random(full)
        if name in names:
            found[name] *= example.scale
        if name == RANDOM:
            found[name] = rng.integers(0, 2**32, full, dtype=np.uint32)
    if example.classes is not None:
        found["target"] = labels(example, samples, rng)
    return found


def labels(example: Example, samples: int, rng: np.random.Generator) -> Array:
    """Random labels, a fifth of them ignored where the loss ignores one, and all of sample 1's."""
    assert isinstance(example.op, LossOp)
    assert example.classes is not None
    shape = (samples, *example.op.target(example.inputs[0]).shape)
    found = rng.integers(0, example.classes, shape)
    weights = example.op.label_weights()
    if weights is not None and weights.ignore is not None:
        found = np.where(rng.random(shape) < 0.2, weights.ignore, found)
        found[1:2] = weights.ignore
    return found


def output_shape(op: Op, example: Example) -> tuple[int, ...]:
    return op.output_shape(example.inputs)
