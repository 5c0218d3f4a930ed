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


class Regression:
    name = "line"
    classes = None

    def __init__(self):
        self.input_shapes, self.input_dtypes = {"x": (2,)}, {"x": "float32"}
        self.output_shapes, self.training = {"y": (1,)}, {"batch": 4}

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


def test_several_outputs_are_left_to_the_model(net, striped):
    figures = evaluate(net, striped.test_images, striped.test_labels)
    single, several = type(net).__call__, type("Several", (type(net),), {})
    several.__call__ = lambda self, images: (single(self, images), None)
    several.loss = lambda self, images, labels: 2.5
    several.predict = lambda self, images: single(self, images).argmax(axis=1)
    twin = evaluate(several(), striped.test_images, striped.test_labels)
    assert twin.loss == 2.5
    assert twin.accuracy == figures.accuracy


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
