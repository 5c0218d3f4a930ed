"""The layers, losses, optimizers and initialisers of the language: explicit lists."""

from __future__ import annotations

from typing import Any

from cnnc.ops.adaptive_avgpool import AdaptiveAvgPool
from cnnc.ops.add import Add
from cnnc.ops.avgpool import AvgPool
from cnnc.ops.batchnorm import BatchNorm
from cnnc.ops.binary_cross_entropy import BinaryCrossEntropy
from cnnc.ops.channel_dropout import ChannelDropout
from cnnc.ops.concat import Concat
from cnnc.ops.conv import Conv
from cnnc.ops.conv_transpose import ConvTranspose
from cnnc.ops.crop import Crop
from cnnc.ops.cross_entropy import CrossEntropy
from cnnc.ops.dense import Dense
from cnnc.ops.depthwise import Depthwise
from cnnc.ops.dropout import Dropout
from cnnc.ops.dropout_mask import DropoutMask
from cnnc.ops.elu import Elu
from cnnc.ops.flatten import Flatten
from cnnc.ops.gelu import Gelu
from cnnc.ops.global_avgpool import GlobalAvgPool
from cnnc.ops.global_maxpool import GlobalMaxPool
from cnnc.ops.groupnorm import GroupNorm
from cnnc.ops.hardsigmoid import HardSigmoid
from cnnc.ops.hardswish import HardSwish
from cnnc.ops.huber import Huber
from cnnc.ops.identity import Identity
from cnnc.ops.initializers import INITIALIZERS
from cnnc.ops.l1 import L1
from cnnc.ops.layernorm import LayerNorm
from cnnc.ops.leaky_relu import LeakyRelu
from cnnc.ops.log_softmax import LogSoftmax
from cnnc.ops.maxpool import MaxPool
from cnnc.ops.mse import Mse
from cnnc.ops.mul import Mul
from cnnc.ops.normalize import Normalize
from cnnc.ops.optimizers import OPTIMIZERS
from cnnc.ops.prelu import Prelu
from cnnc.ops.relu import Relu
from cnnc.ops.relu6 import Relu6
from cnnc.ops.reshape import Reshape
from cnnc.ops.scale import Scale
from cnnc.ops.sigmoid import Sigmoid
from cnnc.ops.silu import Silu
from cnnc.ops.slice import Slice
from cnnc.ops.softmax import Softmax
from cnnc.ops.softplus import Softplus
from cnnc.ops.split import Split
from cnnc.ops.sub import Sub
from cnnc.ops.tanh import Tanh
from cnnc.ops.upsample import Upsample
from cnnc.ops.zero_pad import ZeroPad

OPS: dict[str, type[Any]] = {
    op.NAME: op
    for op in (
        Conv,
        ConvTranspose,
        Depthwise,
        Dense,
        MaxPool,
        AvgPool,
        AdaptiveAvgPool,
        GlobalAvgPool,
        GlobalMaxPool,
        BatchNorm,
        GroupNorm,
        LayerNorm,
        Upsample,
        ZeroPad,
        Crop,
        Reshape,
        Slice,
        Split,
        Relu,
        Relu6,
        LeakyRelu,
        Prelu,
        Elu,
        Gelu,
        Silu,
        HardSwish,
        Sigmoid,
        HardSigmoid,
        Tanh,
        Softplus,
        Softmax,
        LogSoftmax,
        Dropout,
        ChannelDropout,
        Flatten,
        Scale,
        Normalize,
        Add,
        Sub,
        Mul,
        Concat,
        Identity,
    )
}
"""Layers by the name a spec gives them."""

TRAINING_OPS: dict[str, type[Any]] = {op.NAME: op for op in (DropoutMask,)}
"""Ops that stand in for a layer in training (`Op.training_steps`); no spec names them."""

LOSSES: dict[str, type[Any]] = {
    op.NAME: op for op in (CrossEntropy, BinaryCrossEntropy, Mse, L1, Huber)
}
"""Losses by the name a spec gives them."""

__all__ = ["INITIALIZERS", "LOSSES", "OPS", "OPTIMIZERS", "TRAINING_OPS"]
