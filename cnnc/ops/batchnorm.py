"""batchnorm: every channel brought to mean 0 and variance 1 over the batch, then scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.batch_statistics import (
    BatchAffine,
    BatchStatistics,
    ChannelAffine,
    RunningAffine,
    affine_form,
)
from cnnc.ops.counted import refuse_count
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.initializers import Constant, Zeros
from cnnc.ops.norm_kernels import weights
from cnnc.ops.op import (
    Example,
    Op,
    Operands,
    ParameterSpec,
    TrainingStep,
    as_float,
    per_channel,
    single,
)
from cnnc.ops.shapes import Array, Shape

_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class BatchNorm(Op):
    """y = weight[c] (x - mean[c]) / sqrt(variance[c] + eps) + bias[c]. (channels, *space).

    In training mean and variance are those of the whole batch, over samples and space; inference
    takes the running ones, which each training step brings the share `momentum` nearer to the
    batch's. Ioffe and Szegedy 2015, algorithms 1 and 2.
    """

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True

    NAME: ClassVar[str] = "batchnorm"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("eps", Kind.NUMBER, "added to the variance", 1e-5, minimum=0),
        Field("momentum", Kind.NUMBER, "share of a batch in the running values", 0.1, minimum=0),
        Field("affine", Kind.FLAG, "train a weight and a bias per channel", True),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> BatchNorm:
        refuse_count(cls.NAME, arguments, "eps", 1)
        eps, momentum = float(arguments["eps"]), float(arguments["momentum"])
        if momentum > 1:
            message = f"momentum must be at most 1, got {momentum:g}"
            help = "it is the share of the new batch: 1 keeps nothing of the batches before"
            raise OpError("bad-value", message, argument="momentum", help=help)
        return cls(single(inputs)[0], eps, momentum, arguments["affine"])

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        shape = (self.channels,)
        running = (
            ParameterSpec("running_mean", shape, Zeros(), 1, 1, trained=False),
            ParameterSpec("running_var", shape, Constant(1.0), 1, 1, trained=False),
        )
        return (*weights(shape), *running) if self.affine else running

    def inference_steps(self) -> tuple[TrainingStep, ...]:
        affine = RunningAffine(self.eps, self.affine, self.channels)
        reads = (*_STATISTICS, *self._trained())
        return (
            TrainingStep("affine", affine, reads),
            TrainingStep("", ChannelAffine(self.channels), ("input", "affine")),
        )

    def training_steps(self, stream: int) -> tuple[TrainingStep, ...]:
        affine = BatchAffine(self.eps, self.affine)
        statistics = BatchStatistics(self.momentum)
        return (
            TrainingStep("statistics", statistics, ("input", *_STATISTICS)),
            TrainingStep("affine", affine, ("statistics", *self._trained())),
            TrainingStep("", ChannelAffine(self.channels), ("input", "affine")),
        )

    def _trained(self) -> tuple[str, ...]:
        return ("weight", "bias") if self.affine else ()

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        mean, variance = (operands[name] for name in _STATISTICS)
        scale, shift = affine_form(mean, variance, self.eps, operands)
        return np.asarray(x * per_channel(scale, x.ndim) + per_channel(shift, x.ndim))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return ()
