"""The networks of specs/: how each is made small enough to be compiled and compared in a test.

Parameters change sizes and repetitions and leave every kind of layer and connection in place.
Dropout gets the rate 0, at which it drops nothing, since PyTorch's random numbers are others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cnnc.compiler import Options

SPECS = Path(__file__).parents[2] / "specs"
ALL = sorted(path.stem for path in SPECS.glob("*.cnn"))


@dataclass(frozen=True)
class Network:
    """A spec with parameters; `samples` are compared. `long` ones are left to `--networks all`."""

    name: str
    parameters: dict[str, float] = field(default_factory=dict)
    samples: int = 2
    long: bool = False

    @property
    def path(self) -> Path:
        return SPECS / f"{self.name}.cnn"

    @property
    def options(self) -> Options:
        return Options(parameters=self.parameters)

    def __str__(self) -> str:
        return f"{self.name}-whole" if self.long else self.name
