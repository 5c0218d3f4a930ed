"""Which targets words name, and what is said of words that name none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.codegen import build, toolchain
from cnnc.codegen.build import check_runs_here
from cnnc.codegen.processor import FEATURES, macros
from cnnc.codegen.python import find_python
from cnnc.codegen.toolchain import (
    Compiler,
    find_compiler,
    host_machine,
    host_targets,
    named_targets,
    native_target,
)
from cnnc.diagnostics import CompileError
from cnnc.ir.target import TARGETS, parse_targets


def test_order_says_nothing() -> None:
    found = {parse_targets(t) for t in ("x86-64-v2,x86-64-v4", " x86-64-v4 , x86-64-v2")}
    assert found == {(TARGETS["x86-64-v4"], TARGETS["x86-64-v2"])}
    assert parse_targets("aarch64") == (TARGETS["aarch64"],)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no target; the targets are x86-64-v4, "),
        ("x86-64-v3,", "'' is no target"),
        ("x86-64-v9", "'x86-64-v9' is no target"),
        ("x86-64-v3 x86-64-v2", "'x86-64-v3 x86-64-v2' is no target"),
        ("x86-64-v3,x86-64,x86-64-v3", "target x86-64-v3 is named twice"),
        ("x86-64,aarch64", "one module is for one architecture, and x86-64 and aarch64 are of two"),
    ],
)
def test_words_that_name_none(text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=message):
        parse_targets(text)
    with pytest.raises(CompileError, match=f"--target: {message}"):
        named_targets(text)
    if text:
        monkeypatch.setenv("CNNC_TARGET", text)
        with pytest.raises(CompileError, match=f"CNNC_TARGET: {message}"):
            host_targets()


def test_what_runs_what() -> None:
    names = ["x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64"]
    for place, name in enumerate(names):
        runs = [t.name for t in TARGETS.values() if t.runs_on(TARGETS[name])]
        assert runs == names[place:]
    assert [t.name for t in TARGETS.values() if t.runs_on(TARGETS["aarch64"])] == ["aarch64"]


def test_every_target_says_what_it_needs() -> None:
    assert list(FEATURES) == list(TARGETS)
    assert macros(TARGETS["x86-64"]) == {"__x86_64__"}
    assert macros(TARGETS["x86-64-v3"]) > macros(TARGETS["x86-64-v2"]) > macros(TARGETS["x86-64"])


@pytest.mark.parametrize("name", [t.name for t in TARGETS.values() if t.machine == "x86_64"])
def test_compilers_have_those_macros_for_that_target(name: str) -> None:
    compiler = find_compiler()
    if compiler.machine != "x86_64":
        pytest.skip("a compiler for another machine")
    command = (*compiler.command, *TARGETS[name].flags, "-dM", "-E", "-x", "c", "/dev/null")
    words = {line.split()[1] for line in toolchain._ask(command, "gcc").splitlines()}
    better = [t for t in TARGETS.values() if t.machine == "x86_64" and not t.runs_on(TARGETS[name])]
    assert macros(TARGETS[name]) <= words
    assert all(not macros(target) <= words for target in better)


def test_a_processor_is_taken_for_a_lower_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own = native_target()
    lower = [t for t in TARGETS.values() if t.runs_on(own)]
    for target in lower:
        monkeypatch.setenv("CNNC_PROCESSOR", target.name)
        assert native_target() is target
        check_runs_here(target)
        check_runs_here(own, target)
        if target is not own:
            with pytest.raises(CompileError, match=f"it is a machine for {target.name}"):
                check_runs_here(own)
    other = next(t.name for t in TARGETS.values() if t.machine != own.machine)
    for wrong, message in (
        (other, f"this processor is one for {own.name}"),
        ("x", "is no target"),
        (f"{own.name},{other}", "is no target"),
    ):
        monkeypatch.setenv("CNNC_PROCESSOR", wrong)
        with pytest.raises(CompileError, match=f"CNNC_PROCESSOR.*{message}"):
            native_target()


OTHER = "aarch64" if host_machine() != "aarch64" else "x86_64"


def other_compiler(system: str = "linux-gnu") -> Compiler:
    """What would be found for another machine."""
    return Compiler(("other-gcc",), "gcc (fake) 12.2.0", f"{OTHER}-unknown-{system}")


def test_a_compiler_for_another_machine_needs_its_python(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CNNC_PYTHON_INCLUDE", raising=False)
    with pytest.raises(CompileError, match=f"compiles for {OTHER}, and this Python is one for"):
        find_python(other_compiler())
    monkeypatch.setenv("CNNC_PYTHON_INCLUDE", str(tmp_path))
    with pytest.raises(CompileError, match="names no directory of Python's C headers"):
        find_python(other_compiler())
    (tmp_path / "patchlevel.h").write_text('#define PY_VERSION   "3.12.4+"\n')
    found = find_python(other_compiler())
    assert found.suffix == f".cpython-312-{OTHER}-linux-gnu.so"
    assert (found.version, found.includes) == ("3.12.4+", (str(tmp_path),))
    assert find_python(other_compiler("linux-musl")).suffix.endswith("-linux-musl.so")
    with pytest.raises(CompileError, match="is for compilers for Linux"):
        find_python(other_compiler("darwin20"))


def test_a_compiler_for_another_machine_makes_nothing_that_runs_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(toolchain, "host_machine", lambda: "s390x")
    monkeypatch.setattr(build, "host_machine", lambda: "s390x")
    # What it answers here must not be remembered.
    monkeypatch.setattr(toolchain, "_native_target", toolchain._native_target.__wrapped__)
    least = native_target()
    assert least is TARGETS["aarch64" if find_compiler().machine == "aarch64" else "x86-64"]
    with pytest.raises(
        CompileError, match=f"cannot run code for {least.name}: it is one for s390x"
    ):
        check_runs_here(least)
