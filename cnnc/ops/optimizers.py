"""The optimizers: what a spec may say after `optimizer`, and a NumPy reference of one step.

The generated module runs the same formulas over the whole parameter arena in one loop; see
templates/<name>.pyx.j2. Hyper-parameters are the defaults that the module is built with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

from cnnc.ops.op import Array, Field, Kind, OpError

_RATE = Field("lr", Kind.NUMBER, "learning rate", minimum=0)
_DECAY = Field("weight_decay", Kind.NUMBER, "L2 penalty, added to the gradient", 0.0, minimum=0)


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
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("lr", Kind.NUMBER, "learning rate", 0.001, minimum=0),
        Field("beta1", Kind.NUMBER, "decay of the first moment", 0.9, minimum=0, below=1),
        Field("beta2", Kind.NUMBER, "decay of the second moment", 0.999, minimum=0, below=1),
        Field("eps", Kind.NUMBER, "added to the root of the second moment", 1e-8, minimum=0),
        _DECAY,
    )
    SLOTS: ClassVar[tuple[str, ...]] = ("moment1", "moment2")

    def step(self, weight: Array, grad: Array, state: dict[str, Array], time: int) -> Array:
        grad = grad + self.weight_decay * weight
        state["moment1"] = self.beta1 * state["moment1"] + (1 - self.beta1) * grad
        state["moment2"] = self.beta2 * state["moment2"] + (1 - self.beta2) * grad * grad
        corrected = sqrt(1 - self.beta2**time)
        rate = self.lr / (1 - self.beta1**time)
        root = state["moment2"] ** 0.5
        return weight - rate * state["moment1"] / (root / corrected + self.eps)


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.NAME: kind for kind in (Sgd, Adam)}
