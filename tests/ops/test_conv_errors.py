"""What conv, depthwise and conv_transpose refuse, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from cnnc.ops import OPS
from cnnc.ops.field import OpError
from cnnc.ops.shapes import Shape

IMAGE = (6, 9, 8)
CASES: list[tuple[str, dict[str, Any], Shape, str, str]] = [
    ("conv", {"groups": 4}, IMAGE, "bad-value", "groups=4 must divide the 6 input channels"),
    ("conv", {"groups": 3}, IMAGE, "bad-value", "and the 8 filters"),
    ("conv", {"dilation": 5}, IMAGE, "kernel-too-large", "conv window 11x11 is larger"),
    ("conv", {"dilation": (2, 2, 2)}, IMAGE, "rank-mismatch", "dilation 2x2x2 has 3 axes"),
    ("conv_transpose", {"groups": 4}, IMAGE, "bad-value", "groups=4 must divide"),
    ("conv_transpose", {"stride": 2, "output_pad": 2}, IMAGE, "bad-value", "smaller than the str"),
    ("conv_transpose", {"output_pad": 1}, IMAGE, "bad-value", "output_pad 1 must be smaller"),
    ("conv_transpose", {"pad": 6}, IMAGE, "bad-value", "cuts all of the output off: 11 - 6 - 6"),
    ("conv_transpose", {"pad": -1}, IMAGE, "bad-value", "pad must not be negative"),
    ("conv_transpose", {"pad": "same", "stride": 4}, IMAGE, "bad-value", "reaches as far as"),
    ("conv_transpose", {}, (6,), "shape-mismatch", "conv_transpose needs channels and space"),
    ("depthwise", {}, (6,), "shape-mismatch", "depthwise needs channels and space"),
]


@pytest.mark.parametrize(("name", "given", "shape", "code", "message"), CASES)
def test_errors(name: str, given: dict[str, Any], shape: Shape, code: str, message: str) -> None:
    fields = OPS[name].FIELDS
    arguments = {f.name: f.default for f in fields} | {"kernel": 3, **given}
    if any(f.name == "filters" for f in fields):
        arguments["filters"] = 8
    with pytest.raises(OpError) as caught:
        OPS[name].bind(arguments, (shape,)).output_shape((shape,))
    assert caught.value.code == code
    assert message in caught.value.message
    assert caught.value.help or code == "bad-value"


def test_groups_may_be_any_common_divisor() -> None:
    with pytest.raises(OpError) as caught:
        OPS["conv"].bind(
            {f.name: f.default for f in OPS["conv"].FIELDS}
            | {"filters": 8, "kernel": 1, "groups": 8},
            ((12, 3, 3),),
        ).output_shape(((12, 3, 3),))
    assert caught.value.help == "groups may be 1, 2, 4"


def test_same_padding_of_a_transposed_convolution_multiplies_the_extents() -> None:
    arguments = {f.name: f.default for f in OPS["conv_transpose"].FIELDS}
    arguments |= {"filters": 8, "kernel": 3, "stride": 2, "pad": "same"}
    assert OPS["conv_transpose"].bind(arguments, (IMAGE,)).output_shape((IMAGE,)) == (8, 18, 16)
