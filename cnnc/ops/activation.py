"""What the activations share: their loops, their examples and the check of their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from cnnc.ops.elementwise import elementwise
from cnnc.ops.field import OpError
from cnnc.ops.layout import Form, Layouts
from cnnc.ops.op import Example, Gradient, Op
from cnnc.ops.shapes import Array

LARGEST = float(np.finfo(np.float32).max)


def activation(op: Op, wrt: str | None, layouts: Layouts) -> Form:
    """The form of a function of one value, or of its gradient."""
    if wrt is None:
        return elementwise(op, ("input",), layouts)
    return elementwise(Gradient(op, wrt), ("output_grad", *op.gradient_reads(wrt)), layouts)


def activation_examples(op: Op, scale: float = 1.0) -> tuple[Example, ...]:
    """Flat, on a line and in a plane; inputs reach from -scale / 2 to scale / 2."""
    return tuple(Example(op, (shape,), scale=scale) for shape in ((17,), (3, 5, 7), (2, 9)))


def finite(layer: str, arguments: Mapping[str, Any], name: str) -> float:
    """A number that float32 can hold. Raises OpError."""
    value = float(arguments[name])
    if not isfinite(value) or abs(value) > LARGEST:
        raise OpError("bad-value", f"{layer} needs a finite float32 number", argument=name)
    return value


def logistic(x: Array) -> Array:
    """1 / (1 + e^-x) without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1) / (1 + small))
