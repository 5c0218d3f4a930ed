"""split: all channels, in several values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.op import Example, Op, single
from cnnc.ops.shapes import Shape
from cnnc.ops.slice import Slice
from cnnc.ops.window import text


@dataclass(frozen=True, slots=True)
class Split(Op):
    """y1 = the first channels of x, y2 the next, ...: one value for each of the sizes.

    (c, *space) -> (c1, *space), (c2, *space), ... It has no kernel of its own: each piece is a
    `slice`. PyTorch's chunk and split.
    """

    sizes: tuple[int, ...]

    NAME: ClassVar[str] = "split"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("parts", Kind.COUNTS, "how many equal parts; or a list, the channels of each part"),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Split:
        parts, shape = arguments["parts"], single(inputs)
        if isinstance(parts, int):
            if shape[0] % parts:
                raise OpError(
                    "shape-mismatch",
                    f"split into {parts} equal parts, but {text(shape)} has {shape[0]} channels",
                    help="give the channels of each part: split([8, 16])",
                    argument="parts",
                    operand=0,
                )
            return cls((shape[0] // parts,) * parts)
        sizes = tuple(parts)
        if sum(sizes) != shape[0]:
            written = " + ".join(map(str, sizes))
            raise OpError(
                "shape-mismatch",
                f"split into {written} = {sum(sizes)}, but {text(shape)} has {shape[0]} channels",
                help="the parts together hold all channels; slice takes some of them",
                argument="parts",
                operand=0,
            )
        return cls(sizes)

    def pieces(self, inputs: tuple[Shape, ...]) -> tuple[Op, ...]:
        """One slice for each part."""
        ends = list(accumulate(self.sizes))
        return tuple(Slice(e - n, e) for e, n in zip(ends, self.sizes, strict=True))

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        raise OpError(
            "misplaced-value",
            f"split gives {len(self.sizes)} values, but one is needed here",
            help="name them: left, right = split(2)",
        )

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """None: its pieces have their own."""
        return ()
