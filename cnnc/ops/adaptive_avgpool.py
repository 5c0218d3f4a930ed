"""adaptive_avgpool: means of as many windows as asked for, whatever the input's extents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil, prod
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.field import Field, Kind
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loops import Loop, axes
from cnnc.ops.op import Example, Op, Operands, Trait, as_float, single
from cnnc.ops.pool_kernels import PoolAxis, UnevenAxis, pool
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import Sight
from cnnc.ops.window import per_axis, spatial

_Index = tuple[slice | int, ...]


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool(Op):
    """y[i] = mean of x from floor(i n / m) up to, but without, ceil((i + 1) n / m), on each axis.

    (c, *space) -> (c, *size), n and m the extents. Where m divides n, windows tile the input;
    elsewhere neighbours overlap. The definition is PyTorch's AdaptiveAvgPool.
    """

    size: tuple[int, ...]

    NAME: ClassVar[str] = "adaptive_avgpool"
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.BY_CHANNEL, Trait.BY_WINDOWS})
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("size", Kind.EXTENT, "extents of the output, one for all axes or one per axis"),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> AdaptiveAvgPool:
        space = spatial(single(inputs), "adaptive_avgpool")
        return cls(per_axis(arguments["size"], len(space), "size"))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        spatial(single(inputs), "adaptive_avgpool")
        return (single(inputs)[0], *self.size)

    def _windows(self, space: Shape) -> list[tuple[_Index, _Index]]:
        """Each output position, and the input positions that it is the mean of, of all channels."""
        cuts = [
            [slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
            for n, m in zip(space, self.size, strict=True)
        ]
        places = product(*(range(m) for m in self.size))
        every = (slice(None), slice(None))
        pairs = zip(places, product(*cuts), strict=True)
        return [((*every, *place), (*every, *cut)) for place, cut in pairs]

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        y = np.zeros((*x.shape[:2], *self.size), x.dtype)
        summed = tuple(range(2, x.ndim))
        for place, cut in self._windows(x.shape[2:]):
            y[place] = x[cut].mean(axis=summed)
        return y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        x_grad = np.zeros((len(grad), *shape), grad.dtype)
        for place, cut in self._windows(shape[1:]):
            window = x_grad[cut]
            share = grad[place] / prod(window.shape[2:])
            window += share.reshape(*share.shape, *(1 for _ in shape[1:]))
        return x_grad

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        reads = ("input",) if wrt is None else ("output_grad",)
        x = layouts["input" if wrt is None else "result"]
        pool_axes = tuple(
            _axis(name, n, m)
            for name, n, m in zip(axes(len(self.size)), x.extents, self.size, strict=True)
        )
        return pool("avgpool", wrt, reads, pool_axes, layouts)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        space = single(inputs)[1:]
        step = tuple(Fraction(n, m) for n, m in zip(space, self.size, strict=True))
        # a mean begins and ends within elements where the extents do not divide
        window = tuple(ceil(s) + (s.denominator > 1) for s in step)
        return Sight(tuple(map(min, window, space)), step)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls((6, 2)), ((3, 13, 4),)),
            Example(cls((3, 7)), ((1, 7, 1),)),
            Example(cls((2,)), ((17, 9),)),
            Example(cls((1, 2, 3)), ((2, 3, 4, 5),)),
        )


def _axis(name: str, n: int, m: int) -> PoolAxis | UnevenAxis:
    """The windows of one axis; even ones are those of a plain pool."""
    if n % m:
        return UnevenAxis(Loop(name, 0, m), Loop(f"{name}_tap", 0, n), n, m)
    k = n // m
    return PoolAxis(Loop(name, 0, m), Loop(f"{name}_tap", 0, k), k, k, 0, 0, n, m)
