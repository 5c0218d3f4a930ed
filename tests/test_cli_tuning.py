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
    (outcome,) = written["targets"].values()
    assert any("conv[" in key for key in outcome["kernels"])
    assert any(" by direct, winograd, winograd4: " in key for key in outcome["kernels"])
    cnnc("compile", "tiny.cnn", "--tuning", "out/tiny.tuning.json", "-o", "again")
    assert Path("again/tiny.pyx").read_bytes() == Path("out/tiny.pyx").read_bytes()
    assert not Path("again/tiny.tuning.json").exists()
    program = cnnc("emit", "program", "tiny.cnn", "--tuning", "out/tiny.tuning.json").stdout
    assert "measured" in program


def test_of_several_targets_those_that_run_here_are_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_PROCESSOR", "x86-64-v2")
    targets = ("--target", "x86-64-v2,x86-64-v3")
    tuned = ("compile", "tiny.cnn", *targets, "--tune-seconds", "0.001", "-o", "out")
    result = cnnc(*tuned)
    missing = "warning[tuning-file]: x86-64-v3 is not tuned, its kernels are the cost model's: "
    assert missing in result.stderr
    assert "cannot run it" in result.stderr
    file = Path("out/tiny.tuning.json")
    assert list(json.loads(file.read_text())["targets"]) == ["x86-64-v2"]
    again = cnnc("emit", "pyx", "tiny.cnn", *targets, "--tuning", str(file))
    assert missing in again.stderr
    sources = [Path(f"out/tiny.{target}.pyx").read_text() for target in ("x86-64-v3", "x86-64-v2")]
    assert again.stdout.strip() == "\n\n".join(sources).strip()
    target = ("--target", "x86-64")
    other = cnnc("emit", "pyx", "tiny.cnn", *target, "--tuning", str(file), status=1)
    assert "measured for x86-64-v2, and this build is for x86-64" in other.stderr
    assert "build for it: --target x86-64-v2" in other.stderr
    with pytest.warns(UserWarning, match="x86-64-v3 is not tuned"):
        package.compile("tiny.cnn", target=targets[1], tuning=file)
    file.write_text(file.read_text().replace('"cnnc": "', '"cnnc": "0.0.'))
    old = cnnc("emit", "program", "tiny.cnn", "--target", "x86-64-v2", "--tuning", str(file))
    assert "is of cnnc 0.0." in old.stderr
    # What was measured is remembered: only the file is to be written again, to a full disk.
    file.unlink()
    file.symlink_to("/dev/full")
    full = cnnc(*tuned, status=1)
    assert "cannot write out/tiny.tuning.json: No space left on device" in full.stderr


def test_interrupted_it_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("CNNC_CACHE_DIR", "cache")
    monkeypatch.setattr("cnnc.measure.tune.compile_spec", interrupted)
    result = cnnc("compile", "tiny.cnn", "--tune", "-o", "out", status=130)
    assert result.stderr.endswith("interrupted\n")
    assert not Path("out").exists()
    assert not list(Path("cache").rglob("*.json"))


def test_where_nothing_can_be_left_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnc.measure.tune.tune", lambda *_, **__: pytest.fail("measured"))
    Path("file").touch()
    result = cnnc("compile", "tiny.cnn", "--tune", "-o", "file", status=1)
    assert "file is not a directory" in result.stderr


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
