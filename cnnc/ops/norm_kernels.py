"""The loops of normalisation within a sample: groups of channels that share mean and variance.

A sample is a lane, so that statistics are sums of registers. The variance is the mean of centred
squares, not a difference of means: it keeps its digits where the mean is large.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from cnnc.ops.affine import Affine
from cnnc.ops.elementwise import position_loops
from cnnc.ops.initializers import Constant, Zeros
from cnnc.ops.layout import Form, Layout, Layouts
from cnnc.ops.loops import Loop, tile_loops
from cnnc.ops.op import ParameterSpec
from cnnc.ops.shapes import Array, Shape

_TILE = 4


@dataclass(frozen=True, slots=True)
class Norm(Form):
    """Any direction: `x` is the input's layout, `grad` the output gradient's.

    Weights are one a channel, or one an element with `each`.
    """

    macro: str
    names: tuple[str, ...]
    groups: int
    eps: float
    affine: bool
    each: bool
    x: Layout
    grad: Layout
    result: Layout | None

    def in_place(self) -> tuple[str, ...]:
        # The last pass over a group stores; no other group reads what it does.
        return {"forward": ("input",), "input_gradient": ("output_grad", "input")}.get(
            self.macro, ()
        )

    def stores_once(self) -> bool:
        return True

    @property
    def width(self) -> int:
        """Channels of a group."""
        return self.x.channels // self.groups

    @property
    def count(self) -> int:
        """Elements of a group."""
        return self.width * prod(self.x.extents)

    @property
    def group(self) -> Loop:
        """Over the groups."""
        return Loop("group", 0, self.groups)

    @property
    def tiles(self) -> tuple[tuple[Loop, int], ...]:
        """Tiles of a group's channels: several sums at once, since one would wait for itself."""
        return tile_loops("c0", self.width, _TILE)

    @property
    def member(self) -> Loop:
        """Over a group's channels."""
        return Loop("c", 0, self.width)

    @property
    def space(self) -> tuple[Loop, ...]:
        """Over positions."""
        return position_loops(self.x)[1:]

    def channel(self, member: Affine) -> Affine:
        """A channel by its place in its group."""
        return self.group.at * self.width + member

    def at(self, member: Affine) -> tuple[Affine, ...]:
        """Coordinates of a position."""
        return (self.channel(member), *(loop.at for loop in self.space))

    def weight_at(self, member: Affine) -> Affine:
        """Which weight a position has."""
        if not self.each:
            return self.channel(member)
        found: Affine = Layout(self.x.channels, self.x.extents).offset(*self.at(member))
        return found

    def writer(self) -> tuple[str, str]:
        return "groupnorm", self.macro

    def operands(self) -> tuple[str, ...]:
        return (*self.names, "result")

    def reason(self) -> str:
        return f"{self.groups} group{'s' * (self.groups > 1)} of {self.count} elements"


def norm(
    wrt: str | None, groups: int, eps: float, affine: bool, each: bool, layouts: Layouts
) -> Norm:
    """The form of a direction."""
    weights = ("weight",) if affine else ()
    names = {
        None: ("input", *weights, *(("bias",) if affine else ())),
        "input": ("output_grad", "input", *weights),
        "weight": ("output_grad", "input"),
        "bias": ("output_grad",),
    }[wrt]
    macro = "forward" if wrt is None else f"{wrt}_gradient"
    grad = layouts.get("output_grad") or layouts["result"]
    x = layouts.get("input", grad)
    result = layouts["result"] if wrt in (None, "input") else None
    return Norm(macro, names, groups, eps, affine, each, x, grad, result)


def weights(shape: Shape) -> tuple[ParameterSpec, ParameterSpec]:
    """A factor, first 1, and a bias, first 0."""
    return (
        ParameterSpec("weight", shape, Constant(1.0), 1, 1),
        ParameterSpec("bias", shape, Zeros(), 1, 1),
    )


def standardize(x: Array, groups: int, eps: float) -> tuple[Array, Array]:
    """(x - mean) / sqrt(variance + eps) of each group, and that root's reciprocal; grouped.

    (n, c, *space) -> (n, groups, elements) and (n, groups, 1).
    """
    grouped = x.reshape(len(x), groups, prod(x.shape[1:]) // groups)
    centred = grouped - grouped.mean(axis=2, keepdims=True)
    rate = 1 / np.sqrt((centred**2).mean(axis=2, keepdims=True) + eps)
    return centred * rate, rate


def standardize_gradient(x: Array, grad: Array, groups: int, eps: float) -> Array:
    """The gradient by x of `standardize`, from the gradient by its first result."""
    y, rate = standardize(x, groups, eps)
    g: Any = grad.reshape(y.shape)
    along = (g * y).mean(axis=2, keepdims=True)
    x_grad = rate * (g - g.mean(axis=2, keepdims=True) - y * along)
    return np.asarray(x_grad).reshape(x.shape)
