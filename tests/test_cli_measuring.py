"""bench and profile as a user meets them. How long anything takes decides no test."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cnnc.cli import cli

TINY = """
model tiny {
    input image: uint8[1, 8, 8]
    scale(1/255)
    conv(4, 3x3, pad=1) -> a_layer_with_quite_a_long_name: batchnorm -> relu -> maxpool(2x2)
    flatten -> dense(10)
}
train { loss cross_entropy; optimizer sgd(lr=0.1) }
"""

UNTRAINED = """
model untrained {
    input image: float32[2, 6, 6]
    relu
}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNC_TARGET", raising=False)
    monkeypatch.setattr("cnnc.measure.peak.TRIAD_FLOATS", 2**16)  # takes no time
    Path("tiny.cnn").write_text(TINY)
    Path("untrained.cnn").write_text(UNTRAINED)
    return tmp_path


def cnnc(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, arguments, prog_name="cnnc", catch_exceptions=False)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.stderr
    return result


def profiled(*arguments: str) -> str:
    return cnnc("profile", *arguments, "--seconds", "0.01").stdout


def test_a_profile_has_every_layer_with_its_whole_name() -> None:
    result = cnnc("profile", "tiny.cnn", "--seconds", "0.01", "--batch", "20", "--all")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("tiny, training, batch 20, ")
    shown = [" ".join(line.split()[:3]) for line in lines]
    for row in ("conv1 forward", "conv1 weight grad", "dense1 input grad", "sgd update"):
        assert any(line.startswith(row) for line in shown), row
    assert "\na_layer_with_quite_a_long_name" in result.stdout
    assert "measuring" in result.stderr
    assert "measuring" not in result.stdout


def test_a_profile_fits_a_terminal_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    # A CliRunner has a stream of its own in the place of sys.stdout.
    monkeypatch.setattr("cnnc.cli.measuring.on_terminal", lambda: True)
    found = profiled("tiny.cnn", "--all")
    assert max(map(len, found.splitlines())) <= 80
    assert "a_layer_with_quite_a_lo" not in found  # the end of a name says most


def test_the_smallest_calls_are_added_up_unless_all_are_asked_for() -> None:
    every = profiled("tiny.cnn", "--all")
    assert "smaller" not in every
    some = profiled("tiny.cnn")
    # What follows a segment once takes next to nothing beside a batch of 128.
    assert ("smaller" in some) == (some.count("\n") < every.count("\n") + 1)


def test_a_profile_of_inference() -> None:
    text = profiled("tiny.cnn", "--inference", "--all")
    assert text.startswith("tiny, inference, batch 64, ")
    assert "store" in text
    assert "grad" not in text
    assert profiled("untrained.cnn").startswith("untrained, inference, batch 64, ")


def test_the_longest_calls_first() -> None:
    found = json.loads(profiled("tiny.cnn", "--json"))
    assert found["laps"][0]["direction"] == "load"
    text = profiled("tiny.cnn", "--sort", "time", "--all")
    table = text.split("\n\n")[1].splitlines()[1:]
    shares = [float(re.findall(r" [\d.]+ +([\d.]+) +[\d.-]+ +[\d-]+ +", line)[0]) for line in table]
    assert shares == sorted(shares, reverse=True)


def test_a_profile_as_json() -> None:
    text = profiled("tiny.cnn", "--batch", "17", "--format", "json")
    assert text == text.strip() + "\n"
    found = json.loads(text)
    assert (found["name"], found["batch"], found["training"]) == ("tiny", 17, True)
    assert found["ceilings"]["gflops"] > 0
    assert set(found["ceilings"]["caches"]) == {"L1", "L2", "L3"}
    (conv,) = [
        lap for lap in found["laps"] if (lap["layer"], lap["direction"]) == ("conv1", "forward")
    ]
    assert conv["flops"] == 17 * 2 * 4 * 9 * 64
    assert conv["op"] == "conv 3x3"
    assert found["flops"] == sum(lap["flops"] for lap in found["laps"])


def test_bench_measures_what_is_asked_for() -> None:
    result = cnnc("bench", "tiny.cnn", "--batch", "3", "--threads", "1", "--seconds", "0.01")
    lines = result.stdout.splitlines()
    assert "1 thread, peak" in lines[0]
    assert [line.split()[:2] for line in lines[3:]] == [["3", "inference"], ["3", "training"]]
    assert max(map(len, lines)) <= 80


def test_bench_as_json_has_the_usual_batches() -> None:
    found = json.loads(cnnc("bench", "tiny.cnn", "--seconds", "0.01", "--json").stdout)
    cases = [(entry["training"], entry["batch"]) for entry in found["results"]]
    assert cases == [(False, 1), (False, 64), (True, 32), (True, 128)]
    for entry in found["results"]:
        assert entry["samples_per_second"] == pytest.approx(entry["batch"] / entry["seconds"])
    found = json.loads(cnnc("bench", "untrained.cnn", "--seconds", "0.01", "--json").stdout)
    assert [entry["training"] for entry in found["results"]] == [False, False]


@pytest.mark.parametrize("command", ["bench", "profile"])
def test_training_needs_a_train_block(command: str) -> None:
    result = cnnc(command, "untrained.cnn", "--training", status=1)
    assert "untrained.cnn has no train block" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["bench", "profile"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch", "0"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
        ("--batch", "many"),
        ("--format", "xml"),
    ],
)
def test_wrong_options_are_usage_errors(command: str, arguments: tuple[str, str]) -> None:
    assert arguments[0] in cnnc(command, "tiny.cnn", *arguments, status=2).stderr


def test_a_picture_without_matplotlib_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = cnnc("profile", "tiny.cnn", "--svg", "tiny.svg", status=1)
    assert "--svg needs matplotlib, which is not installed" in result.stderr
    assert "pip install 'cnnc[plot]'" in result.stderr
    assert "compiling" not in result.stderr
    assert not Path("tiny.svg").exists()


def test_a_picture_is_written() -> None:
    pytest.importorskip("matplotlib")
    assert "peak of one core" in profiled("tiny.cnn", "--svg", "tiny.svg")
    assert Path("tiny.svg").read_text().startswith("<?xml")
    result = cnnc("profile", "tiny.cnn", "--svg", "missing/tiny.svg", status=1)
    assert "cannot write missing/tiny.svg" in result.stderr
    Path("folder").mkdir()
    assert "is a directory" in cnnc("profile", "tiny.cnn", "--svg", "folder", status=1).stderr
    assert "is SVG" in cnnc("profile", "tiny.cnn", "--svg", "tiny.png", status=1).stderr
