"""The optimizers: what a spec may say after `optimizer`, and a NumPy reference of one step.

The generated module runs the same formulas over the whole parameter arena in one loop; see
templates/<name>.pyx.j2. Hyper-parameters are the defaults that the module is built with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.shapes import Array

_RATE = Field("lr", Kind.NUMBER, "learning rate", minimum=0)
_DECAY = Field("weight_decay", Kind.NUMBER, "L2 penalty, added to the gradient", 0.0, minimum=0)

_ADAM = (
    Field("lr", Kind.NUMBER, "learning rate", 0.001, minimum=0),
    Field("beta1", Kind.NUMBER, "decay of the first moment", 0.9, minimum=0, below=1),
    Field("beta2", Kind.NUMBER, "decay of the second moment", 0.999, minimum=0, below=1),
    Field("eps", Kind.NUMBER, "added to the root of the second moment", 1e-8, minimum=0),
)


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Base of the closed set below; `lr` is the learning rate."""

    lr: float

    NAME: ClassVar[str] = ""
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    SLOTS: ClassVar[tuple[str, ...]] = ()
    """The state arrays, each as large as the parameter arena."""

    @classmethod
    def bind(cls, arguments: Mapping[str, Any]) -> Optimizer:
        """Make it from checked arguments, every field present. Raises OpError."""
        return cls(**arguments)

    def step(self, weight: Array, grad: Array, state: dict[str, Array], time: int) -> Array:
        """The updated weight (reference). `state` maps SLOTS to arrays; `time` counts from 1."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Sgd(Optimizer):
    """Stochastic gradient descent with momentum: v = mu v + g, w = w - lr v.

    Nesterov's form steps along g + mu v (Sutskever et al. 2013, as PyTorch and Keras write it).
    """

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    NAME: ClassVar[str] = "sgd"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        _RATE,
        Field("momentum", Kind.NUMBER, "mu", 0.0, minimum=0, below=1),
        Field("nesterov", Kind.FLAG, "step along the look-ahead gradient", False),
        _DECAY,
    )
    SLOTS: ClassVar[tuple[str, ...]] = ("velocity",)

    @classmethod
    def bind(cls, arguments: Mapping[str, Any]) -> Optimizer:
        if arguments["nesterov"] and not arguments["momentum"]:
            raise OpError(
                "bad-value",
                "nesterov needs a momentum above 0",
                help="write sgd(..., momentum=0.9, nesterov=yes)",
                argument="nesterov",
            )
        return cls(**arguments)

    def step(self, weight: Array, grad: Array, state: dict[str, Array], time: int) -> Array:
        grad = grad + self.weight_decay * weight
        state["velocity"] = self.momentum * state["velocity"] + grad
        if self.nesterov:
            return weight - self.lr * (grad + self.momentum * state["velocity"])
        return weight - self.lr * state["velocity"]


@dataclass(frozen=True, slots=True)
class Adam(Optimizer):
    """Adam with bias correction: Kingma and Ba 2015, algorithm 1."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    NAME: ClassVar[str] = "adam"
    FIELDS: ClassVar[tuple[Field, ...]] = (*_ADAM, _DECAY)
    SLOTS: ClassVar[tuple[str, ...]] = ("moment1", "moment2")

    def step(self, weight: Array, grad: Array, state: dict[str, Array], time: int) -> Array:
        return weight - _adam_move(self, grad + self.weight_decay * weight, state, time)


@dataclass(frozen=True, slots=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay: w = w - lr weight_decay w first, then Adam's step.

    Loshchilov and Hutter 2019, Decoupled weight decay regularization, algorithm 2, with the decay
    times the learning rate, as PyTorch has it.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01

    NAME: ClassVar[str] = "adamw"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        *_ADAM,
        Field("weight_decay", Kind.NUMBER, "decay of the weights themselves", 0.01, minimum=0),
    )
    SLOTS: ClassVar[tuple[str, ...]] = ("moment1", "moment2")

    def step(self, weight: Array, grad: Array, state: dict[str, Array], time: int) -> Array:
        kept = weight * (1 - self.lr * self.weight_decay)
        return kept - _adam_move(self, grad, state, time)


def _adam_move(adam: Adam | AdamW, grad: Array, state: dict[str, Array], time: int) -> Array:
    """How far the weight moves against the gradient; updates the moments."""
    state["moment1"] = adam.beta1 * state["moment1"] + (1 - adam.beta1) * grad
    state["moment2"] = adam.beta2 * state["moment2"] + (1 - adam.beta2) * grad * grad
    corrected = sqrt(1 - adam.beta2**time)
    rate = adam.lr / (1 - adam.beta1**time)
    root = state["moment2"] ** 0.5
    return rate * state["moment1"] / (root / corrected + adam.eps)


@dataclass(frozen=True, slots=True)
class RmsProp(Optimizer):
    """RMSProp: the gradient over the root of its moving mean square, with momentum.

    Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6.5; momentum as PyTorch
    has it.
    """

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    NAME: ClassVar[str] = "rmsprop"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("lr", Kind.NUMBER, "learning rate", 0.01, minimum=0),
        Field("alpha", Kind.NUMBER, "decay of the mean square", 0.99, minimum=0, below=1),
        Field("eps", Kind.NUMBER, "added to the root of the mean square", 1e-8, minimum=0),
        Field("momentum", Kind.NUMBER, "mu", 0.0, minimum=0, below=1),
        _DECAY,
    )
    SLOTS: ClassVar[tuple[str, ...]] = ("square", "velocity")

    def step(self, weight: Array, grad: Array, state: dict[str, Array], time: int) -> Array:
        grad = grad + self.weight_decay * weight
        state["square"] = self.alpha * state["square"] + (1 - self.alpha) * grad * grad
        grad = grad / (state["square"] ** 0.5 + self.eps)
        state["velocity"] = self.momentum * state["velocity"] + grad
        return weight - self.lr * state["velocity"]


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.NAME: kind for kind in (Sgd, Adam, AdamW, RmsProp)}
