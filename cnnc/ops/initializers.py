"""How parameters get their first values.

Uniform distributions only: they need nothing but the bit generator, a multiplication and a square
root, which every machine rounds alike, so a seed gives the same weights everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, ClassVar

from cnnc.ops.field import Field, Kind, OpError

_LARGEST = 3.4028234663852886e38
"""The largest float32."""


@dataclass(frozen=True, slots=True)
class Initializer:
    """Base of the closed set below; `limit` is the half-width of the uniform distribution."""

    NAME: ClassVar[str] = ""
    FIELDS: ClassVar[tuple[Field, ...]] = ()

    @classmethod
    def bind(cls, arguments: Mapping[str, Any]) -> Initializer:
        return cls(**arguments)

    def limit(self, fan_in: int, fan_out: int) -> float:
        """Half-width of U(-limit, limit), 0 for a constant."""
        raise NotImplementedError

    def value(self) -> float:
        """The constant, 0 for a distribution."""
        return 0.0


@dataclass(frozen=True, slots=True)
class He(Initializer):
    """U(-sqrt(6 / fan_in), +): He et al. 2015, Delving Deep into Rectifiers, equation 10."""

    NAME: ClassVar[str] = "he"

    def limit(self, fan_in: int, fan_out: int) -> float:
        return sqrt(6.0 / max(fan_in, 1))


@dataclass(frozen=True, slots=True)
class Glorot(Initializer):
    """U(-sqrt(6 / (fan_in + fan_out)), +): Glorot and Bengio 2010, equation 16."""

    NAME: ClassVar[str] = "glorot"

    def limit(self, fan_in: int, fan_out: int) -> float:
        return sqrt(6.0 / max(fan_in + fan_out, 1))


@dataclass(frozen=True, slots=True)
class Automatic(Initializer):
    """He where a relu follows, Glorot elsewhere; resolved when the graph is known."""

    NAME: ClassVar[str] = "automatic"


AUTOMATIC = Automatic()


@dataclass(frozen=True, slots=True)
class Uniform(Initializer):
    """U(-bound, bound), whatever the fans."""

    bound: float

    NAME: ClassVar[str] = "uniform"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("limit", Kind.NUMBER, "half-width; above 0", minimum=0),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any]) -> Initializer:
        bound = float(arguments["limit"])
        if not 0 < bound <= _LARGEST:
            raise OpError(
                "bad-value",
                "uniform needs a limit above 0 that is a finite float32 number",
                help="write zeros for weights that are all 0",
                argument="limit",
            )
        return cls(bound)

    def limit(self, fan_in: int, fan_out: int) -> float:
        return self.bound


@dataclass(frozen=True, slots=True)
class Zeros(Initializer):
    """All zero."""

    NAME: ClassVar[str] = "zeros"

    def limit(self, fan_in: int, fan_out: int) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Constant(Initializer):
    """All the same value."""

    constant: float

    NAME: ClassVar[str] = "constant"
    FIELDS: ClassVar[tuple[Field, ...]] = (Field("value", Kind.NUMBER, "every entry"),)

    @classmethod
    def bind(cls, arguments: Mapping[str, Any]) -> Initializer:
        value = float(arguments["value"])
        if not isfinite(value):
            raise OpError("bad-value", "constant needs a finite number", argument="value")
        return cls(value)

    def limit(self, fan_in: int, fan_out: int) -> float:
        return 0.0

    def value(self) -> float:
        return self.constant


INITIALIZERS: dict[str, type[Initializer]] = {
    kind.NAME: kind for kind in (He, Glorot, Uniform, Zeros, Constant)
}
