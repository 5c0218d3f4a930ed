"""conv: convolution over any number of spatial axes, as the field means it (cross-correlation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import gcd, prod
from typing import Any, ClassVar

from cnnc.ops import conv_kernels, conv_reference, winograd, winograd_kernels
from cnnc.ops.conv_weight_forms import Summing
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.initializers import AUTOMATIC, Initializer, Zeros
from cnnc.ops.layout import Counted, Form, Layouts, Machine
from cnnc.ops.op import (
    ANYWHERE,
    NOWHERE,
    Cut,
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
from cnnc.ops.sight import Sight, through_window
from cnnc.ops.single import Single
from cnnc.ops.single_conv import single_conv
from cnnc.ops.window import (
    Geometry,
    Pads,
    padding,
    per_axis,
    reach,
    spatial,
    window_extents,
)
from cnnc.ops.winograd import F2, F4


@dataclass(frozen=True, slots=True)
class Conv(Op):
    """y[o, p] = bias[o] + sum over i, t of weight[o, i, t] * x[i, p * stride + t * dilation - pad].

    (in, *space) -> (filters, *outputs); with groups, `i` runs over the inputs of o's group, in /
    groups of them. Goodfellow, Bengio and Courville 2016, equation 9.6; dilation after Yu and
    Koltun 2016, equation 2; groups after Krizhevsky, Sutskever and Hinton 2012, section 3.5.
    """

    filters: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: Pads
    dilation: tuple[int, ...]
    groups: int = 1
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
        Field("dilation", Kind.EXTENT, "step between a window's elements", 1),
        Field("groups", Kind.COUNT, "parts of the channels that do not see each other", 1),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Conv:
        space = spatial(single(inputs), "conv")
        kernel = per_axis(arguments["kernel"], len(space), "kernel")
        stride = per_axis(arguments["stride"], len(space), "stride")
        dilation = per_axis(arguments["dilation"], len(space), "dilation")
        pads = padding(arguments["pad"], space, reach(kernel, dilation), stride)
        given = {**arguments, "kernel": kernel, "stride": stride, "dilation": dilation}
        return cls(**{**given, "pad": pads})

    @property
    def geometry(self) -> Geometry:
        """How the windows lie."""
        return Geometry(self.kernel, self.stride, self.pad, self.dilation, self.groups)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        check_groups(self.groups, shape[0], self.filters)
        window = reach(self.kernel, self.dilation)
        space = spatial(shape, "conv")
        extents = window_extents("conv", space, window, self.stride, self.pad, "kernel")
        return (self.filters, *extents)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        channels, window = single(inputs)[0] // self.groups, prod(self.kernel)
        shape = (self.filters, channels, *self.kernel)
        fans = (channels * window, self.filters // self.groups * window)
        weight = ParameterSpec("weight", shape, self.init, *fans)
        bias = ParameterSpec("bias", (self.filters,), Zeros(), *fans)
        return (weight, bias) if self.bias else (weight,)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return {"input": ("weight",), "weight": ("input",), "bias": ()}[wrt]

    def forward(self, operands: Operands) -> Array:
        x, weight = as_float(operands["input"]), operands["weight"]
        outputs = self.output_shape((x.shape[1:],))[1:]
        y = conv_reference.correlate(x, weight, self.geometry, outputs)
        return y + per_channel(operands["bias"], y.ndim) if self.bias else y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "bias":
            return channel_sums(grad)
        if wrt == "weight":
            x = as_float(operands["input"])
            return conv_reference.correlate_weight(x, grad, self.geometry, shape)
        return conv_reference.spread(grad, operands["weight"], self.geometry, shape)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        channels = single(inputs)[0] // self.groups
        return prod(self.output_shape(inputs)) * channels * prod(self.kernel)

    def halo(self, wrt: str | None) -> Pads:
        return self.pad if wrt in (None, "weight") else ()

    def kernel_forms(self, wrt: str | None, layouts: Layouts, machine: Machine) -> tuple[Form, ...]:
        return tuple(form for _, form in self.counted_forms(wrt, layouts, machine))

    def sole_form(self, wrt: str | None) -> str:
        if winograd.applies(self.geometry) or wrt == "bias":
            return ""
        return "Winograd is for 3x3 windows of stride and dilation 1 in one group"

    def counted_forms(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Counted:
        direct, g = self.kernel_form(wrt, layouts, machine), self.geometry
        if wrt == "weight" and isinstance(direct, Summing):
            x, y = layouts["input"], layouts["output_grad"]
            product = conv_kernels.pointwise_weight_gradient(g, x, y, machine)
            if product is not None:
                return conv_kernels.ranked_pointwise(direct, product)
        if not winograd.applies(g) or wrt not in (None, "input", "weight"):
            return ((0.0, direct),)
        y = layouts["result" if wrt is None else "output_grad"]
        if wrt == "weight":
            summed = winograd_kernels.weight_gradient(g, layouts["input"], y, machine)
            return winograd_kernels.ranked_weight(direct, summed)
        if wrt is None:
            make = partial(winograd_kernels.forward, bias=self.bias, x=layouts["input"])
        else:
            make = partial(winograd_kernels.input_gradient, x=layouts["result"])
        return winograd_kernels.ranked(
            direct, *(make(f, g, y=y, machine=machine) for f in (F2, F4))
        )

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        g = self.geometry
        match wrt:
            case None:
                x, y = layouts["input"], layouts["result"]
                return conv_kernels.forward(g, x, y, machine, bias=self.bias)
            case "input":
                x, y = layouts["result"], layouts["output_grad"]
                return conv_kernels.input_gradient(g, x, y, machine)
            case "weight":
                x, y = layouts["input"], layouts["output_grad"]
                return conv_kernels.weight_gradient(g, x, y, machine)
        return conv_kernels.bias_gradient(layouts["output_grad"])

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        output = self.output_shape(inputs)
        return single_conv(self.geometry, inputs[0], output, lanes, plain, bias=self.bias)

    def cuts(self, wrt: str | None) -> frozenset[Cut]:
        if wrt == "bias":
            return ANYWHERE
        pointwise = prod(self.kernel) == prod(self.stride) == 1 and not any(map(any, self.pad))
        depthwise = self.groups == self.filters > 1
        cuts = ((pointwise, Cut.ROWS), (depthwise, Cut.CHANNELS))
        return frozenset(cut for fits, cut in cuts if fits) or NOWHERE

    def part(self, channels: int) -> Op:
        return replace(self, filters=channels, groups=channels)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return through_window(reach(self.kernel, self.dilation), self.stride)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        def make(filters: int, shape: Shape, **given: Any) -> Example:
            defaults = {f.name: f.default for f in cls.FIELDS[2:]}
            return Example(cls.bind(defaults | {"filters": filters} | given, (shape,)), (shape,))

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
            make(40, (36, 9, 8), kernel=1, stride=2),
            make(3, (2, 40), kernel=17, dilation=2, pad="same"),
            make(6, (4, 11, 10), kernel=(3, 2), stride=(2, 3), dilation=(3, 2), pad=2, groups=2),
            make(5, (5, 9, 8), kernel=3, pad="same", dilation=2, groups=5),
            make(6, (3, 10, 7), kernel=5, stride=2, pad=(2, 1), groups=3),
            make(4, (4, 23), kernel=3, stride=2, dilation=4, pad=3, groups=4),
            make(
                4,
                (2, 5, 6, 7),
                kernel=(2, 3, 2),
                stride=(2, 2, 1),
                dilation=(1, 3, 2),
                pad=[0, (3, 2), 1],
                groups=2,
            ),
        )


def check_groups(groups: int, channels: int, filters: int) -> None:
    """OpError unless the groups divide the channels on both sides."""
    if channels % groups == 0 and filters % groups == 0:
        return
    common = gcd(channels, filters)
    divisors = ", ".join(str(n) for n in range(1, common + 1) if common % n == 0)
    raise OpError(
        "bad-value",
        f"groups={groups} must divide the {channels} input channels and the {filters} filters",
        help=f"groups may be {divisors}",
        argument="groups",
    )
