"""Every op's own examples, and arrays for them."""

from __future__ import annotations

from math import prod

import numpy as np

from cnnc.ops import LOSSES, OPS
from cnnc.ops.op import Array, Example, Op, Trait

EXAMPLES: list[tuple[str, Example]] = [
    (f"{name}-{index}", example)
    for name, op in {**OPS, **LOSSES}.items()
    for index, example in enumerate(op.examples())
]
LAYERS = [
    (name.replace("-", "_"), example)
    for name, example in EXAMPLES
    if Trait.LOSS not in example.op.TRAITS
]


def operand_shapes(example: Example) -> dict[str, tuple[int, ...]]:
    """Inputs (no batch axis) and parameters by operand name; labels are left out."""
    op, names = example.op, example.op.input_names(len(example.inputs))
    shapes = dict(zip(names, example.inputs, strict=False))
    return shapes | {p.name: p.shape for p in op.parameters(example.inputs)}


def parameter_names(example: Example) -> set[str]:
    return {p.name for p in example.op.parameters(example.inputs)}


def arrays(example: Example, samples: int, seed: int = 0) -> dict[str, Array]:
    """Random float64 operands; distinct values, so that no maximum is a tie."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for name, shape in operand_shapes(example).items():
        full = shape if name in parameter_names(example) else (samples, *shape)
        values = rng.permutation(prod(full)) / max(prod(full), 1) - 0.5
        found[name] = values.reshape(full) + 0.01 * rng.random(full)
    if example.classes is not None:
        found["target"] = rng.integers(0, example.classes, samples)
    return found


def output_shape(op: Op, example: Example) -> tuple[int, ...]:
    return op.output_shape(example.inputs)
