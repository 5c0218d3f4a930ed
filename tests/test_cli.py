"""The commands as a user meets them: words, files, exit statuses, and no traceback ever."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.numpy import load_file, save_file

from cnnc.cli import cli, specs
from cnnc.cli.report import count, show_table, size
from cnnc.codegen.build import EXTENSION_SUFFIX
from cnnc.ir.target import TARGETS
from cnnc.resources import resource
from cnnc.runtime import load_dataset

ROOT = Path(__file__).resolve().parents[1]
LENET = str(resource("specs", "lenet.cnn"))

TINY = """\
model tiny(classes=10) {
    input image: uint8[1, 28, 28]
    scale(1/255)
    maxpool(4x4)
    flatten
    dense(classes)
}

train {
    data      mnist
    loss      cross_entropy
    optimizer sgd(lr=0.1)
    batch     32
    epochs    1
}
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for this module, so that the tiny model is compiled once."""
    patch = pytest.MonkeyPatch()
    patch.setenv("CNNC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    patch.delenv("CNNC_TARGET", raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sixtieth of MNIST."""
    mnist = load_dataset("mnist")
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(
        path,
        train_images=mnist.train_images[:1000],
        train_labels=mnist.train_labels[:1000],
        test_images=mnist.test_images[:200],
        test_labels=mnist.test_labels[:200],
    )
    return str(path)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own to work in, with a small spec."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.cnn").write_text(TINY)
    return tmp_path


@pytest.fixture
def trained(here: Path, small_data: str) -> Path:
    assert cnnc("train", "tiny.cnn", "--data", small_data).exit_code == 0
    return here


def cnnc(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="cnnc", catch_exceptions=False)


