from __future__ import annotations

import numpy as np
import pytest

from cnnc.runtime import (
    DataError,
    accuracy,
    confusion_matrix,
    evaluate,
    fit,
    format_confusion,
    precision,
    recall,
)
from tests.runtime.conftest import plain_target


class Regression:
    name = "line"
    classes = None

    def __init__(self):
        self.input_shapes, self.input_dtypes = {"x": (2,)}, {"x": "float32"}
        self.output_shapes, self.training = {"y": (1,)}, {"batch": 4}
        self.targets = {"target": {"output": "y", "shape": (1,), "classes": None, "loss": "mse"}}

    def __call__(self, x):
        return x.sum(axis=1, keepdims=True)

    def loss(self, x, y):
        assert y.dtype == np.float32
        return float(np.mean((self(x) - y) ** 2))


@pytest.mark.parametrize("batch", [1, 7, 40, 1000])
def test_evaluate_agrees_with_the_model(net, striped, batch):
    fit(net, striped, epochs=1)
    images, labels = striped.test_images[:, None], striped.test_labels
    figures = evaluate(net, striped.test_images, labels, batch)
    assert figures.loss == pytest.approx(net.loss(images, labels), rel=1e-5)
    assert figures.accuracy == np.mean(net.predict(images) == labels)
    assert figures.count == figures.confusion.sum() == 40
    np.testing.assert_array_equal(figures.confusion.sum(axis=1), np.bincount(labels))


class Judged:
    """Two outputs that are its inputs: `kind` (classes, *space) and `size`; notes its calls."""

    name = "judged"
    classes = None

    def __init__(self, space=(), kind=None, size=None):
        self.input_shapes = {"a": (3, *space), "b": (1,)}
        self.input_dtypes = {"a": "float32", "b": "float32"}
        self.output_shapes = {"kind": (3, *space), "size": (1,)}
        self.training = {"batch": 4, "epochs": 1}
        self.learning_rate = 0.1
        label = plain_target(3) | {"output": "kind", "shape": space} | (kind or {})
        number = {"output": "size", "shape": (1,), "classes": None, "loss": "mse", "weight": 1.0}
        self.targets = {"kind_target": label}
        if size is not None:
            self.targets["size_target"] = number | size
        self.calls = []

    def __call__(self, a, b):
        assert a.dtype == b.dtype == np.float32
        return a, b

    def loss(self, a, b, kind, *size):
        """The share of wrong labels among those that count, by their weights."""
        self.calls.append(len(a))
        target = self.targets["kind_target"]
        weights = np.array(target["class_weights"] or [1, 1, 1])
        counts = kind != (-9 if target["ignore_index"] is None else target["ignore_index"])
        wrong, each = (a.argmax(axis=1) != kind)[counts], weights[kind[counts]]
        return float((wrong * each).sum() / each.sum()) if each.sum() else 0.0

    def train_step(self, a, b, kind, *size):
        return self.loss(a, b, kind, *size)


def judged_samples(count, space=(), ignored=None):
    rng = np.random.default_rng(count)
    kind = rng.integers(0, 3, (count, *space))
    if ignored is not None:
        kind[rng.random(kind.shape) < 0.4] = ignored
        kind[0] = ignored
    a = rng.standard_normal((count, 3, *space)).astype(np.float32)
    return {"a": a, "b": np.ones(count)}, kind


@pytest.mark.parametrize("batch", [1, 7, 40, None])
@pytest.mark.parametrize("space", [(), (2, 5)])
def test_only_labels_that_count_are_counted(batch, space):
    net = Judged(space, {"ignore_index": -1, "class_weights": (1.0, 2.0, 0.5)})
    images, kind = judged_samples(40, space, -1)
    figures = evaluate(net, images, kind, batch)
    counts, right = kind != -1, images["a"].argmax(axis=1) == kind
    assert figures.accuracy == right[counts].mean()
    assert figures.accuracies == {"kind": figures.accuracy}
    assert figures.confusion.sum() == counts.sum()
    assert figures.count == 40
    # The loss is the mean over all labels that count, whatever the batches.
    assert figures.loss == pytest.approx(net.loss(*images.values(), kind))


def test_where_no_label_counts_there_is_no_accuracy():
    net = Judged((), {"ignore_index": 7})
    figures = evaluate(net, *judged_samples(3, (), 7))
    images, kind = judged_samples(3)
    figures = evaluate(net, images, np.full_like(kind, 7))
    assert figures.loss == 0
    assert np.isnan(figures.accuracy)


