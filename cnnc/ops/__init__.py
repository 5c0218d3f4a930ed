"""The layers, losses, optimizers and initialisers of the language: explicit lists."""

from __future__ import annotations

from typing import Any

from cnnc.ops.add import Add
from cnnc.ops.avgpool import AvgPool
from cnnc.ops.concat import Concat
from cnnc.ops.conv import Conv
from cnnc.ops.cross_entropy import CrossEntropy
from cnnc.ops.dense import Dense
from cnnc.ops.flatten import Flatten
from cnnc.ops.identity import Identity
from cnnc.ops.initializers import INITIALIZERS
from cnnc.ops.maxpool import MaxPool
from cnnc.ops.mse import Mse
from cnnc.ops.optimizers import OPTIMIZERS
from cnnc.ops.relu import Relu
from cnnc.ops.scale import Scale

OPS: dict[str, type[Any]] = {
    op.NAME: op
    for op in (Conv, Dense, MaxPool, AvgPool, Relu, Flatten, Scale, Add, Concat, Identity)
}
"""Layers by the name a spec gives them."""

LOSSES: dict[str, type[Any]] = {op.NAME: op for op in (CrossEntropy, Mse)}
"""Losses by the name a spec gives them."""

__all__ = ["INITIALIZERS", "LOSSES", "OPS", "OPTIMIZERS"]
