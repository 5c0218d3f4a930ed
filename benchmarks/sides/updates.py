"""Optimizer steps as arithmetic on any arrays, for frameworks that bring no fused ones along."""

from __future__ import annotations

from typing import Any

from sides.network import Network, NotComparedError

MOMENTS = {"Sgd": 1, "Adam": 2}


def moments(network: Network) -> int:
    """How many arrays the optimizer keeps for each parameter, all zeros at first."""
    kind = type(network.optimizer).__name__
    if kind not in MOMENTS or getattr(network.optimizer, "nesterov", False):
        raise NotComparedError(f"no optimizer {kind}")
    return MOMENTS[kind]


def update(settings: Any, value: Any, grad: Any, kept: list[Any], count: Any) -> list[Any]:
    """[new value, *new moments] in step `count`, from 1 on, as PyTorch's optimizers have it."""
    if settings.weight_decay:
        grad = grad + settings.weight_decay * value
    if type(settings).__name__ == "Sgd":
        momentum = settings.momentum * kept[0] + grad
        return [value - settings.lr * momentum, momentum]
    first = settings.beta1 * kept[0] + (1 - settings.beta1) * grad
    second = settings.beta2 * kept[1] + (1 - settings.beta2) * grad * grad
    rate = settings.lr / (1 - settings.beta1**count)
    root = (second / (1 - settings.beta2**count)) ** 0.5
    return [value - rate * first / (root + settings.eps), first, second]
