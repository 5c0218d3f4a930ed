"""What cnnc is to reach: how many times as fast as the best peer, and shares of the peak."""

from __future__ import annotations

OTHERS = "others"

TRAINING_GOALS = {
    "lenet": 5.0,
    "conv1d": 2.5,
    "mobilenet_small": 2.0,
    "mnist_cnn": 1.7,
    "resnet20": 1.5,
    OTHERS: 1.4,
}
SINGLE_GOALS = {"lenet": 3.0, "mlp": 3.0, "conv1d": 2.5, "mobilenet_small": 1.0, OTHERS: 1.2}
BATCH_GOALS = {"lenet": 3.0, "mobilenet_small": 1.2, OTHERS: 1.4}

PEAK_GOALS = {("lenet", "training"): 60.0}
"""Percent of the FMA peak that a whole step has to reach."""
SCALING_GOAL = 1.8
COLD_GOAL = 1.2


def ratio_goal(network: str, kind: str, size: int) -> float:
    """The least ratio to the best peer."""
    inference = SINGLE_GOALS if size == 1 else BATCH_GOALS
    goals = TRAINING_GOALS if kind == "training" else inference
    return goals.get(network, goals[OTHERS])
