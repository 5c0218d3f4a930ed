"""What the cache answers without a stage: the same request, and no other."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnnc.cli import cli
from cnnc.codegen.toolchain import find_compiler, native_target
from cnnc.compiler import Options, compile_spec, open_spec
from cnnc.diagnostics import Diagnostic
from cnnc.ir.target import TARGETS
from cnnc.limits import Limits
from cnnc.request import Request
from cnnc.resources import resource
from cnnc.tuning import Measured, Outcome, Tuning
from tests.flags import optimized

SPEC = """\
import "lib.cnn"
model m(n=2) {
    input x: float32[3]
    head(n)
}
"""
LIB = "block head(n) { dense(n, bias=no) }\n"
ROOT = Path(__file__).resolve().parent.parent
SLOW = ("cnnc.ops", "cnnc.passes", "cnnc.frontend", "numpy", "lark", "jinja2", "Cython", "filelock")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a compiler `cc` and a cache that holds the module, asked for elsewhere."""
    directory = tmp_path_factory.mktemp("before")
    (directory / "m.cnn").write_text(SPEC)
    (directory / "lib.cnn").write_text(LIB)
    # As what a test starts as a command compiles: the flags are part of a request.
    with pytest.MonkeyPatch.context() as patched, optimized():
        patched.delenv("CNNC_TARGET", raising=False)
        patched.setenv("CNNC_CACHE_DIR", str(directory / "cache"))
        make_compiler(directory / "cc", patched)
        compile_spec(directory / "m.cnn")
    shutil.rmtree(directory / "cache" / "requests")
    return directory


