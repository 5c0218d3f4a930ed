"""What one epoch of training came to, as figures and as one line of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EpochResult:
    """The figures of one epoch.

    `loss` is the mean over the epoch's samples, each taken before its own step. `accuracy`, over
    the training set at the epoch's end, costs a pass of its own and is None unless it was asked
    for. `test_loss` is None without test samples, `test_accuracy` also for a regression.
    `samples_per_second` counts the training alone, `seconds` the whole epoch.
    """

    epoch: int
    loss: float
    accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    samples_per_second: float
    seconds: float


History = list[EpochResult]


def format_epoch(result: EpochResult, epochs: int) -> str:
    """The line of one epoch of `epochs`; within 80 columns up to 100 epochs."""
    cells = [f"epoch {result.epoch}/{epochs}", f"loss {format_loss(result.loss)}"]
    if result.test_loss is not None:
        cells.append(f"test {format_loss(result.test_loss)}")
    if result.test_accuracy is not None:
        cells.append(f"accuracy {100 * result.test_accuracy:.2f} %")
    cells.append(f"{result.samples_per_second:,.0f} samples/s")
    return "  ".join(cells)


def format_loss(loss: float) -> str:
    """Four decimals, or two or three digits where they say too little; at most 8 characters."""
    if abs(loss) >= 100:
        return f"{loss:.3g}"
    return f"{loss:.4f}" if loss == 0 or abs(loss) >= 1e-3 else f"{loss:.1e}"
