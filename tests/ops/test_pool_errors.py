"""What pools, normalisation and the layers that move values refuse, as a spec's author sees it."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import CompileError, Source
from cnnc.frontend import parse, resolve

REFUSED = [
    ("maxpool(3, pad=3)", "bad-value", "maxpool pad 3 must be smaller than its window, 3"),
    ("maxpool(9)", "kernel-too-large", "maxpool window 9x9 is larger than its padded input 8 x 6"),
    ("avgpool(20, stride=2, ceil=yes)", "kernel-too-large", "avgpool window 20x20 is larger"),
    ("avgpool(2x2x2)", "rank-mismatch", "size 2x2x2 has 3 axes, the input has 2"),
    ("adaptive_avgpool(7x7x7)", "rank-mismatch", "size 7x7x7 has 3 axes, the input has 2"),
    ("flatten -> adaptive_avgpool(7)", "shape-mismatch", "adaptive_avgpool needs channels and"),
    ("flatten -> global_avgpool", "shape-mismatch", "global_avgpool needs channels and space"),
    ("global_maxpool -> global_maxpool", "shape-mismatch", "got a flat input (6)"),
    ("groupnorm(4)", "shape-mismatch", "cannot form 4 equal groups of (6, 8, 6)'s 6 channels"),
    ("groupnorm(2, eps=-1)", "bad-value", "groupnorm's eps must be at least 0"),
    ("groupnorm(2, 6)", "bad-value", "groupnorm's eps must be below 1, got 6"),
    ("batchnorm(6)", "bad-value", "batchnorm's eps must be below 1, got 6"),
    ("layernorm(6)", "bad-value", "layernorm's eps must be below 1, got 6"),
    ("prelu(6)", "bad-value", "prelu's init must be below 2, got 6"),
    ("upsample(2x2x2)", "rank-mismatch", "factor 2x2x2 has 3 axes, the input has 2"),
    ("upsample(2, mode=cubic)", "bad-value", "must be one of nearest, linear, bilinear"),
    ("upsample(2, align_corners=yes)", "bad-value", "align_corners is for linear interpolation"),
    ("flatten -> upsample(2)", "shape-mismatch", "upsample needs channels and space"),
    ("zero_pad(same)", "bad-value", "zero_pad has no window, so that pad=same means nothing"),
    ("zero_pad([1, 2, 3])", "rank-mismatch", "pad has 3 axes, the input has 2"),
    ("crop([4, (2, 4)])", "shape-mismatch", "crop cuts 4 + 4 off an extent of 8"),
    ("reshape([6, 8])", "shape-mismatch", "reshape to (6, 8) needs 48 values, got (6, 8, 6)"),
    ("reshape([1, 2, 3, 4, 12])", "bad-value", "reshape takes 1 to 4 dims, got 5"),
    ("slice(4, 4)", "bad-value", "slice needs start below stop, got 4 and 4"),
    ("slice(4, 7)", "shape-mismatch", "slice ends before channel 7, the input (6, 8, 6) has 6"),
    (
        "a, b = split(4); add(a, b)",
        "shape-mismatch",
        "split into 4 equal parts, but (6, 8, 6) has 6 channels",
    ),
    (
        "a, b = split([2, 3]); add(a, b)",
        "shape-mismatch",
        "split into 2 + 3 = 5, but (6, 8, 6) has 6",
    ),
]


@pytest.mark.parametrize(("chain", "code", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(chain: str, code: str, message: str) -> None:
    text = f"model example {{\ninput image: float32[6, 8, 6]\n{chain}\n}}\n"
    with pytest.raises(CompileError) as caught:
        resolve(parse(Source("example.cnn", text)))
    (found,) = caught.value.diagnostics
    assert found.code == code
    assert message in found.message


@pytest.mark.parametrize("layer", ["batchnorm(6)", "layernorm(6)", "groupnorm(2, 6)", "prelu(6)"])
def test_a_number_of_channels_is_no_eps(layer: str) -> None:
    text = f"model example {{\ninput image: float32[6, 8, 6]\n{layer}\n}}\n"
    with pytest.raises(CompileError) as caught:
        resolve(parse(Source("example.cnn", text)))
    (found,) = caught.value.diagnostics
    name, _, _ = layer.partition("(")
    assert found.help == f"{name} counts the channels itself: leave their number out"


ACCEPTED = [
    ("maxpool(3, stride=2, ceil=yes)", (6, 4, 3)),
    ("avgpool(10, stride=5, ceil=yes)", (6, 1, 1)),
    ("adaptive_avgpool(7x3)", (6, 7, 3)),
    ("global_avgpool", (6,)),
    ("global_maxpool(keep=yes)", (6, 1, 1)),
    ("upsample(2, mode=bilinear, align_corners=yes)", (6, 16, 12)),
    ("zero_pad([(0, 1), 2])", (6, 9, 10)),
    ("crop(1)", (6, 6, 4)),
    ("flatten -> reshape([12, 24])", (12, 24)),
    ("reshape(288)", (288,)),
    ("slice(0, 2)", (2, 8, 6)),
    ("a, b = split(2)\nconcat(b, a)", (6, 8, 6)),
    ("a, b, c = split([1, 3, 2])\nconcat(a, b, c) -> groupnorm(3) -> layernorm", (6, 8, 6)),
]


@pytest.mark.parametrize(("chain", "shape"), ACCEPTED, ids=[a[0] for a in ACCEPTED])
def test_accepted(chain: str, shape: tuple[int, ...]) -> None:
    text = f"model example {{\ninput image: float32[6, 8, 6]\n{chain}\n}}\n"
    graph = resolve(parse(Source("example.cnn", text)))
    assert graph.node(graph.outputs[0].tensor).shape == shape
