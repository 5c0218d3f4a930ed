"""Random layers: what fits a shape, its text, and the shape that it gives, worked out here."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tests.property.pen import Pen

Shape = tuple[int, ...]
Made = tuple[str, Shape]
"""A layer's text and the shape of its result."""

CHANNELS = (1, 2, 3, 4, 5, 6, 8, 17)
LARGEST = 1500
"""Elements of a tensor, so that a network is compiled and run quickly."""
PARAMETERS = 6000
"""Of one layer."""


def channels(pen: Pen, most: int) -> int:
    known = [value for value in pen.scope.values() if 1 <= value <= most]
    if known and pen.flag(0.4):
        return pen.rng.choice(known)
    return pen.rng.choice([c for c in CHANNELS if c <= most] or [1])


def windows(pen: Pen, space: Shape, *, pool: bool = False) -> tuple[list[Any], ...]:
    """(kernel, stride, dilation, pads) for every axis; some alike on all of them."""
    rng = pen.rng
    alike = pen.flag(0.6)
    found: list[tuple[int, int, int, tuple[int, int]]] = []
    for n in space:
        k, s = rng.choice((1, 2, 3, 3, 4, 5)), rng.choice((1, 1, 1, 2, 2, 3, 4))
        d = 1 if pool else rng.choice((1, 1, 1, 2, 3))
        pad = rng.choice(((0, 0), (0, 0), (1, 1), (0, 1), (1, 0), (2, 1), (2, 2)))
        if alike and found:
            k, s, d, pad = found[0]
        if pool:
            pad = (min(pad[0], k - 1), min(pad[1], k - 1))
        padded = n + sum(pad)
        k = min(k, padded)
        if d * (k - 1) + 1 > padded:
            d = 1
        if pool:
            pad = (min(pad[0], k - 1), min(pad[1], k - 1))
            k = min(k, n + sum(pad))
            pad = (min(pad[0], k - 1), min(pad[1], k - 1))
            padded = n + sum(pad)
        found.append((k, min(s, padded), d, pad))
    kernel, stride, dilation, pads = map(list, zip(*found, strict=True))
    return kernel, stride, dilation, pads


def _options(pen: Pen, **given: tuple[str, bool]) -> dict[str, str]:
    """Options by name; one that may be left out, its default, often is."""
    return {name: text for name, (text, default) in given.items() if not default or pen.flag(0.15)}


def _init(pen: Pen) -> dict[str, str]:
    forms = ("he", "glorot", "uniform(0.3)", "constant(0.1)", "zeros")
    return {"init": pen.rng.choice(forms)} if pen.flag(0.2) else {}


def _outputs(
    space: Shape, kernel: list[int], stride: list[int], dilation: list[int], pads: list[Any]
) -> Shape:
    return tuple(
        (n + b + a - (d * (k - 1) + 1)) // s + 1
        for n, k, s, d, (b, a) in zip(space, kernel, stride, dilation, pads, strict=True)
    )


