"""train, evaluate and predict with models that are no plain classifiers of one input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cnnc.cli import cli

# A label a pixel, some of which count nothing; the class of a pixel is its brightness.
PIXELS = """
model pixels {
    input image: uint8[1, 6, 5]
    scale(1/255) -> conv(3, 1x1)
}
train { loss cross_entropy(ignore_index=255); optimizer adam(lr=0.05); data "pixels.npz"; epochs 4 }
"""

# Two inputs; two outputs that labels judge, and one that numbers do.
PATIENTS = """
model patients {
    input image: float32[1, 4, 4]
    input patient: float32[2]
    seen = image -> flatten
    concat(seen, patient) -> dense(8) -> relu
    kind = dense(3)
    stage = dense(2)
    size = dense(1)
    output kind, stage, size
}
train {
    loss      cross_entropy(output=kind)
    loss      cross_entropy(output=stage, weight=0.5)
    loss      mse(output=size, weight=0.1)
    optimizer sgd(lr=0.05)
    data      "patients.npz"
}
"""

# A code and the image that is made of it again.
CODES = """
model codes {
    input image: uint8[1, 9, 9]
    scale(1/255) -> flatten
    code = dense(2)
    again = code -> dense(81) -> sigmoid -> reshape([1, 9, 9])
    kind = code -> dense(4)
    output code, again, kind
}
train {
    loss      mse(output=again)
    loss      cross_entropy(output=kind)
    optimizer adam
}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNC_TARGET", raising=False)
    Path("pixels.cnn").write_text(PIXELS)
    Path("patients.cnn").write_text(PATIENTS)
    Path("codes.cnn").write_text(CODES)


def cnnc(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, arguments, prog_name="cnnc", catch_exceptions=False)
    assert "Traceback" not in result.stderr
    return result


def test_a_label_a_pixel() -> None:
    arrays = {}
    for part, count in (("train", 300), ("test", 40)):
        images = np.random.default_rng(count).integers(0, 256, (count, 6, 5), dtype=np.uint8)
        labels = images // 86
        labels[:, 0] = 255
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez("pixels.npz", **arrays)
    trained = cnnc("train", "pixels.cnn")
    assert trained.exit_code == 0, trained.output
    figures = json.loads(cnnc("evaluate", "pixels.cnn", "--format", "json").stdout)
    assert f"test accuracy: {100 * figures['accuracy']:.2f} %" in trained.stdout
    assert figures["samples"] == 40
    assert sum(map(sum, figures["confusion"])) == 40 * 5 * 5  # the first row of each counts nothing
    assert figures["accuracies"] == {"conv1": figures["accuracy"]}
    assert "predicted" in cnnc("evaluate", "pixels.cnn").stdout

    np.save("two.npy", arrays["test_images"][:2])
    answers = json.loads(cnnc("predict", "pixels.cnn", "two.npy", "--format", "json").stdout)
    assert [answer["file"] for answer in answers] == ["two.npy[0]", "two.npy[1]"]
    chosen = np.array(answers[0]["classes"])
    assert chosen.shape == (6, 5)
    table = cnnc("predict", "pixels.cnn", "two.npy", "--top", "1").stdout.splitlines()
    assert table[0].split() == ["file", "commonest"]
    shares = np.bincount(chosen.ravel(), minlength=3) / 30
    assert table[1].split()[1:3] == [str(shares.argmax()), f"{100 * shares.max():.2f}"]


def test_several_inputs_and_targets() -> None:
    arrays = {}
    for part, count in (("train", 100), ("test", 20)):
        rng = np.random.default_rng(count)
        arrays |= {
            f"{part}_image": rng.random((count, 4, 4)),
            f"{part}_patient": rng.random((count, 2)),
            f"{part}_kind_target": rng.integers(0, 3, count),
            f"{part}_stage_target": rng.integers(0, 2, count),
            f"{part}_size_target": rng.random(count),
        }
    np.savez("patients.npz", **arrays)
    trained = cnnc("train", "patients.cnn")
    assert trained.exit_code == 0, trained.output
    assert "cnnc predict" not in trained.stdout
    figures = json.loads(cnnc("evaluate", "patients.cnn", "--format", "json").stdout)
    assert set(figures["accuracies"]) == {"kind", "stage"}
    assert (figures["accuracy"], figures["confusion"]) == (None, None)
    text = cnnc("evaluate", "patients.cnn").stdout
    assert re.search(
        r"^accuracy  \d+\.\d\d % of kind\naccuracy  \d+\.\d\d % of stage$", text, re.MULTILINE
    )
    for change, words in (
        ({"train_patient": None}, "expected train_image, train_patient, train_kind_target, "),
        ({"train_kind_target": np.full(100, 3)}, "train: kind_target: labels within 3..3"),
        ({"test_stage_target": np.zeros(19, int)}, "20 test image, but 19 test stage_target"),
    ):
        changed = {name: a for name, a in {**arrays, **change}.items() if a is not None}
        np.savez("patients.npz", **changed)
        refused = cnnc("train", "patients.cnn")
        assert refused.exit_code == 1
        assert words in refused.stderr
    refused = cnnc("predict", "patients.cnn", "x.npy")
    assert refused.exit_code == 1
    assert "patients has 2 inputs (image, patient), and predict reads one" in refused.stderr


def test_several_outputs() -> None:
    arrays = {}
    for part, count in (("train", 30), ("test", 5)):
        images = np.random.default_rng(count).integers(0, 256, (count, 9, 9), dtype=np.uint8)
        arrays |= {
            f"{part}_image": images,
            f"{part}_again_target": images / 255,
            f"{part}_kind_target": np.arange(count) % 4,
        }
    np.savez("codes.npz", **arrays)
    assert cnnc("train", "codes.cnn", "--data", "codes.npz").exit_code == 0
    np.save("one.npy", arrays["test_image"][0])
    (answer,) = json.loads(cnnc("predict", "codes.cnn", "one.npy", "--format", "json").stdout)
    outputs = answer["outputs"]
    assert np.shape(outputs["code"]["output"]) == (2,)
    assert np.shape(outputs["again"]["output"]) == (1, 9, 9)
    assert sum(outputs["kind"]["probabilities"]) == pytest.approx(1)
    lines = cnnc("predict", "codes.cnn", "one.npy", "--top", "2").stdout.splitlines()
    assert lines[0] == f"one.npy code: {outputs['code']['output']}"
    assert re.match(r"one\.npy again: 1x9x9 numbers, 0\.\d+ to 0\.\d+, mean 0\.\d+ \(", lines[1])
    assert lines[2].split() == ["file", "likeliest", "second"]
    assert lines[3].split()[:3] == ["one.npy", "kind", str(outputs["kind"]["class"])]
