"""What one output value of an op sees of its input's space; the summary makes receptive fields."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class Sight:
    """A window of the input's space, and how far the next output's window lies from it.

    A window without axes is the whole input. A step is a fraction where the op enlarges.
    """

    window: Shape
    step: tuple[Fraction, ...]


EVERYTHING = Sight((), ())


def through_window(window: Shape, stride: Shape) -> Sight:
    """That of an op that slides a window over its input."""
    return Sight(window, tuple(map(Fraction, stride)))