@pytest.fixture(autouse=True)
def here(tmp_path: Path, before: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(before, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("CNNC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("CC", str(before / "cc"))
    monkeypatch.delenv("CNNC_TARGET", raising=False)
    with optimized():
        yield tmp_path


def make_compiler(script: Path, monkeypatch: pytest.MonkeyPatch, version: str = "") -> None:
    """A compiler that is quick, since nothing here is about speed; it may say another version."""
    real = " ".join(find_compiler().command)
    says = f'case "$*" in *--version*) echo "{version}"; exit;; esac\n' if version else ""
    script.write_text(
        f'#!/bin/sh\n{says}case "$*" in *.o*) exec {real} "$@" -O0;; esac\nexec {real} "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(script))


def key(spec: str = "m.cnn", **options: object) -> str:
    request = Request.of(*open_spec(spec, Options(**options)))  # type: ignore[arg-type]
    assert request is not None
    return request.key


def test_the_second_time_imports_no_stage() -> None:
    program = f"""
import sys
from cnnc.cli import cli
cli(["compile", "m.cnn", "-o", sys.argv[1]], standalone_mode=False)
print(*(name for name in {SLOW} if name in sys.modules))
"""
    said = [
        subprocess.check_output([sys.executable, "-c", program, name], text=True).splitlines()
        for name in ("first", "second")
    ]
    assert "cnnc.ops" in said[0][-1]
    assert said[1][-1] == ""
    assert all("m: taken from the cache in" in lines[0] for lines in said)
    assert [line.replace("second", "first") for line in said[1][1:-1]] == said[0][1:-1]
    made = [
        {path.name: path.read_bytes() for path in Path(d).iterdir()} for d in ("first", "second")
    ]
    assert made[0] == made[1]


def test_forms_are_there_when_they_are_asked_for() -> None:
    first, again = compile_spec("m.cnn"), compile_spec("m.cnn")
    assert again.graph == first.graph
    assert again.fused == first.fused
    assert again.programs == first.programs
    assert again.load().Model().parameters.keys() == first.load().Model().parameters.keys()


def test_whoever_asks_for_stages_gets_them() -> None:
    compile_spec("m.cnn")
    told: list[str] = []
    compile_spec("m.cnn", on_stage=lambda stage, _: told.append(stage))
    assert told == ["spec", "graph", "grad", "fused", "program", "pyx", "build"]


def test_warnings_are_heard_every_time() -> None:
    Path("lib.cnn").write_text(LIB)
    Path("m.cnn").write_text(SPEC.replace("head(n)", "y = dense(7)\n    head(n)"))
    for _ in range(2):
        heard: list[Diagnostic] = []
        compile_spec("m.cnn", warn=heard.append)
        assert [warning.severity for warning in heard] == ["warning"]


def test_an_imported_file_that_changes_or_appears() -> None:

    def outputs() -> int:
        module = compile_spec("m.cnn", options=Options(search=("more",))).load()
        (shape,) = module.Model().output_shapes.values()
        return int(shape[0])

    assert outputs() == 2
    Path("lib.cnn").write_text(LIB.replace("dense(n", "dense(n + 1"))
    assert outputs() == 3
    Path("more").mkdir()
    Path("lib.cnn").rename("more/lib.cnn")
    assert outputs() == 3
    Path("lib.cnn").write_text(LIB)
    assert outputs() == 2


def test_an_import_that_leads_elsewhere(here: Path) -> None:
    """A link that leaves the search path is an error, whatever lies at its end."""
    compile_spec("m.cnn")
    outside = here.parent / f"{here.name}-outside.cnn"
    Path("lib.cnn").rename(outside)
    Path("lib.cnn").symlink_to(outside)
    result = CliRunner().invoke(cli, ["compile", "m.cnn"])
    assert result.exit_code == 1
    assert "bad-import" in result.stderr


def test_everything_that_matters_is_in_the_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = native_target()
    lower = next((t.name for t in TARGETS.values() if t.runs_on(native) and t != native), None)
    if lower is None:
        pytest.skip("this machine has one target")
    measured = {"k": Measured("direct", {"direct": 1.0})}
    keys = [
        key(),
        key(model="m"),
        key(parameters={"n": 1}),
        key(parameters={"n": True}),
        key(search=("more",)),
        key(limits=Limits(nodes=7)),
        key(algorithm="direct"),
        key(profile=True),
        key(alone=1),
        key(target=lower),
        key(target=f"{native.name},{lower}"),
        key(tuning=Tuning("m", {native.name: Outcome()})),
        key(tuning=Tuning("m", {native.name: Outcome(measured)})),
    ]
    with monkeypatch.context() as patched:
        patched.setenv("CNNC_TARGET", lower)
        keys.append(key())
    with monkeypatch.context() as patched:
        patched.setenv("CNNC_PROCESSOR", lower)
        assert key() == keys[-1]  # another way to the same target
    with monkeypatch.context() as patched:
        make_compiler(here / "other", patched, "gcc (other) 99.0")
        keys.append(key())
    Path("there").mkdir()
    shutil.copy("m.cnn", "there/m.cnn")
    keys.append(key("there/m.cnn"))
    Path("n.cnn").write_text(SPEC)
    keys.append(key("n.cnn"))
    Path("m.cnn").write_text(SPEC + "\n")
    keys.append(key())
    assert len(set(keys)) == len(keys)
    Path("m.cnn").write_text(SPEC)
    assert key() == keys[0]


@pytest.mark.parametrize("name", ["cnnc/ops/relu.py", "templates/relu.pyx.j2", "grammar/cnn.lark"])
def test_cnncs_own_sources_are_in_the_key(name: str, here: Path) -> None:
    copy = here / "copy"
    ignored = shutil.ignore_patterns("__pycache__", "datasets")
    shutil.copytree(ROOT / "cnnc", copy / "cnnc", ignore=ignored)
    for kind in ("grammar", "templates"):
        shutil.copytree(resource(kind), copy / kind)  # type: ignore[arg-type]
    program = (
        "from cnnc.compiler import open_spec; from cnnc.request import Request;"
        "print(Request.of(*open_spec('m.cnn')).key)"
    )

    def found() -> str:
        command = [sys.executable, "-c", program]
        return subprocess.check_output(
            command, text=True, env={**os.environ, "PYTHONPATH": str(copy)}
        )

    before = found()
    assert found() == before
    path = copy / name
    times = path.stat()
    path.write_text(path.read_text().replace("e", "a", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert found() != before


def test_sources_that_change_under_a_process_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnc.request._ITSELF", "what was loaded")
    compile_spec("m.cnn")
    assert not Path("cache/requests").exists()


@pytest.mark.parametrize("harm", ["entry", "file", "empty", "cut", "other", "list", "name"])
def test_damage_costs_time_only(harm: str) -> None:
    first = compile_spec("m.cnn")
    data = first.loadable.read_bytes()
    (note,) = Path("cache/requests").iterdir()
    text = note.read_text()
    if harm == "entry":
        shutil.rmtree(first.loadable.parent)
    elif harm == "file":
        first.loadable.write_bytes(data[:-1])
    else:
        harmed = {
            "empty": "",
            "cut": text[: len(text) // 2],
            "other": "\udcff\0",
            "list": "[1, 2]",
            "name": json.dumps({**json.loads(text), "name": "n"}),
        }[harm]
        note.write_bytes(harmed.encode(errors="surrogateescape"))
    again = compile_spec("m.cnn")
    assert again.cached is (harm not in ("entry", "file"))
    assert again.loadable.read_bytes()
    assert again.load().Model().name == "m"
    assert json.loads(note.read_text()) == json.loads(text)
    assert compile_spec("m.cnn").cached


def test_a_cache_that_cannot_be_written_is_read() -> None:
    compile_spec("m.cnn")
    shutil.rmtree("cache/requests")
    Path("cache/requests").write_text("in the way")
    assert compile_spec("m.cnn").cached


def test_answers_go_with_the_cache_and_with_age(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_spec("m.cnn")
    (old,) = Path("cache/requests").iterdir()
    os.utime(old, (0, 0))
    compile_spec("m.cnn", options=Options(parameters={"n": 3}))
    assert not old.exists()
    assert list(Path("cache/requests").iterdir())
    CliRunner().invoke(cli, ["cache", "clear"])
    assert not Path("cache/requests").exists()


def test_a_wrong_spec_is_told_before_a_missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    Path("m.cnn").write_text(SPEC.replace("head(n)", "haed(n)"))
    assert "unknown-layer" in CliRunner().invoke(cli, ["compile", "m.cnn"]).stderr
    Path("m.cnn").write_text(SPEC)
    assert "build-no-compiler" in CliRunner().invoke(cli, ["compile", "m.cnn"]).stderr


def test_output_that_cannot_be_written() -> None:
    compile_spec("m.cnn")
    result = CliRunner().invoke(cli, ["compile", "m.cnn", "-o", "lib.cnn"])
    assert "build-output" in result.stderr