def test_several_targets():
    net = Judged(size={})
    images, kind = judged_samples(30)
    labels = {"size_target": np.ones(30), "kind_target": kind}
    figures = evaluate(net, images, labels, 8)
    assert net.calls == [8, 8, 8, 6]
    assert figures.accuracy == np.mean(images["a"].argmax(axis=1) == kind)
    assert figures.loss == pytest.approx(1 - figures.accuracy)
    for wrong, words in [
        (kind, "judged takes the targets kind_target, size_target; expected a dict"),
        ({**labels, "size_target": np.ones(29)}, "30 samples of a, but 29 of size_target"),
        ({**labels, "kind_target": kind + 1}, "kind_target: labels within 1..3"),
    ]:
        with pytest.raises(DataError, match=words):
            evaluate(net, images, wrong)


def test_several_classifiers_have_accuracies_and_no_confusion():
    net = Judged()
    net.targets["size_target"] = net.targets["kind_target"] | {"output": "size", "classes": 1}
    images, kind = judged_samples(9)
    labels = {"kind_target": kind, "size_target": np.zeros(9, int)}
    figures = evaluate(net, images, labels)
    right = images["a"].argmax(axis=1) == kind
    assert figures.accuracies == {"kind": right.mean(), "size": 1.0}
    assert figures.accuracy is None
    assert figures.confusion is None


def test_large_samples_are_run_in_smaller_batches():
    net = Judged((40, 1000), {"ignore_index": 0})
    net.input_shapes["b"] = net.output_shapes["size"] = (2**20,)
    images, kind = judged_samples(40, (40, 1000))
    images["b"] = np.broadcast_to(np.float32(1), (40, 2**20))
    evaluate(net, images, kind)
    assert net.calls == [32, 8]


def test_a_regression_has_no_accuracy():
    x = np.arange(10.0).reshape(5, 2)
    figures = evaluate(Regression(), x, x.sum(axis=1) + 2, 2)
    assert figures.loss == pytest.approx(4)
    assert figures.accuracy is None
    assert figures.confusion is None
    assert figures.count == 5


def test_evaluate_refuses_what_does_not_fit(net, striped):
    images, labels = striped.test_images, striped.test_labels
    for bad, words in [
        ((images[:-1], labels), "39 images, but 40 labels"),
        ((images[:0], labels[:0]), "no samples"),
        ((images[:, :2], labels), "expected"),
        ((images, labels + 9), "classes"),
    ]:
        with pytest.raises(DataError, match=words):
            evaluate(net, *bad)
    with pytest.raises(ValueError, match="batch of 0"):
        evaluate(net, images, labels, 0)


def test_infinite_logits_give_nan_and_no_warning(net, striped):
    net.bias[0] = np.inf
    assert np.isnan(evaluate(net, striped.test_images, striped.test_labels).loss)


def test_confusion_by_hand():
    truth, predictions = np.array([0, 0, 1, 2, 2, 2], np.uint8), np.array([0, 1, 1, 2, 0, 2])
    matrix = confusion_matrix(truth, predictions, 4)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert accuracy(truth, predictions) == pytest.approx(4 / 6)
    np.testing.assert_allclose(recall(matrix), [1 / 2, 1, 2 / 3, np.nan])
    np.testing.assert_allclose(precision(matrix), [1 / 2, 1 / 2, 1, np.nan])
    assert format_confusion(matrix) == TABLE
    with pytest.raises(DataError, match=r"truth within 0\.\.2, expected 0\.\.1"):
        confusion_matrix(truth, predictions, 2)
    with pytest.raises(DataError, match=r"truth \(6,\) and predictions \(5,\)"):
        accuracy(truth, predictions[:5])


TABLE = """\
          predicted
    truth     0     1     2     3  recall
        0     1     1     .     .    50.0
        1     .     1     .     .   100.0
        2     1     .     2     .    66.7
        3     .     .     .     .       -
precision  50.0  50.0 100.0     -"""


@pytest.mark.parametrize("most", [1, 1135, 99999, 10**9])
@pytest.mark.parametrize("classes", [1, 2, 10, 100])
def test_text_stays_within_80_columns(classes, most):
    matrix = np.full((classes, classes), most, np.int64)
    lines = format_confusion(matrix).splitlines()
    assert max(map(len, lines)) <= 80
    if classes == 10 and most < 10**5:
        assert len(lines) == 13


def test_many_classes_show_the_commonest_confusions():
    matrix = np.diag(np.full(100, 50))
    matrix[7, 42], matrix[99, 3] = 3, 9
    assert format_confusion(matrix).splitlines() == [
        "12 of 5012 wrong; the commonest confusions:",
        "  99 taken for  3: 9 of 59",
        "   7 taken for 42: 3 of 53",
    ]