def conv(pen: Pen, shape: Shape, *, depthwise: bool = False) -> Made:
    c, *rest = shape
    space = tuple(rest)
    kernel, stride, dilation, pads = windows(pen, space)
    outputs = _outputs(space, kernel, stride, dilation, pads)
    pad = pen.padding(pads)
    if pen.flag(0.3):
        pad, outputs = "same", tuple(-(-n // s) for n, s in zip(space, stride, strict=True))
        stride = [min(s, n) for s, n in zip(stride, space, strict=True)]
        outputs = tuple(-(-n // s) for n, s in zip(space, stride, strict=True))
    bias = pen.flag(0.7)
    options = _options(
        pen,
        stride=(pen.extent(stride), all(s == 1 for s in stride)),
        pad=(pad, pad != "same" and all(p == (0, 0) for p in pads)),
        dilation=(pen.extent(dilation), all(d == 1 for d in dilation)),
        bias=(pen.yes(bias), bias),
    )
    options |= _init(pen)
    if depthwise:
        multiplier = pen.rng.choice((1, 1, 2, 3)) if c < 8 else 1
        options |= _options(pen, multiplier=(pen.count(multiplier), multiplier == 1))
        text = pen.call("depthwise", {"kernel": pen.extent(kernel)}, options)
        return text, (c * multiplier, *outputs)
    groups = pen.rng.choice([g for g in range(1, c + 1) if c % g == 0]) if pen.flag(0.3) else 1
    most = min(LARGEST // prod(outputs), PARAMETERS * groups // (c * prod(kernel)))
    filters = groups * channels(pen, max(most // groups, 1)) if groups > 1 else channels(pen, most)
    options |= _options(pen, groups=(pen.count(groups), groups == 1))
    required = {"filters": pen.count(filters), "kernel": pen.extent(kernel)}
    return pen.call("conv", required, options), (filters, *outputs)


def depthwise(pen: Pen, shape: Shape) -> Made:
    return conv(pen, shape, depthwise=True)


def conv_transpose(pen: Pen, shape: Shape) -> Made | None:
    c, *rest = shape
    space = tuple(rest)
    kernel, stride, dilation, pads = windows(pen, space)
    extra = pen.rng.choice((0, 0, 1, 2))
    extra = min(extra, min(max(s, d) for s, d in zip(stride, dilation, strict=True)) - 1)
    outputs = tuple(
        (n - 1) * s + d * (k - 1) + 1 - b - a + extra
        for n, k, s, d, (b, a) in zip(space, kernel, stride, dilation, pads, strict=True)
    )
    if min(outputs) < 1 or prod(outputs) > LARGEST:
        return None
    groups = pen.rng.choice([g for g in range(1, c + 1) if c % g == 0]) if pen.flag(0.2) else 1
    most = min(LARGEST // prod(outputs), PARAMETERS * groups // (c * prod(kernel)))
    filters = groups * channels(pen, max(most // groups, 1))
    bias = pen.flag(0.7)
    options = _options(
        pen,
        stride=(pen.extent(stride), all(s == 1 for s in stride)),
        pad=(pen.padding(pads), all(p == (0, 0) for p in pads)),
        output_pad=(str(extra), extra == 0),
        dilation=(pen.extent(dilation), all(d == 1 for d in dilation)),
        groups=(pen.count(groups), groups == 1),
        bias=(pen.yes(bias), bias),
    )
    required = {"filters": pen.count(filters), "kernel": pen.extent(kernel)}
    return pen.call("conv_transpose", required, options | _init(pen)), (filters, *outputs)


def pool(pen: Pen, shape: Shape) -> Made:
    c, *rest = shape
    space = tuple(rest)
    kernel, stride, _, pads = windows(pen, space, pool=True)
    default = pen.flag(0.4) and all(
        k <= n + b + a for k, n, (b, a) in zip(kernel, space, pads, strict=True)
    )
    if default:
        stride = kernel
    ceil = pen.flag(0.3)
    outputs = []
    for n, k, s, (b, a) in zip(space, kernel, stride, pads, strict=True):
        count = -(-(n + b + a - k) // s) + 1 if ceil else (n + b + a - k) // s + 1
        while ceil and (count - 1) * s >= n + b:
            count -= 1
        outputs.append(count)
    options = _options(
        pen,
        stride=(pen.extent(stride), default),
        pad=(pen.padding(pads), all(p == (0, 0) for p in pads)),
        ceil=(pen.yes(ceil), not ceil),
    )
    layer = pen.rng.choice(("maxpool", "avgpool"))
    if layer == "avgpool":
        counted = pen.flag()
        options |= _options(pen, count_pad=(pen.yes(counted), counted))
    return pen.call(layer, {"size": pen.extent(kernel)}, options), (c, *outputs)


def adaptive(pen: Pen, shape: Shape) -> Made:
    sizes = [pen.rng.choice((1, 2, 3, n, n + 1)) for n in shape[1:]]
    return pen.call("adaptive_avgpool", {"size": pen.extent(sizes)}), (shape[0], *sizes)


def whole_pool(pen: Pen, shape: Shape) -> Made:
    keep = pen.flag(0.4)
    layer = pen.rng.choice(("global_avgpool", "global_maxpool"))
    kept = tuple(1 for _ in shape[1:]) if keep else ()
    return pen.call(layer, {}, _options(pen, keep=(pen.yes(keep), not keep))), (shape[0], *kept)


def upsample(pen: Pen, shape: Shape) -> Made | None:
    factors = [pen.rng.choice((1, 2, 2, 3)) for _ in shape[1:]]
    if pen.flag(0.6):
        factors = [factors[0]] * len(factors)
    result = (shape[0], *(n * f for n, f in zip(shape[1:], factors, strict=True)))
    if prod(result) > LARGEST:
        return None
    linear, corners = pen.flag(), pen.flag(0.4)
    mode = pen.rng.choice(("linear", "bilinear")) if linear else "nearest"
    options = _options(pen, mode=(mode, not linear))
    if linear:
        options |= _options(pen, align_corners=(pen.yes(corners), not corners))
    return pen.call("upsample", {"factor": pen.extent(factors)}, options), result


def margins(pen: Pen, shape: Shape) -> Made | None:
    pads = [pen.rng.choice(((0, 1), (1, 0), (1, 1), (2, 0), (0, 3))) for _ in shape[1:]]
    if pen.flag(0.4):
        pads = [pads[0]] * len(pads)
    sign, layer = (1, "zero_pad") if pen.flag() else (-1, "crop")
    result = (shape[0], *(n + sign * (b + a) for n, (b, a) in zip(shape[1:], pads, strict=True)))
    if min(result) < 1 or prod(result) > LARGEST:
        return None
    return pen.call(layer, {"pad": pen.padding(pads)}), result


def norm(pen: Pen, shape: Shape) -> Made | None:
    eps, affine = pen.rng.choice((1e-5, 1e-3, 0.1)), pen.flag(0.8)
    kind = pen.rng.choice(("batchnorm", "batchnorm", "groupnorm", "layernorm"))
    required, options = {}, {}
    if kind == "batchnorm":
        momentum = pen.rng.choice((0.1, 0.3, 0.01, 1.0))
        options |= _options(pen, momentum=(pen.number(momentum), momentum == 0.1))
        among = prod(shape[1:])
    elif kind == "groupnorm":
        groups = pen.rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0])
        required = {"groups": pen.count(groups)}
        among = prod(shape) // groups
    else:
        among = prod(shape)
    # Of two values little but their order is left, and of one nothing: a kink of whatever follows.
    if among < 3 and (kind != "batchnorm" or not affine):
        return None
    options |= _options(pen, eps=(pen.number(eps), eps == 1e-5), affine=(pen.yes(affine), affine))
    return pen.call(kind, required, options), shape


ACTIVATIONS: tuple[Callable[[Pen], str], ...] = (
    lambda pen: "relu",
    lambda pen: "relu",
    lambda pen: "relu6",
    lambda pen: pen.call("leaky_relu", {}, {"slope": pen.number(pen.rng.choice((0.1, 0, -0.2)))}),
    lambda pen: "leaky_relu",
    lambda pen: pen.call("prelu", {}, _options(pen, shared=("yes", pen.flag()))),
    lambda pen: pen.call("elu", {}, _options(pen, alpha=(pen.number(0.7), pen.flag()))),
    lambda pen: pen.call("gelu", {}, _options(pen, approximate=("yes", pen.flag()))),
    lambda pen: "silu",
    lambda pen: "hardswish",
    lambda pen: "sigmoid",
    lambda pen: "hardsigmoid",
    lambda pen: "tanh",
    lambda pen: pen.call("softplus", {}, _options(pen, beta=(pen.number(2.5), pen.flag()))),
    lambda pen: "softmax",
    lambda pen: "log_softmax",
    lambda pen: "identity",
    lambda pen: pen.call("scale", {"factor": pen.number(pen.rng.choice((0.5, -1.25, 2)))}),
    lambda pen: pen.call("dropout", {}, _options(pen, rate=("0.2", pen.flag(0.3)))),
    lambda pen: pen.call("channel_dropout", {}, {"rate": pen.rng.choice(("0.3", "0"))}),
)


def activation(pen: Pen, shape: Shape) -> Made:
    return pen.rng.choice(ACTIVATIONS)(pen), shape


def normalize(pen: Pen, shape: Shape, largest: float = 1.0) -> Made:
    def numbers(low: float, high: float) -> str:
        values = [round(pen.rng.uniform(low, high), 3) for _ in range(shape[0])]
        return f"[{', '.join(map(str, values))}]" if pen.flag() else str(values[0])

    mean, std = numbers(0, 0.5 * largest), numbers(0.25 * largest, largest)
    return pen.call("normalize", {"mean": mean, "std": std}), shape


def dense(pen: Pen, shape: Shape) -> Made:
    units = channels(pen, max(PARAMETERS // shape[0], 1))
    bias = pen.flag(0.7)
    options = _options(pen, bias=(pen.yes(bias), bias)) | _init(pen)
    return pen.call("dense", {"units": pen.count(units)}, options), (units,)


def reshape(pen: Pen, shape: Shape) -> Made:
    total = prod(shape)
    divisors = [d for d in range(1, total + 1) if total % d == 0]
    first = pen.rng.choice(divisors)
    second = pen.rng.choice([d for d in divisors if (total // first) % d == 0])
    dims = pen.rng.choice(([first, total // first], [first, second, total // first // second]))
    if pen.flag(0.2):
        dims = [total]
    text = pen.count(total) if len(dims) == 1 and pen.flag() else f"[{', '.join(map(str, dims))}]"
    return pen.call("reshape", {"dims": text}), tuple(dims)


def cut(pen: Pen, shape: Shape) -> Made:
    start = pen.rng.randrange(shape[0])
    stop = pen.rng.randint(start + 1, shape[0])
    required = {"start": pen.count(start), "stop": pen.count(stop)}
    return pen.call("slice", required), (stop - start, *shape[1:])


def flatten(pen: Pen, shape: Shape) -> Made:
    return "flatten", (prod(shape),)


SPATIAL: tuple[tuple[Callable[[Pen, Shape], Made | None], int], ...] = (
    (conv, 8),
    (depthwise, 2),
    (conv_transpose, 3),
    (pool, 6),
    (adaptive, 1),
    (whole_pool, 1),
    (upsample, 2),
    (margins, 3),
    (flatten, 1),
)
ANYWHERE: tuple[tuple[Callable[[Pen, Shape], Made | None], int], ...] = (
    (norm, 3),
    (activation, 8),
    (normalize, 1),
    (reshape, 1),
    (cut, 1),
)
FLAT: tuple[tuple[Callable[[Pen, Shape], Made | None], int], ...] = ((dense, 8),)


def layer(pen: Pen, shape: Shape) -> Made:
    """A layer that fits."""
    table = (*ANYWHERE, *(SPATIAL if len(shape) > 1 else FLAT))
    makers, weights = zip(*table, strict=True)
    while True:
        (maker,) = pen.rng.choices(makers, weights)
        made = maker(pen, shape)
        if made is not None:
            return made
