"""conv and a pool that reads nothing else, in inference: only what becomes of the windows is stored.

Nothing of the language: a pass puts it in the place of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.avgpool import AvgPool
from cnnc.ops.conv import Conv
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.maxpool import MaxPool
from cnnc.ops.op import Op, ParameterSpec, Shape
from cnnc.ops.pool_windows import PoolWindows, fits
from cnnc.ops.window import Pads


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
        windows, pooled = self.windows, layouts["result"]
        whole = {**layouts, "result": windows.covered(pooled)}
        forms = self.conv.kernel_forms(wrt, whole, machine)
        made = (form.pooling(windows, pooled) for form in forms)
        return tuple(form for form in made if form is not None)

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        return self.kernel_forms(wrt, layouts, machine)[0]


def pools(pool: MaxPool | AvgPool, space: Shape) -> bool:
    """Whether a pool over so much space may be done by the kernel that makes its input.

    Its windows neither meet, leave gaps nor reach beyond the input, and have few elements.
    """
    covered = pool.output_shape(((1, *space),))[1:]
    whole = all(m * k <= n for m, k, n in zip(covered, pool.size, space, strict=True))
    return pool.size == pool.stride and not any(map(any, pool.pad)) and whole and fits(pool.size)
