"""conv_transpose: what a convolution's data gradient does, as a layer that enlarges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any, ClassVar

from cnnc.ops import conv_kernels, conv_reference
from cnnc.ops.conv import check_groups
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.initializers import AUTOMATIC, Initializer, Zeros
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.op import (
    Example,
    Op,
    Operands,
    ParameterSpec,
    as_float,
    channel_sums,
    per_channel,
    single,
)
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import Sight
from cnnc.ops.single import Single
from cnnc.ops.single_conv import single_transposed
from cnnc.ops.window import Geometry, Pads, padding, per_axis, reach, spatial


@dataclass(frozen=True, slots=True)
class ConvTranspose(Op):
    """y[o, p * stride + t * dilation - pad] += weight[i, o, t] * x[i, p], and bias[o].

    (in, *space) -> (filters, *outputs), outputs = (n - 1) * stride + dilation * (kernel - 1) + 1
    - before - after + output_pad. The convolution that `geometry` describes leads back from the
    output to the input: its transpose is this. Dumoulin and Visin 2016, section 4.
    """

    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads
    output_pad: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    bias: bool = True
    init: Initializer = AUTOMATIC

    NAME: ClassVar[str] = "conv_transpose"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("filters", Kind.COUNT, "output channels"),
        Field("kernel", Kind.EXTENT, "window, one extent or one per axis"),
        Field("stride", Kind.EXTENT, "step between windows, in the output", 1),
        Field("pad", Kind.PADDING, "cut off the output's borders", 0),
        Field("output_pad", Kind.INTEGER, "added to the output's end", 0, minimum=0),
        Field("dilation", Kind.EXTENT, "step between a window's elements", 1),
        Field("groups", Kind.COUNT, "parts of the channels that do not see each other", 1),
        Field("bias", Kind.FLAG, "add a bias per filter", True),
        Field("init", Kind.INITIALIZER, "first values of the weight", AUTOMATIC),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> ConvTranspose:
        space = spatial(single(inputs), "conv_transpose")
        axes = len(space)
        kernel = per_axis(arguments["kernel"], axes, "kernel")
        stride = per_axis(arguments["stride"], axes, "stride")
        dilation = per_axis(arguments["dilation"], axes, "dilation")
        extra = (arguments["output_pad"],) * axes
        pads = _cut(arguments["pad"], space, reach(kernel, dilation), stride, extra)
        given = {**arguments, "kernel": kernel, "stride": stride, "dilation": dilation}
        return cls(**{**given, "pad": pads, "output_pad": extra})

    @property
    def geometry(self) -> Geometry:
        """Of the convolution from the output to the input."""
        return Geometry(self.kernel, self.stride, self.pad, self.dilation, self.groups)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        space = spatial(shape, "conv_transpose")
        check_groups(self.groups, shape[0], self.filters)
        for extra, s, d in zip(self.output_pad, self.stride, self.dilation, strict=True):
            if extra >= max(s, d):
                raise OpError(
                    "bad-value",
                    f"output_pad {extra} must be smaller than the stride, {s},"
                    f" or the dilation, {d}",
                    help="it chooses among the output sizes that one input size can come from",
                    argument="output_pad",
                )
        whole = _uncut(space, reach(self.kernel, self.dilation), self.stride, self.output_pad)
        extents = tuple(n - b - a for n, (b, a) in zip(whole, self.pad, strict=True))
        if min(extents) < 1:
            raise OpError(
                "bad-value",
                "pad cuts all of the output off: "
                + " x ".join(f"{n} - {b} - {a}" for n, (b, a) in zip(whole, self.pad, strict=True)),
                help="use less padding or a larger kernel",
                argument="pad",
            )
        return (self.filters, *extents)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        channels, window = single(inputs)[0], prod(self.kernel)
        shape = (channels, self.filters // self.groups, *self.kernel)
        # A window's elements are spread over the stride's positions: an output reads its share.
        fan_in = max(1, channels // self.groups * window // prod(self.stride))
        fans = (fan_in, self.filters // self.groups * window)
        weight = ParameterSpec("weight", shape, self.init, *fans)
        bias = ParameterSpec("bias", (self.filters,), Zeros(), *fans)
        return (weight, bias) if self.bias else (weight,)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return {"input": ("weight",), "weight": ("input",), "bias": ()}[wrt]

    def forward(self, operands: Operands) -> Array:
        x = as_float(operands["input"])
        shape = self.output_shape((x.shape[1:],))
        y = conv_reference.spread(x, operands["weight"], self.geometry, shape)
        return y + per_channel(operands["bias"], y.ndim) if self.bias else y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "bias":
            return channel_sums(grad)
        if wrt == "weight":
            x = as_float(operands["input"])
            return conv_reference.correlate_weight(grad, x, self.geometry, shape)
        return conv_reference.correlate(grad, operands["weight"], self.geometry, shape[1:])

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return prod(single(inputs)) * self.filters // self.groups * prod(self.kernel)

    def halo(self, wrt: str | None) -> Pads:
        return self.pad if wrt in ("input", "weight") else ()

    def halo_operand(self, wrt: str | None) -> str:
        """Its gradients are convolutions over the output's gradient."""
        return "output_grad"

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        g = self.geometry
        match wrt:
            case None:
                x, y = layouts["result"], layouts["input"]
                return conv_kernels.input_gradient(g, x, y, machine, bias=self.bias, reads="input")
            case "input":
                x, y = layouts["output_grad"], layouts["result"]
                return conv_kernels.forward(g, x, y, machine, bias=False, reads="output_grad")
            case "weight":
                x, y = layouts["output_grad"], layouts["input"]
                return conv_kernels.weight_gradient(
                    g, x, y, machine, x_name="output_grad", y_name="input"
                )
        return conv_kernels.bias_gradient(layouts["output_grad"])

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        output = self.output_shape(inputs)
        return single_transposed(self.geometry, inputs[0], output, lanes, bias=self.bias)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        extents = reach(self.kernel, self.dilation)
        window = tuple(-(-n // s) for n, s in zip(extents, self.stride, strict=True))
        return Sight(window, tuple(Fraction(1, s) for s in self.stride))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        def make(filters: int, shape: Shape, **given: Any) -> Example:
            defaults = {f.name: f.default for f in cls.FIELDS[2:]}
            return Example(cls.bind(defaults | {"filters": filters} | given, (shape,)), (shape,))

        return (
            make(1, (1, 3, 4), kernel=1),
            make(3, (17, 5, 7), kernel=2, stride=2),
            make(16, (40, 6, 5), kernel=4, stride=2, pad=1),
            make(5, (3, 7, 5), kernel=3, stride=2, pad=1, output_pad=1, bias=False),
            make(4, (2, 5, 6), kernel=(2, 3), stride=(3, 2), pad=[(1, 0), (0, 2)]),
            make(6, (4, 6, 5), kernel=3, dilation=(2, 3), stride=2, pad=2, groups=2),
            make(3, (3, 9, 8), kernel=3, stride=2, pad="same", groups=3),
            make(4, (4, 6, 6), kernel=3, dilation=3, output_pad=2, pad=1, groups=4),
            make(2, (3, 11), kernel=5, stride=3, pad=(2, 1), output_pad=2),
            make(2, (2, 3, 4, 3), kernel=(2, 3, 2), stride=(2, 1, 2), pad=[0, 1, (0, 1)]),
        )


def _uncut(space: Shape, window: Shape, stride: Shape, extra: Shape) -> Shape:
    """Extents of the output before the padding is cut off."""
    each = zip(space, window, stride, extra, strict=True)
    return tuple((n - 1) * s + k + e for n, k, s, e in each)


def _cut(value: Any, space: Shape, window: Shape, stride: Shape, extra: Shape) -> Pads:
    """Resolve `pad=`; `same` gives input * stride outputs, and cuts an odd element at the end."""
    if value != "same":
        return padding(value, space, window, stride)
    whole = _uncut(space, window, stride, extra)
    totals = [m - n * s for m, n, s in zip(whole, space, stride, strict=True)]
    if min(totals) < 0:
        raise OpError(
            "bad-value",
            "pad=same needs a kernel that reaches as far as the stride",
            help="use a larger kernel, or leave pad out",
            argument="pad",
        )
    return tuple((total // 2, total - total // 2) for total in totals)
