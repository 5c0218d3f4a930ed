"""--tune and --tuning as a user meets them. How long anything takes decides no test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cnnc as package
from cnnc.cli import cli
from cnnc.cli.tuning import SECONDS
from cnnc.measure.tune import SECONDS as MEASURED_SECONDS

SPEC = """
model tiny {
    input image: float32[17, 6, 6]
    conv(18, 3x3, pad=1) -> relu -> global_avgpool -> dense(3)
}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNC_TARGET", raising=False)
    Path("tiny.cnn").write_text(SPEC)


def cnnc(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, arguments, prog_name="cnnc", catch_exceptions=False)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.stderr
    return result


def test_compile_leaves_the_file_from_which_the_same_is_built() -> None:
    result = cnnc("compile", "tiny.cnn", "--tune-seconds", "0.001", "-o", "out")
    assert "tiny.tuning.json" in result.stdout
    assert "\x1b" not in result.stderr  # no bar where nobody looks
    written = json.loads(Path("out/tiny.tuning.json").read_text())
    assert written["model"] == "tiny"
    assert any("conv[" in key for key in written["kernels"])
    cnnc("compile", "tiny.cnn", "--tuning", "out/tiny.tuning.json", "-o", "again")
    assert Path("again/tiny.pyx").read_bytes() == Path("out/tiny.pyx").read_bytes()
    assert not Path("again/tiny.tuning.json").exists()
    program = cnnc("emit", "program", "tiny.cnn", "--tuning", "out/tiny.tuning.json").stdout
    assert "measured" in program


def test_measuring_and_a_file_exclude_each_other() -> None:
    result = cnnc("compile", "tiny.cnn", "--tune", "--tuning", "x.json", status=2)
    assert "give one" in result.stderr


def test_a_file_that_does_not_exist_is_an_error_in_words() -> None:
    result = cnnc("compile", "tiny.cnn", "--tuning", "x.json", status=1)
    assert result.stderr.startswith("error[tuning-file]: x.json cannot be read")


@pytest.mark.parametrize("command", ["compile", "train", "evaluate", "predict", "bench", "profile"])
def test_every_command_that_builds_can_be_tuned(command: str) -> None:
    text = cnnc(command, "--help").stdout
    for option in ("--tune ", "--tune-seconds", "--tuning FILE"):
        assert option in text


def test_the_command_line_s_time_is_the_library_s() -> None:
    assert SECONDS == MEASURED_SECONDS


def test_from_python() -> None:
    model = package.compile("tiny.cnn", tune=0.001)
    assert model(seed=0).num_parameters > 0
    cnnc("compile", "tiny.cnn", "--tune-seconds", "0.001")
    assert package.compile("tiny.cnn", tuning="tiny.tuning.json")(seed=0) is not None
    with pytest.raises(ValueError, match="give one"):
        package.compile("tiny.cnn", tune=1, tuning="tiny.tuning.json")
    with pytest.raises(TypeError, match="number of seconds"):
        package.compile("tiny.cnn", tune="fast")
    with pytest.raises(ValueError, match="number of seconds"):
        package.compile("tiny.cnn", tune=-1)
