"""What a compilation is asked for besides the spec's text. Knows no stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from cnnc.passes.choice import Choice
    from cnnc.tuning import Tuning


@dataclass(frozen=True, slots=True)
class Options:
    """What shapes a compilation besides the text.

    target: a name of cnnc.ir.target.TARGETS, or several with commas between them, of which the
    module chooses when it is imported; None is the build machine's. model: which model of the file.
    parameters: values for the model's parameters. search: directories, besides the spec's own, from
    which it may import. limits: how large spec and network may be. algorithm: `direct`, `matmul`,
    `winograd`, `winograd4`, `winograd1d` or `columns`, for kernels that have it; None leaves it to
    the cost model. profile: with a clock after every call, see cnnc.measure. tuning: what was
    measured, to be built again (cnnc.tuning). choose: takes each kernel's form. alone: up to how
    many samples inference takes one by one, from a block's on all of them; None leaves it to
    `tuning` or the cost model. Raises ValueError where more than one of algorithm, tuning and
    choose is given.
    """

    target: str | None = None
    model: str | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    search: tuple[str | Path, ...] = ()
    limits: Limits = DEFAULT_LIMITS
    algorithm: str | None = None
    profile: bool = False
    tuning: Tuning | None = None
    choose: Choice | None = None
    alone: int | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.algorithm, self.tuning, self.choose)) > 1:
            raise ValueError("one of algorithm, tuning and choose says which kernels to take")
