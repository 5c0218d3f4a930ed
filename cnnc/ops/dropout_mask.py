"""dropout_mask: what dropout does in training; no layer of its own.

Which elements are dropped is a hash of the sample's random bits, the layer's stream and the place
in the sample, so that it is the same for any number of threads, and backward computes it again
instead of reading it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from cnnc.ops.elementwise import elementwise
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import RANDOM, Example, Gradient, Op, Operands, Trait, as_float
from cnnc.ops.shapes import Array, Shape


@dataclass(frozen=True, slots=True)
class DropoutMask(Op):
    """y = x / (1 - rate) where the hash is at least rate * 2^32, else 0. Any shape.

    `channels` drops whole channels. The hash mixes the place, counted from the stream's first, by
    the function lowbias32 of Wellons 2018 (hash-prospector), then that and the sample's bits by
    the finaliser of MurmurHash3 (Appleby 2011), both in 32 bits.
    """

    rate: float
    stream: int
    channels: bool = False

    NAME: ClassVar[str] = "dropout_mask"
    INPUTS: ClassVar[int | None] = 2
    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.ELEMENTWISE, Trait.PLACED})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return inputs[0]

    def input_names(self, count: int) -> tuple[str, ...]:
        return ("input", RANDOM)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return (RANDOM,)

    @property
    def threshold(self) -> int:
        """Hashes below it drop the element."""
        return min(round(self.rate * 2**32), 2**32 - 1)

    @property
    def scale(self) -> float:
        """What a kept element is multiplied by, so that the mean stays."""
        return 1 / (1 - self.rate)

    @property
    def first(self) -> int:
        """The place of the stream's first element.

        Multiples of 2^32 over the golden ratio lie far apart, so that streams share no place.
        """
        return self.stream * 0x9E3779B9 % 2**32

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        kept = self.kept(operands[RANDOM], x.shape[1:])
        return np.asarray(np.where(kept, x * x.dtype.type(self.scale), x.dtype.type(0)))

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        return self.forward({"input": grad, RANDOM: operands[RANDOM]})

    def kept(self, random: Array, shape: Shape) -> Array:
        """Which elements of samples (n, *shape) stay, from their bits, uint32 (n)."""
        marked = (shape[0], *(1 for _ in shape[1:])) if self.channels else shape
        index = np.arange(prod(marked), dtype=np.uint32).reshape(marked)
        place = _mixed(index + np.uint32(self.first), (16, 15, 16), (0x7FEB352D, 0x846CA68B))
        bits = random.astype(np.uint32).reshape(-1, *(1 for _ in marked)) ^ place
        hashed = _mixed(bits, (16, 13, 16), (0x85EBCA6B, 0xC2B2AE35))
        return np.broadcast_to(hashed >= np.uint32(self.threshold), (len(random), *shape))

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        if wrt is None:
            return elementwise(self, ("input", RANDOM), layouts)
        return elementwise(Gradient(self, wrt), ("output_grad", RANDOM), layouts)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(0.5, 0), ((17,), ())),
            Example(cls(0.3, 1), ((3, 5, 7), ())),
            Example(cls(0.3, 2, channels=True), ((17, 2, 2), ())),
            Example(cls(0.9, 3), ((2, 9), ())),
        )


def _mixed(bits: Array, shifts: tuple[int, ...], factors: tuple[int, ...]) -> Array:
    """Bits xored with themselves shifted, and multiplied, in turn; modulo 2^32."""
    for shift, factor in zip(shifts, (*factors, 1), strict=True):
        bits = (bits ^ (bits >> np.uint32(shift))) * np.uint32(factor)
    return bits
