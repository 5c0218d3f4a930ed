"""conv: convolution over any number of spatial axes, as the field means it (cross-correlation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from cnnc.ops import conv_kernels
from cnnc.ops.initializers import AUTOMATIC, Initializer, Zeros
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import (
    Array,
    Example,
    Field,
    Kind,
    Op,
    Operands,
    ParameterSpec,
    Shape,
    as_float,
    single,
)
from cnnc.ops.window import (
    Pads,
    pad_array,
    padding,
    per_axis,
    spatial,
    taps,
    unpad_array,
    window_extents,
)


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """y[o] = bias[o] + sum over i, t of weight[o, i, t] * x[i, position * stride + t - pad].

    (in, *space) -> (filters, *outputs). Goodfellow, Bengio and Courville 2016, equation 9.6.
    """

    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads
    bias: bool = True
    init: Initializer = AUTOMATIC

    NAME: ClassVar[str] = "conv"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("filters", Kind.COUNT, "output channels"),
        Field("kernel", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows", 1),
        Field("pad", Kind.PADDING, "zeros around the input", 0),
        Field("bias", Kind.FLAG, "add a bias per filter", True),
        Field("init", Kind.INITIALIZER, "first values of the weight", AUTOMATIC),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Conv:
        space = spatial(single(inputs), "conv")
        kernel = per_axis(arguments["kernel"], len(space), "kernel")
        stride = per_axis(arguments["stride"], len(space), "stride")
        pads = padding(arguments["pad"], space, kernel, stride)
        return cls(arguments["filters"], kernel, stride, pads, arguments["bias"], arguments["init"])

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        space = spatial(single(inputs), "conv")
        extents = window_extents("conv", space, self.kernel, self.stride, self.pad, "kernel")
        return (self.filters, *extents)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        channels, window = single(inputs)[0], prod(self.kernel)
        shape = (self.filters, channels, *self.kernel)
        fans = (channels * window, self.filters * window)
        weight = ParameterSpec("weight", shape, self.init, *fans)
        bias = ParameterSpec("bias", (self.filters,), Zeros(), *fans)
        return (weight, bias) if self.bias else (weight,)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return {"input": ("weight",), "weight": ("input",), "bias": ()}[wrt]

    def forward(self, operands: Operands) -> Array:
        x = pad_array(as_float(operands["input"]), self.pad)
        weight = operands["weight"]
        outputs = self.output_shape((operands["input"].shape[1:],))[1:]
        y = np.zeros((x.shape[0], self.filters, *outputs), x.dtype)
        for tap, cut in taps(self.kernel, self.stride, outputs):
            y += np.einsum("ni...,oi->no...", x[cut], weight[tap])
        if self.bias:
            y += operands["bias"].reshape(1, -1, *(1 for _ in outputs))
        return y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "bias":
            return np.asarray(grad.sum(axis=(0, *range(2, grad.ndim))))
        if wrt == "weight":
            return self._weight_gradient(grad, as_float(operands["input"]), shape)
        x_grad = pad_array(np.zeros((len(grad), *shape), grad.dtype), self.pad)
        for tap, cut in taps(self.kernel, self.stride, grad.shape[2:]):
            x_grad[cut] += np.einsum("no...,oi->ni...", grad, operands["weight"][tap])
        return unpad_array(x_grad, self.pad)

    def _weight_gradient(self, grad: Array, x: Array, shape: Shape) -> Array:
        x = pad_array(x, self.pad)
        weight_grad = np.zeros(shape, grad.dtype)
        summed = [0, *range(2, grad.ndim)]
        for tap, cut in taps(self.kernel, self.stride, grad.shape[2:]):
            weight_grad[tap] = np.tensordot(grad, x[cut], (summed, summed))
        return weight_grad

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return prod(self.output_shape(inputs)) * single(inputs)[0] * prod(self.kernel)

    def halo(self, wrt: str | None) -> Pads:
        return self.pad if wrt in (None, "weight") else ()

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        build = {
            None: conv_kernels.forward,
            "input": conv_kernels.input_gradient,
            "weight": conv_kernels.weight_gradient,
            "bias": conv_kernels.bias_gradient,
        }[wrt]
        return build(self.stride, self.kernel, self.pad, self.bias, layouts, machine)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        def make(filters: int, shape: Shape, **given: Any) -> Example:
            arguments = {"stride": 1, "pad": 0, "bias": True, "init": AUTOMATIC, **given}
            return Example(cls.bind({"filters": filters, **arguments}, (shape,)), (shape,))

        return (
            make(1, (1, 4, 4), kernel=1),
            make(3, (1, 9, 7), kernel=3),
            make(17, (3, 9, 11), kernel=3, pad=1),
            make(6, (1, 28, 28), kernel=5, pad=2),
            make(16, (6, 14, 14), kernel=5),
            make(4, (17, 8, 8), kernel=(3, 2), stride=(2, 3), pad=[(1, 0), (0, 2)]),
            make(3, (3, 11, 9), kernel=2, stride=3, bias=False),
            make(5, (2, 7, 7), kernel=3, stride=2, pad="same"),
            make(2, (3, 6, 5), kernel=(5, 4), pad="same"),
            make(4, (2, 40, 37), kernel=3, pad=1),
            make(24, (40, 12, 12), kernel=3, pad=1),
            make(4, (3, 19), kernel=5, pad="same"),
            make(2, (1, 33), kernel=4, stride=3, pad=(2, 1)),
            make(2, (2, 5, 4, 6), kernel=3, stride=(1, 2, 1), pad=1),
        )
