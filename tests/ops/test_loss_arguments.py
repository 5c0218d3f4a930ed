"""What the losses refuse, and what they make of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnnc.ops import LOSSES
from cnnc.ops.cross_entropy import CrossEntropy
from cnnc.ops.field import OpError
from cnnc.ops.loss import LabelWeights


def bind(name: str, shape: tuple[int, ...], **given: Any) -> Any:
    kind = LOSSES[name]
    return kind.bind({f.name: f.default for f in kind.FIELDS} | given, (shape,))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("cross_entropy", {"label_smoothing": 1.5}, "label_smoothing must be at most 1, got 1.5"),
        ("cross_entropy", {"class_weights": [1.0, 2.0]}, "must be 3 numbers, one a class, got 2"),
        ("cross_entropy", {"class_weights": 2.0}, "must be 3 numbers, one a class, got one for"),
        ("cross_entropy", {"class_weights": [0.0] * 3}, "not all of them 0"),
        ("cross_entropy", {"class_weights": [1.0, 1e300, 1.0]}, "finite float32 numbers"),
        ("cross_entropy", {"ignore_index": 2**31}, "must be an int32 number, got 2147483648"),
        ("binary_cross_entropy", {"pos_weight": [1.0, 2.0]}, "has 2 numbers, .* 3 channels"),
        ("binary_cross_entropy", {"pos_weight": 1e300}, "finite float32 numbers"),
        ("huber", {"delta": 0.0}, "a delta above 0"),
        ("huber", {"delta": 1e-60}, "a delta above 0"),
        ("huber", {"delta": 1e300}, "a delta above 0"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    name: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(OpError, match=message) as caught:
        bind(name, (3, 4, 4), **given)
    assert caught.value.code == "bad-value"
    assert caught.value.argument == next(iter(given))


def test_labels_count_alike_unless_the_loss_says_so() -> None:
    assert all(kind().label_weights() is None for kind in LOSSES.values())
    assert CrossEntropy(0.5).label_weights() is None
    weighted = bind("cross_entropy", (2,), class_weights=[1.0, 3.0])
    assert weighted.label_weights() == LabelWeights(None, (1.0, 3.0))
    ignoring = bind("cross_entropy", (2,), ignore_index=-100)
    assert ignoring.label_weights() == LabelWeights(-100, None)


def test_pixels_are_averaged_by_the_loss_where_labels_count_alike() -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 5))
    operands = {"input": x, "target": np.ones((1, 4, 5), int)}
    mean = CrossEntropy().forward(operands)
    total = CrossEntropy(class_weights=(1.0, 1.0, 1.0)).forward(operands)
    np.testing.assert_allclose(total, 20 * mean)


def test_a_label_is_asked_for_at_every_position() -> None:
    assert CrossEntropy().target((10,)).shape == ()
    assert CrossEntropy().target((10, 4, 5)).shape == (4, 5)
    assert CrossEntropy().classes((10, 4, 5)) == 10
