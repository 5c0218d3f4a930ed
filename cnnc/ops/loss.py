"""What ends a network in training: the interface of every loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.op import Input, Op, Trait
from cnnc.ops.shapes import Shape


@dataclass(frozen=True, slots=True)
class LabelWeights:
    """What the labels of a batch count: `weights` by class (None: 1 each), 0 for `ignore`."""

    ignore: int | None
    weights: tuple[float, ...] | None


class LossOp(Op):
    """An op that ends the network: one value a sample from an output and a target."""

    __slots__ = ()

    TRAITS: ClassVar[frozenset[Trait]] = frozenset({Trait.LOSS})

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """A value a sample. Raises OpError for an output that the loss cannot judge."""
        return ()

    def input_names(self, count: int) -> tuple[str, ...]:
        """The output and what it should have been."""
        return ("input", "target")

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        """The same two."""
        return ("input", "target")

    def target(self, output: Shape) -> Input:
        """What the caller passes besides the network's inputs, for an output of this shape."""
        raise NotImplementedError

    def classes(self, output: Shape) -> int | None:
        """How many labels there are; None where the target is no label."""
        return None

    def label_weights(self) -> LabelWeights | None:
        """What each label counts; None where every sample counts the same.

        Without them `forward` is each sample's mean over its positions, and the network's loss the
        mean over the samples. With them `forward` is each sample's weighted sum, and the network's
        loss is the sum of all, divided by the sum of the weights of all labels of the batch.
        """
        return None
