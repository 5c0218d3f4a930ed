"""depthwise: a convolution of each channel by itself; a way to write one, not an op of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from cnnc.ops.conv import Conv
from cnnc.ops.field import Field, Kind
from cnnc.ops.initializers import AUTOMATIC
from cnnc.ops.op import Example, Op, single
from cnnc.ops.shapes import Shape
from cnnc.ops.window import spatial


class Depthwise(Op):
    """`conv` with as many groups as the input has channels, `multiplier` filters for each.

    (c, *space) -> (c * multiplier, *outputs). Chollet 2017, Xception, section 1.1; Howard et al.
    2017, MobileNets, equation 3.
    """

    __slots__ = ()

    NAME: ClassVar[str] = "depthwise"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("kernel", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows", 1),
        Field("pad", Kind.PADDING, "zeros around the input", 0),
        Field("bias", Kind.FLAG, "add a bias per filter", True),
        Field("init", Kind.INITIALIZER, "first values of the weight", AUTOMATIC),
        Field("dilation", Kind.EXTENT, "step between a window's elements", 1),
        Field("multiplier", Kind.COUNT, "filters for each channel", 1),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Conv:
        spatial(single(inputs), "depthwise")
        channels = single(inputs)[0]
        given = {name: value for name, value in arguments.items() if name != "multiplier"}
        filters = channels * arguments["multiplier"]
        return Conv.bind({**given, "filters": filters, "groups": channels}, inputs)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        def make(shape: Shape, **given: Any) -> Example:
            defaults = {f.name: f.default for f in cls.FIELDS[1:]}
            return Example(cls.bind(defaults | given, (shape,)), (shape,))

        return (
            make((1, 5, 4), kernel=3),
            make((17, 9, 8), kernel=3, pad=1, bias=False),
            make((3, 11, 10), kernel=5, stride=2, pad="same", multiplier=2),
            make((3, 21), kernel=9, pad="same"),
            make((2, 4, 5, 6), kernel=3, pad=1),
        )
