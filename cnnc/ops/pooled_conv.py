"""conv with the pool that reads it, in inference: only what becomes of the windows is stored.

Nothing of the language: a pass puts it in the place of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.avgpool import AvgPool
from cnnc.ops.conv import Conv
from cnnc.ops.conv_forms import ConvForward
from cnnc.ops.conv_pooled import pooled_direct
from cnnc.ops.layout import Counted, Form, Layout, Layouts, Machine
from cnnc.ops.maxpool import MaxPool
from cnnc.ops.op import Op, ParameterSpec
from cnnc.ops.pool_windows import PoolWindows, fits
from cnnc.ops.shapes import Shape
from cnnc.ops.window import Pads
from cnnc.ops.winograd_forms import Winograd

_ENOUGH = 16
"""Sums of a tile that keep the multipliers busy; eight in place of twelve lost more than a pass."""


@dataclass(frozen=True, slots=True)
class PooledConv(Op):
    """The pool of the convolution's output, to whose values the first `before` fused ops apply.

    (in, *space) -> (filters, *windows).
    """

    conv: Conv
    pool: MaxPool | AvgPool
    before: int

    NAME: ClassVar[str] = "pooled_conv"

    @property
    def windows(self) -> PoolWindows:
        """What the kernel does with its results."""
        return PoolWindows(self.pool.size, isinstance(self.pool, AvgPool), self.before)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return self.pool.output_shape((self.conv.output_shape(inputs),))

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        return self.conv.parameters(inputs)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return self.conv.multiply_adds(inputs)

    def halo(self, wrt: str | None) -> Pads:
        return self.conv.halo(wrt)

    def kernel_forms(self, wrt: str | None, layouts: Layouts, machine: Machine) -> tuple[Form, ...]:
        return tuple(form for _, form in self.counted_forms(wrt, layouts, machine))

    def counted_forms(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Counted:
        whole = {**layouts, "result": self.windows.covered(layouts["result"])}
        forms = self.conv.counted_forms(wrt, whole, machine)
        return tuple((n, self._pooling(form, layouts["result"], machine)) for n, form in forms)

    def sole_form(self, wrt: str | None) -> str:
        return self.conv.sole_form(wrt)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return self.kernel_forms(wrt, layouts, machine)[0]

    def gains(self, layouts: Layouts, machine: Machine) -> bool:
        """Whether the kernel should take less time than one that stores all and a pass that pools.

        Not where the direct sum takes its channels by chunks, between which all sums of a window
        would wait, nor where so few registers hold whole windows that loads take over.
        """
        whole = {**layouts, "result": self.windows.covered(layouts["result"])}
        best = self.conv.kernel_forms(None, whole, machine)[0]
        if not isinstance(best, ConvForward):
            return True
        tile = pooled_direct(best, self.windows, layouts["result"], machine).size
        plain = best.filters[0][1] * best.columns[0][1]
        return not best.chunk.runs and tile >= min(_ENOUGH, plain)

    def _pooling(self, form: Form, pooled: Layout, machine: Machine) -> Form:
        match form:
            case ConvForward():
                return pooled_direct(form, self.windows, pooled, machine)
            case Winograd():
                return form.pooling(self.windows, pooled)
        raise TypeError(f"{form.ALGORITHM} stores no windows")


def pools(pool: MaxPool | AvgPool, space: Shape) -> bool:
    """Whether a pool over so much space may be done by the kernel that makes its input.

    Its windows neither meet, leave gaps nor reach beyond the input, and have few elements.
    """
    covered = pool.output_shape(((1, *space),))[1:]
    whole = all(m * k <= n for m, k, n in zip(covered, pool.size, space, strict=True))
    return pool.size == pool.stride and not any(map(any, pool.pad)) and whole and fits(pool.size)