def refused(*arguments: str, status: int = 1) -> str:
    """What a command that fails says; on standard output it says nothing."""
    result = cnnc(*arguments)
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def names_in(directory: str) -> set[str]:
    return {path.name for path in Path(directory).iterdir()}


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys, cnnc.cli; print(sorted({'numpy', 'lark', 'jinja2', 'rich', 'Cython', 'PIL', "
        "'filelock', 'importlib.metadata', 'cnnc.compiler', 'cnnc.runtime'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


def test_names_spelt_out_for_speed_are_right() -> None:
    from cnnc.compiler import STAGES

    assert tuple(STAGES) == specs.STAGES
    assert specs.CHECKED_STAGE in STAGES


@pytest.mark.parametrize("name", ["", *cli.commands])
def test_help(name: str) -> None:
    result = cnnc(*filter(None, [name]), "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: cnnc")
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_readme_lists_the_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in cli.commands:
        assert f"| `cnnc {name}" in readme


def test_readme_has_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "\n    pip install -e .  &&  cnnc train specs/lenet.cnn\n" in readme
    assert "\n    pip install -e '.[test]'  &&  pytest\n" in readme
    assert "pip install -q -e '.[test]' && pytest" in (ROOT / ".ci" / "run").read_text()


def test_readme_shows_the_shipped_spec() -> None:
    assert resource("specs", "lenet.cnn").read_text() in (ROOT / "README.md").read_text()


def test_module_is_a_command() -> None:
    command = [sys.executable, "-m", "cnnc", "--version"]
    assert re.fullmatch(r"cnnc \d+\.\d+\.\d+\S*\n", subprocess.check_output(command, text=True))


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["check"],
        ["emit", "soup", "x.cnn"],
        ["train", "x", "--lr=nan"],
        ["train", "x", "--epochs=0"],
        ["train", "x", f"--epochs={2**24}"],
        ["train", "x", f"--batch={2**24}"],
        ["compile", "x", "--target=x86-64-v9"],
        ["compile", "x", "--target=x86-64,x86-64"],
        ["emit", "pyx", "x", "--target=x86-64,aarch64"],
    ],
)
def test_wrong_command_line(arguments: list[str]) -> None:
    assert "Usage: cnnc" in refused(*arguments, status=2)


def test_check_good() -> None:
    result = cnnc("check", LENET)
    assert result.exit_code == 0
    assert result.stdout == f"{LENET}: lenet is fine: 61,706 parameters\n"
    assert cnnc("check", LENET, "--format", "json").stdout == "[]\n"


def test_check_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert cnnc("check", LENET).exit_code == 0


def test_check_bad(here: Path) -> None:
    Path("bad.cnn").write_text(TINY.replace("maxpool", "maxpol").replace("sgd", "sdg"))
    text = refused("check", "bad.cnn")
    assert "did you mean maxpool?" in text
    assert "--> bad.cnn:4:5" in text
    assert text.endswith("2 errors\n")
    assert "\x1b" not in text
    result = cnnc("check", "bad.cnn", "--format", "json")
    assert result.exit_code == 1
    assert result.stderr == ""
    records = json.loads(result.stdout)
    assert [(r["severity"], r["file"], r["line"]) for r in records] == [
        ("error", "bad.cnn", 4),
        ("error", "bad.cnn", 12),
    ]


@pytest.mark.parametrize("command", ["check", "summary", "compile", "train", "evaluate"])
@pytest.mark.parametrize("spec", ["missing.cnn", ".", "binary.cnn", "latin.cnn", "empty.cnn"])
def test_files_that_are_no_specs(command: str, spec: str, here: Path) -> None:
    Path("binary.cnn").write_bytes(bytes(range(256)))
    Path("latin.cnn").write_bytes("# réseau\n".encode("latin-1") + TINY.encode())
    Path("empty.cnn").touch()
    assert refused(command, spec).startswith("error[")


def test_verbose_says_how_long_stages_take() -> None:
    result = cnnc("check", "-v", LENET)
    assert re.search(r"^ +spec +\d+\.\d ms\n +graph +\d+\.\d ms$", result.stderr, re.MULTILINE)


def test_summary() -> None:
    result = cnnc("summary", LENET)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    conv2 = next(line for line in lines if line.startswith("conv2"))
    assert " ".join(conv2.split()) == "conv2 16x10x10 2,416 240,000 6.4 kB 14x14 1,883,200"
    total = next(line for line in lines if line.startswith("total"))
    assert total.split()[1] == "61,706"


def test_summary_for_programs() -> None:
    costs = json.loads(cnnc("summary", LENET, "--format", "json").stdout)
    assert costs["parameters"] == 61706
    layers = {layer["name"]: layer for layer in costs["layers"]}
    assert layers["conv1"]["dense_parameters"] == (784 + 1) * 6 * 784
    assert layers["conv1"]["field"] == [5, 5]


def test_parameters_of_the_model(here: Path) -> None:
    result = cnnc("check", "tiny.cnn", "--set", "classes=7")
    assert "350 parameters" in result.stdout
    assert "clases" in refused("check", "tiny.cnn", "--set", "clases=7")
    for wrong in ("classes", "classes=x", "=3", "classes=inf"):
        assert wrong in refused("check", "tiny.cnn", "--set", wrong, status=2)
    text = refused("check", "tiny.cnn", "--set", "classes=1e99", status=2)
    assert "'classes=1e99' is beyond 2**53" in text
    assert "twice" in refused("check", "tiny.cnn", "--set", "a=1", "--set", "a=2", status=2)


@pytest.mark.parametrize(
    ("value", "parameters"), [("yes", 600), ("True", 600), ("no", 500), ("false", 500)]
)
def test_flags_of_the_model(value: str, parameters: int, here: Path) -> None:
    text = TINY.replace("(classes=10)", "(classes=10, deep=no)")
    Path("flag.cnn").write_text(text.replace("dense(classes)", "dense(12 if deep else classes)"))
    result = cnnc("check", "flag.cnn", "--set", f"deep={value}")
    assert f"{parameters} parameters" in result.stdout, result.stderr


@pytest.mark.parametrize("stage", specs.STAGES)
def test_emit(stage: str, here: Path) -> None:
    result = cnnc("emit", stage, "tiny.cnn")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.strip()
    assert cnnc("emit", stage, "tiny.cnn", "-o", "out.txt").stdout == ""
    assert Path("out.txt").read_text() == result.stdout


def test_emit_for_another_machine(here: Path) -> None:
    texts = {name: cnnc("emit", "pyx", "tiny.cnn", "--target", name).stdout for name in TARGETS}
    assert len({*texts.values()}) == len(TARGETS)
    both = cnnc("emit", "pyx", "tiny.cnn", "--target", "x86-64,x86-64-v3").stdout
    assert both == "\n\n".join((texts["x86-64-v3"], texts["x86-64"]))


def test_emit_writes_or_says_why_not(here: Path) -> None:
    assert "cannot write ." in refused("emit", "spec", "tiny.cnn", "-o", ".")
    assert "cannot write no/x" in refused("emit", "spec", "tiny.cnn", "-o", "no/x")
    assert cnnc("emit", "spec", "tiny.cnn", "-o", os.devnull).exit_code == 0
    assert not Path(os.devnull).is_file()
    assert names_in(".") == {"tiny.cnn"}


def test_closed_pipe_is_no_error(here: Path) -> None:
    command = f"{sys.executable} -m cnnc emit pyx tiny.cnn | head -c 1"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    assert answer.stderr == ""


def test_compile_leaves_files_and_says_how_to_import(here: Path) -> None:
    result = cnnc("compile", "tiny.cnn")
    assert result.exit_code == 0
    assert result.stdout.startswith("tiny: ")
    assert "import tiny" in result.stdout
    made = {f"tiny{EXTENSION_SUFFIX}", "tiny.pyx", "tiny.pyi"}
    assert names_in(".") == {*made, "tiny.cnn"}
    assert all(name in result.stdout for name in made)
    program = "import tiny; print(tiny.Model().num_parameters)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "500\n"
    again = cnnc("compile", "tiny.cnn", "--output", "sub/directory")
    assert "taken from the cache" in again.stdout
    assert "sub/directory on PYTHONPATH" in again.stdout
    assert names_in("sub/directory") == made


def test_compile_says_that_it_takes_a_while(here: Path) -> None:
    Path("slow.cnn").write_text(TINY.replace("tiny", "slow"))
    first, again = cnnc("compile", "slow.cnn"), cnnc("compile", "slow.cnn")
    assert (first.stderr, again.stderr) == ("compiling slow ...\n", "")
    assert "compiling" not in first.stdout


def test_what_is_checked_before_the_compile(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "'mnits'" in refused_by_train("--data", "mnits")
    assert "cannot write no/x" in refused_by_train("-o", "no/x")
    for command in (("evaluate", "tiny.cnn"), ("predict", "tiny.cnn", "x.png")):
        assert "make them with: cnnc train tiny.cnn" in refused(*command)
    Path("tiny.cnn").write_text(TINY.replace("data      mnist", ""))
    assert "names no data" in refused_by_train()
    Path("tiny.cnn").write_text(TINY.partition("train")[0])
    text = refused("predict", "tiny.cnn", "x.png")
    assert "cnnc train" not in text
    assert "--weights PATH" in text
    assert "tiny has no classes" in refused("predict", "tiny.cnn", "x", "--top", "2", status=2)


def test_outputs_that_are_not_finite(trained: Path, small_data: str) -> None:
    weights = load_file("tiny.safetensors")
    save_file({name: value * np.float32("nan") for name, value in weights.items()}, "nan")
    np.save("x.npy", np.zeros((1, 28, 28), np.uint8))
    command = ("predict", "tiny.cnn", "x.npy", "--weights", "nan")
    assert cnnc(*command).stdout == "x.npy: the outputs are not finite\n"
    assert json.loads(cnnc(*command, "--format", "json").stdout, parse_constant=pytest.fail) == [
        {"file": "x.npy", "class": None, "probabilities": [None] * 10}
    ]
    command = ("evaluate", "tiny.cnn", "--data", small_data, "--weights", "nan")
    text = cnnc(*command).stdout
    assert "the outputs are not finite" in text
    assert "accuracy" not in text
    figures = json.loads(cnnc(*command, "--format", "json").stdout, parse_constant=pytest.fail)
    assert [figures[name] for name in ("loss", "accuracy", "confusion")] == [None] * 3


@pytest.mark.parametrize("module", ["cnnc.cli", "click"])
def test_ctrl_c_during_the_imports(module: str) -> None:
    program = f"""
import sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
from cnnc.__main__ import main
main()
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (130, "interrupted\n")


def test_ctrl_c_while_the_arguments_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parse_args", interrupt)
    assert "interrupted" in refused("--help", status=130)


def test_compile_that_cannot(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = refused("compile", "tiny.cnn", "-o", "tiny.cnn")
    assert text.startswith("error[build-output]: tiny.cnn is not a directory")
    machine = TARGETS["x86-64"].machine
    other = "x86-64" if os.uname().machine != machine else "aarch64"
    assert "error[build-target]" in refused("compile", "tiny.cnn", "--target", other)
    monkeypatch.setenv("CNNC_CACHE_DIR", "tiny.cnn")
    assert "error[build-cache]" in refused("compile", "tiny.cnn")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "error[build-no-compiler]" in refused("compile", "tiny.cnn")


def test_train_evaluate_predict(here: Path, small_data: str) -> None:
    result = cnnc("train", "tiny.cnn", "--data", small_data, "--epochs", "2", "--seed", "1")
    assert result.exit_code == 0
    assert re.search(r"^test accuracy: \d\d\.\d\d %$", result.stdout, re.MULTILINE)
    assert "cnnc predict tiny.cnn" in result.stdout
    evaluating = f"  cnnc evaluate tiny.cnn --weights tiny.safetensors --data {small_data}\n"
    assert evaluating in result.stdout
    assert "tiny is fine" in result.stderr
    assert Path("tiny.safetensors").is_file()

    figures = cnnc("evaluate", "tiny.cnn", "--data", small_data, "--format", "json")
    measured = json.loads(figures.stdout)
    assert measured["samples"] == 200
    assert f"test accuracy: {100 * measured['accuracy']:.2f} %" in result.stdout
    assert sum(map(sum, measured["confusion"])) == 200
    text = cnnc("evaluate", "tiny.cnn", "--data", small_data, "--weights", "tiny.safetensors")
    assert f"accuracy  {100 * measured['accuracy']:.2f} %" in text.stdout

    images = load_dataset("mnist").test_images[:3]
    Image.fromarray(images[0]).save("one.png")
    np.save("two.npy", images[1:])
    answer = cnnc("predict", "tiny.cnn", "one.png", "two.npy", "--format", "json")
    predictions = json.loads(answer.stdout)
    assert [p["file"] for p in predictions] == ["one.png", "two.npy[0]", "two.npy[1]"]
    for prediction in predictions:
        assert sum(prediction["probabilities"]) == pytest.approx(1)
        assert prediction["class"] == int(np.argmax(prediction["probabilities"]))
    table = cnnc("predict", "tiny.cnn", "one.png", "--top", "2").stdout.splitlines()
    assert table[0].split() == ["file", "likeliest", "second"]
    assert table[1].split()[:2] == ["one.png", str(predictions[0]["class"])]


def test_same_seed_same_weights(here: Path, small_data: str) -> None:
    for name, threads in (("a", "1"), ("b", "2")):
        arguments = ("--data", small_data, "-o", name, "--threads", threads, "--seed", "3")
        assert cnnc("train", "tiny.cnn", *arguments).exit_code == 0
    assert Path("a").read_bytes() == Path("b").read_bytes()


def test_what_training_needs(here: Path) -> None:
    assert "no data set is called 'mnits'" in refused_by_train("--data", "mnits")
    assert "cannot write no/x" in refused_by_train("-o", "no/x")
    assert "cannot write ." in refused_by_train("-o", ".")
    assert "it is not a file" in refused_by_train("-o", os.devnull)
    Path("tiny.cnn").write_text(TINY.partition("train")[0])
    assert "has no train block" in refused_by_train()
    assert names_in(".") == {"tiny.cnn"}


def refused_by_train(*arguments: str) -> str:
    return refused("train", "tiny.cnn", *arguments)


def test_training_that_diverges(here: Path, small_data: str) -> None:
    result = cnnc("train", "tiny.cnn", "--data", small_data, "--lr", "3e38", "--epochs", "9")
    assert result.exit_code == 1
    assert "try a learning rate below" in result.stderr
    assert not Path("tiny.safetensors").exists()


def test_wrong_weights(trained: Path, small_data: str) -> None:
    data = ("--data", small_data)
    assert "cnnc train tiny.cnn" in refused("evaluate", "tiny.cnn", *data, "--weights", "missing")
    assert "Is a directory" in refused("evaluate", "tiny.cnn", *data, "--weights", ".")
    text = refused("evaluate", "tiny.cnn", *data, "--weights", "tiny.cnn")
    assert "tiny.cnn does not hold weights of tiny" in text
    text = refused("evaluate", "tiny.cnn", *data, "--set", "classes=11")
    assert "does not hold weights" in text


@pytest.mark.parametrize("file", ["missing.png", ".", "tiny.cnn", "tiny.safetensors", "big.png"])
def test_files_that_cannot_be_predicted(file: str, trained: Path) -> None:
    Image.new("L", (60, 60)).save("big.png")
    assert file in refused("predict", "tiny.cnn", file)


def test_resize(trained: Path) -> None:
    Image.new("L", (60, 60)).save("big.png")
    assert cnnc("predict", "tiny.cnn", "big.png", "--resize").exit_code == 0


def test_a_table_in_a_pipe_cuts_nothing(trained: Path) -> None:
    directory = Path("d" * 90)
    directory.mkdir()
    Image.new("L", (28, 28)).save(directory / "x.png")
    row = cnnc("predict", "tiny.cnn", str(directory / "x.png"), "--top", "5").stdout.splitlines()[1]
    assert row.startswith(str(directory / "x.png"))
    assert row.count("%") == 5


@pytest.mark.parametrize(("columns", "cut"), [("60", True), ("200", False)])
def test_a_table_is_as_wide_as_the_terminal(
    columns: str, cut: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    name = "stage3_block2_" * 4
    show_table(["layer", "params"], [[name, "1,234"]])
    shown = click.unstyle(capsys.readouterr().out)
    assert "1,234" in shown
    assert (name not in shown) is cut
    assert max(map(len, shown.splitlines())) <= int(columns)


def test_ctrl_c_saves_the_weights_so_far(trained: Path, small_data: str) -> None:
    finished = Path("tiny.safetensors").read_bytes()
    command = ["train", "tiny.cnn", "--data", small_data, "--epochs", "1000000"]
    with subprocess.Popen(
        [sys.executable, "-m", "cnnc", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, SIGINT is ignored and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch 1/")
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the weights so far are in tiny.interrupted.safetensors" in stderr
    assert "Traceback" not in stderr
    assert Path("tiny.safetensors").read_bytes() == finished
    weights = ("--weights", "tiny.interrupted.safetensors")
    assert cnnc("evaluate", "tiny.cnn", "--data", small_data, *weights).exit_code == 0


def test_cache(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_CACHE_DIR", "cache")
    assert "deleted 0 modules," in cnnc("cache", "clear").stdout
    assert not Path("cache").exists()
    assert "cache: 0 modules, 0 B" in cnnc("cache", "show").stdout
    cnnc("compile", "tiny.cnn")
    assert "1 module," in cnnc("cache", "show").stdout
    assert "deleted 1 module," in cnnc("cache", "clear").stdout
    assert "cache: 0 modules, 0 B" in cnnc("cache", "show").stdout


def test_numbers() -> None:
    assert [count(n) for n in (0, 1234567, 12_345_678, 9_999_999_999, 10**21)] == [
        "0",
        "1,234,567",
        "12.3 M",
        "10 G",
        "1.00e+21",
    ]
    assert [size(n) for n in (0, 999, 1000, 18816, 3_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "18.8 kB",
        "3.0 MB",
    ]


SEVERAL = """
import "blocks.cnn"
model small(classes=2) { input x: float32[4]; doubled(classes) }
model large(classes=3, deep=no) {
    input x: float32[4]
    doubled(classes)
    dense(7) if deep else identity
}
train large { loss cross_entropy; optimizer sgd(0.1) }
"""


def test_a_model_is_named_after_a_colon(here: Path) -> None:
    (here / "several.cnn").write_text(SEVERAL)
    (here / "lib").mkdir()
    (here / "lib" / "blocks.cnn").write_text("block doubled(n) { dense(2 * n) }")
    search = ("-I", "lib")
    assert "small is fine: 20 parameters" in cnnc("check", "several.cnn:small", *search).stdout
    assert (
        "large is fine: 30 param"
        in cnnc("check", "several.cnn", "--model", "large", *search).stdout
    )
    assert "choose one after a colon: several.cnn:small" in refused("check", "several.cnn", *search)
    assert "two models are chosen" in refused(
        "check", "several.cnn:small", "--model", "large", *search
    )
    assert "there is no file blocks.cnn" in refused("check", "several.cnn:small")
    graph = cnnc("emit", "graph", "several.cnn:large", "--set", "deep=yes", *search).stdout
    assert "train cross_entropy" in graph
    assert "dense1 (7)" in graph
    assert "doubled1.dense1 (4)" in cnnc("emit", "graph", "several.cnn:small", *search).stdout
    assert "total" in cnnc("summary", "several.cnn:small", *search).stdout


def test_limits_are_options(here: Path) -> None:
    (here / "a.cnn").write_text(
        "block b { relu }\nmodel a { input x: float32[100]; repeat 4 { b }; dense(10) }"
    )
    for option in ("--max-nodes=4", "--max-parameters=99", "--max-memory=1kB", "--max-depth=1"):
        assert f"{option.partition('=')[0]} raises th" in refused("check", "a.cnn", option)
    assert cnnc("check", "a.cnn", "--max-memory", "2.5 MB").exit_code == 0
    assert "not a size such as" in refused("check", "a.cnn", "--max-memory", "big", status=2)
