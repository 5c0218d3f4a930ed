"""What the runtime asks of a compiled model, as types.

Compiled models do not inherit from these; they have no import of cnnc at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray


class Model(Protocol):
    """A model that was compiled with a train block, e.g. `lenet.Model()`."""

    @property
    def name(self) -> str:
        """The model's name in its spec."""

    @property
    def input_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of one sample of each input, e.g. {"image": (1, 28, 28)}."""

    @property
    def input_dtypes(self) -> Mapping[str, str]:
        """Type of each input: "uint8" or "float32"."""

    @property
    def output_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of one sample of each output."""

    @property
    def classes(self) -> int | None:
        """How many classes a classifier tells apart; None for a regression."""

    @property
    def targets(self) -> Mapping[str, Mapping[str, Any]]:
        """What `loss` and `train_step` take after the inputs; empty without a train block.

        Of each: the `output` that it is for, its `shape` without the batch axis, `classes` (None
        where it is numbers and no labels), the `loss`, its `weight` and its own arguments.
        """

    @property
    def training(self) -> Mapping[str, Any] | None:
        """The train block, data, loss and optimizer to schedule; None without one."""

    @property
    def learning_rate(self) -> float:
        """The optimizer's current learning rate."""

    @learning_rate.setter
    def learning_rate(self, value: float) -> None: ...

    def __call__(self, *inputs: NDArray[Any]) -> Any:
        """Inputs (n, ...) -> float32 output (n, ...), a tuple where there are several."""

    def predict(self, *inputs: NDArray[Any]) -> Any:
        """Inputs (n, ...) -> class numbers (n,) int64; the outputs of a regression."""

    def loss(self, *inputs_and_targets: NDArray[Any]) -> float:
        """Mean loss of a batch, as inference sees it."""

    def train_step(self, *inputs_and_targets: NDArray[Any]) -> float:
        """Forward, backward and optimizer on a batch; its mean loss before the step."""
