"""The networks of these tests: small, and awkward where kernels may go wrong."""

from __future__ import annotations

from pathlib import Path

LENET = Path(__file__).parents[2] / "specs" / "lenet.cnn"

# Channels and extents that fill no register, uint8 input, every initialiser, adam.
DIGITS = """
model digits(classes=5) {
    input image: uint8[2, 9, 7]
    scale(1/255)
    conv(3, 3x3, pad=1, init=he) -> relu -> maxpool(2x2)
    flatten
    hidden: dense(7, init=glorot) -> relu
    offset = dense(classes, init=constant(0.25))
    plain = dense(classes, bias=no, init=zeros)
    scores = dense(classes)
    add(offset, plain, scores)
}
train {
    loss      cross_entropy
    optimizer adam(lr=0.01, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.1)
    batch     8; epochs 2; seed 5
}
"""

# The parameters of DIGITS's first layers and their names, with other layers around them.
MEANS = """
model digits {
    input image: uint8[2, 9, 7]
    scale(1/255)
    relu
    conv(3, 3x3, pad=1, init=he) -> relu -> avgpool(2x2)
    flatten
    hidden: dense(7, init=glorot) -> relu
    between: dense(7) -> relu
    dense(5)
}
train {
    loss      cross_entropy
    optimizer sgd(lr=0.1, momentum=0.9, nesterov=yes, weight_decay=0.05)
}
"""

# Two inputs, a signal and a vector, joined both ways; mse; plain sgd.
WIND = """
model wind {
    input signal: float32[1, 11]
    input extra: float32[6]
    heard = signal -> conv(2, 3, stride=2, pad=1) -> relu -> flatten
    left = extra -> dense(6)
    twice = add(left, extra)
    concat(heard, twice) -> dense(5) -> relu -> dense(3)
}
train { loss mse; optimizer sgd(lr=0.1); batch 4 }
"""

# No train block; two inputs of different types; three outputs, one of them with space.
HEADS = """
model heads {
    input image: uint8[1, 6, 5]
    input extra: float32[4]
    plane = image -> scale(1/16) -> conv(2, 3x3)
    flat = plane -> flatten
    concat(flat, extra) -> dense(4) -> relu
    mean = dense(2)
    spread = dense(1)
    output mean, plane, spread
}
"""

# Weights whose gradients are computed for all blocks at once, before a barrier and after the last
# one, in rows that end within a register.
TOWER = """
model tower(classes=5) {
    input x: float32[70]
    dense(90) -> batchnorm -> relu
    dense(75) -> relu
    dense(classes)
}
train { loss cross_entropy; optimizer adamw(lr=0.01, weight_decay=0.1) }
"""

# The gradient of the first weight reads the caller's array.
ROWS = """
model rows(classes=5) {
    input image: uint8[2, 6, 8]
    scale(1/255) -> relu -> flatten
    dense(80) -> relu
    dense(classes)
}
train { loss cross_entropy; optimizer sgd(lr=0.1, momentum=0.9, weight_decay=0.01) }
"""

# One weight, one bias: what a step does can be told by hand.
LINE = """
model line {
    input x: float32[1]
    dense(1, init=constant(0.5))
}
train { loss mse; optimizer sgd(lr=0.25, momentum=0.5) }
"""
