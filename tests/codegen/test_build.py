"""Building through the cache: what is kept, what is rebuilt, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnc.codegen import build as build_module
from cnnc.codegen import cache as cache_module
from cnnc.codegen import commands, toolchain
from cnnc.codegen import python as python_module
from cnnc.codegen.build import EXTENSION_SUFFIX, Built, build, build_targets, load_extension
from cnnc.codegen.cache import Cache, make_key
from cnnc.codegen.files import appearing, write_file
from cnnc.codegen.toolchain import find_compiler, host_target
from cnnc.diagnostics import CompileError, Diagnostic
from cnnc.ir.target import TARGETS
from tests.flags import optimized

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """
cdef extern from *:
    '''
    typedef float vec __attribute__((vector_size(64), aligned(64)));
    '''
def answer():
    return 42
def fail():
    raise ValueError("as asked")
"""
STUB = "def answer() -> int: ...\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("CNNC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.delenv("CNNC_TARGET", raising=False)
    return Cache(tmp_path / "cache")


@pytest.fixture
def compile_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that notes each extension it makes; the file of notes."""
    calls = tmp_path / "calls"
    calls.touch()
    # -O0 comes last and wins: these tests are about files, not about speed.
    make_compiler(
        tmp_path,
        monkeypatch,
        f'case "$*" in *-shared*) echo x >> {calls};; esac',
        'case "$*" in *.o*) set -- "$@" -O0;; esac',
        real_compiler(),
    )
    return calls


def make_compiler(directory: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Make CC a shell script."""
    script = directory / "fake-cc"
    script.write_text("\n".join(("#!/bin/sh", *lines, "")))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(script))


def real_compiler() -> str:
    """The line of such a script that becomes the compiler, with the arguments as they are then."""
    return f'exec {shlex.join(find_compiler().command)} "$@"'


def failing_compiler(directory: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Make CC a script that is a GCC until it shall compile."""
    make_compiler(
        directory,
        monkeypatch,
        'case "$*" in',
        "*--version*) echo 'gcc (fake) 12.2.0'; exit;;",
        f"*-dumpmachine*) echo {find_compiler().triple}; exit;;",
        "*-print-prog-name*) echo lto1; exit;;",
        "esac",
        *lines,
    )


def build_tiny(output: Path | None = None, source: str = SOURCE, name: str = "tiny") -> Built:
    return build(name, source, STUB, TARGETS[find_native()], output)


def find_native() -> str:
    return "aarch64" if find_compiler().machine == "aarch64" else "x86-64"


def refused(error: pytest.ExceptionInfo[CompileError]) -> Diagnostic:
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.span is None
    return diagnostic


def leftovers(cache: Cache) -> list[Path]:
    work = cache.root / "work"
    return list(work.iterdir()) if work.is_dir() else []


def test_leaves_three_files_that_work(tmp_path: Path, cache: Cache) -> None:
    output = tmp_path / "new" / "directory"
    built = build_tiny(output)
    assert built.extension == output / f"tiny{EXTENSION_SUFFIX}"
    assert built.pyx.read_text() == SOURCE
    assert built.stub.read_text() == STUB
    assert sorted(output.iterdir()) == sorted([built.extension, built.pyx, built.stub])
    assert not built.cached
    assert leftovers(cache) == []
    path = list(sys.path)
    assert load_extension("tiny", built.loadable).answer() == 42
    assert sys.path == path
    assert "tiny" not in sys.modules
    # what a user does
    command = [sys.executable, "-c", "import tiny; print(tiny.answer())"]
    assert subprocess.check_output(command, cwd=output, text=True) == "42\n"


def test_extension_names_no_path_of_this_machine(tmp_path: Path) -> None:
    data = build_tiny().extension.read_bytes()
    assert b"tiny.pyx" in data
    assert str(tmp_path).encode() not in data


def test_second_build_comes_from_the_cache(tmp_path: Path, compile_calls: Path) -> None:
    first, second = build_tiny(), build_tiny(tmp_path / "out")
    assert (first.cached, second.cached) == (False, True)
    assert first.loadable == second.loadable
    assert second.extension.read_bytes() == first.extension.read_bytes()
    assert compile_calls.read_text() == "x\n"


@pytest.mark.parametrize("harm", ["truncate", "change", "delete", "manifest", "nonsense"])
def test_damaged_entry_is_refilled(harm: str, cache: Cache) -> None:
    entry, _ = cache.find_or_fill("a", fill(b"good"))
    match harm:
        case "truncate":
            (entry / "data").write_bytes(b"goo")
        case "change":
            (entry / "data").write_bytes(b"evil")
        case "delete":
            (entry / "data").unlink()
        case "manifest":
            (entry / "manifest.json").unlink()
        case "nonsense":
            (entry / "manifest.json").write_text("[1, 2")
    assert cache.find("a") is None
    assert cache.find_or_fill("a", fill(b"good")) == (entry, False)
    assert (entry / "data").read_bytes() == b"good"
    assert cache.find_or_fill("a", fill(b"other")) == (entry, True)
    assert leftovers(cache) == []


def test_truncated_extension_is_rebuilt(compile_calls: Path) -> None:
    extension = build_tiny().extension
    data = extension.read_bytes()
    extension.write_bytes(data[: len(data) // 2])
    again = build_tiny()
    assert (again.cached, again.extension.read_bytes()) == (False, data)
    assert compile_calls.read_text() == "x\n" * 2


def test_concurrent_builds_compile_once(tmp_path: Path, compile_calls: Path) -> None:
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from cnnc.codegen.build import build, load_extension
        from cnnc.ir.target import TARGETS
        built = build("tiny", {SOURCE!r}, {STUB!r}, TARGETS[{find_native()!r}], Path(sys.argv[1]))
        print(load_extension("tiny", built.extension).answer(), built.cached)
    """)
    builds = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / f"out{i % 2}")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(4)
    ]
    answers = [process.communicate(timeout=120)[0] for process in builds]
    assert sorted(answers) == ["42 False\n"] + ["42 True\n"] * 3
    assert compile_calls.read_text() == "x\n"


def test_everything_that_matters_is_in_the_key(
    compile_calls: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = []

    def note(self: Cache, key: str, fill: object) -> tuple[Path, bool]:
        keys.append(key)
        return tmp_path, True

    monkeypatch.setattr(Cache, "find_or_fill", note)
    target = TARGETS[find_native()]
    build("tiny", SOURCE, STUB, target)
    build("tiny", SOURCE, STUB, target)
    assert len(set(keys)) == 1
    build("other", SOURCE, STUB, target)
    build("tiny", SOURCE + "#", STUB, target)
    build("tiny", SOURCE, STUB + "#", target)
    monkeypatch.setattr(toolchain, "COMMON_FLAGS", ("-O1",))
    build("tiny", SOURCE, STUB, target)
    monkeypatch.setattr(python_module, "EXTENSION_SUFFIX", ".other.so")
    build("tiny", SOURCE, STUB, target)
    monkeypatch.setattr(build_module, "dispatcher", lambda: "")
    build("tiny", SOURCE, STUB, target)
    monkeypatch.setattr(build_module, "version_of", lambda _: "99")
    build("tiny", SOURCE, STUB, target)
    failing_compiler(tmp_path, monkeypatch)
    toolchain._identify.cache_clear()
    build("tiny", SOURCE, STUB, target)
    assert len(set(keys)) == 9


def test_key_keeps_its_parts_apart() -> None:
    assert make_key("ab", "c") != make_key("a", "bc")


def test_hit_imports_no_compiler(compile_calls: Path) -> None:
    with optimized():
        build_tiny()
    program = textwrap.dedent(f"""
        import sys
        from cnnc.codegen.build import build
        from cnnc.ir.target import TARGETS
        assert build("tiny", {SOURCE!r}, {STUB!r}, TARGETS[{find_native()!r}]).cached
        print(sorted({{"Cython", "filelock", "setuptools", "jinja2"}} & set(sys.modules)))
    """)
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


@pytest.mark.skipif(find_native() != "x86-64", reason="one target alone")
def test_parts_of_a_module_are_compiled_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two compilers ends when the other has started."""
    make_compiler(
        tmp_path,
        monkeypatch,
        f'case "$*" in *"-c tiny.x86-64"*) echo x >> {tmp_path}/seen',
        f'until [ "$(wc -l < {tmp_path}/seen)" = 2 ]; do sleep 0.01; done;; esac',
        real_compiler(),
    )
    monkeypatch.setattr(commands, "processors", lambda: 2)
    sources = {"x86-64": SOURCE, "x86-64-v2": SOURCE.replace("42", "43")}
    built = build_targets("tiny", sources, STUB, tmp_path / "out")
    assert [path.name for path in built.sources] == ["tiny.x86-64-v2.pyx", "tiny.x86-64.pyx"]
    assert load_extension("tiny", built.loadable).answer() == 43
    monkeypatch.setenv("CNNC_PROCESSOR", "x86-64")
    assert load_extension("tiny", built.loadable).answer() == 42


def test_a_gcc_without_link_time_optimization_builds_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_compiler(
        tmp_path,
        monkeypatch,
        'case "$*" in -print-prog-name=lto1) echo lto1; exit;; *-flto*) exit 1;; esac',
        real_compiler(),
    )
    with optimized():
        assert load_extension("tiny", build_tiny().loadable).answer() == 42


def test_replacing_a_loaded_extension_harms_nobody(tmp_path: Path, compile_calls: Path) -> None:
    old = build_tiny(tmp_path)
    module = load_extension("tiny", old.extension)
    new = build_tiny(tmp_path, SOURCE.replace("42", "43"))
    assert new.extension == old.extension
    assert module.answer() == 42
    with pytest.raises(ValueError, match="as asked"):
        module.fail()
    assert load_extension("tiny", new.loadable).answer() == 43


def test_error_in_generated_source(cache: Cache) -> None:
    with pytest.raises(CompileError) as error:
        build_tiny(source="def answer(:\n")
    diagnostic = refused(error)
    assert diagnostic.code == "build-failed"
    assert "Cython" in diagnostic.message
    assert any("tiny.pyx:1" in note for note in diagnostic.notes)
    kept = Path(diagnostic.notes[-1].rpartition(" ")[2])
    assert (kept / "tiny.pyx").read_text() == "def answer(:\n"
    assert "tiny.pyx" in (kept / "log.txt").read_text()
    assert leftovers(cache) == []
    assert cache.usage().entries == 0


def test_error_in_c(cache: Cache) -> None:
    with pytest.raises(CompileError) as error:
        build_tiny(source="cdef extern from *:\n    '''\n    #error no such luck\n    '''\n")
    diagnostic = refused(error)
    assert diagnostic.code == "build-failed"
    assert "the C compiler failed with exit status 1 on tiny" in diagnostic.message
    assert any("no such luck" in note for note in diagnostic.notes)
    assert (cache.root / "failed" / "tiny" / "tiny.c").is_file()
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("lines", "code", "help"),
    [
        (('echo "fatal error: x.s: No space left on device" >&2', "exit 1"),
         "build-cache", "CNNC_CACHE_DIR"),
        (("echo 'gcc: fatal error: Killed signal terminated program cc1' >&2", "exit 1"),
         "build-killed", "memory"),
        (("kill -9 $$",), "build-killed", "memory"),
        (('echo "cc1: error: bad value for \'-march=\' switch" >&2', "exit 1"),
         "build-failed", "GCC 11"),
    ],
)  # fmt: skip
def test_what_a_compiler_lacks(
    lines: tuple[str, ...],
    code: str,
    help: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing_compiler(tmp_path, monkeypatch, *lines)
    with pytest.raises(CompileError) as error:
        build_tiny(source="")
    diagnostic = refused(error)
    assert diagnostic.code == code
    assert help in (diagnostic.help or "")


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: "no-such-cc -pthread")
    with pytest.raises(CompileError) as error:
        find_compiler()
    assert refused(error).code == "build-no-compiler"
    assert refused(error).help


@pytest.mark.parametrize("command", ["no-such-cc", "'unclosed", "false", "."])
def test_a_cc_that_does_not_work_is_not_replaced(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", command)
    with pytest.raises(CompileError) as error:
        find_compiler()
    assert refused(error).code == "build-no-compiler"
    assert command in refused(error).message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("gcc -foo", "gcc -foo -march=native -dM -E -x c /dev/null"),
        ("false", "false --version"),
        ("true", "true -dumpmachine"),
        ("''", "CC='' names no compiler"),
    ],
)
def test_what_is_said_of_a_cc_that_does_not_work(
    command: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(command.partition(" ")[0]) is None and command != "''":
        pytest.skip(f"no {command}")
    if find_compiler().machine != "x86_64":
        words = words.replace("-march=native ", "")
    monkeypatch.setenv("CC", command)
    with pytest.raises(CompileError) as error:
        toolchain.native_target()
    assert f"CC={command}" in refused(error).message
    assert words in refused(error).message
    assert refused(error).help == "correct or unset the environment variable CC"


def test_cc_may_have_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = find_compiler()
    monkeypatch.setenv("CC", f"{plain.command[0]} -pipe")
    compiler = find_compiler()
    assert compiler.command[-1] == "-pipe"
    assert compiler.identity != plain.identity


def test_no_python_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = {**sysconfig.get_paths(), "include": str(tmp_path), "platinclude": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    with pytest.raises(CompileError) as error:
        build_tiny()
    assert refused(error).code == "build-no-headers"
    assert "python3-dev" in (refused(error).help or "")


def test_unusable_cache(cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache.root.write_text("in the way")
    with pytest.raises(CompileError) as error:
        build_tiny()
    assert refused(error).code == "build-cache"
    assert "CNNC_CACHE_DIR" in (refused(error).help or "")
    assert cache.root.read_text() == "in the way"


def test_unwritable_output(tmp_path: Path, compile_calls: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(CompileError) as error:
            build_tiny(output)
        assert refused(error).code == "build-output"
        assert refused(error).message == f"{tmp_path / 'file'} is not a directory"
    assert compile_calls.read_text() == ""
    (tmp_path / "out" / "tiny.pyi").mkdir(parents=True)
    with pytest.raises(CompileError) as error:
        build_tiny(tmp_path / "out")
    assert refused(error).code == "build-output"
    assert [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_messages_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    wanted = tmp_path / "missing" / "tiny.pyx"
    with pytest.raises(OSError) as error:  # noqa: PT011 - its file name is what matters
        write_file(wanted, b"")
    assert error.value.filename == str(wanted)
    (tmp_path / "full" / "x").mkdir(parents=True)
    with pytest.raises(OSError) as error, appearing(tmp_path / "full") as temporary:  # noqa: PT011
        temporary.touch()
    assert error.value.filename == str(tmp_path / "full")
    assert error.value.filename2 is None


def test_ctrl_c_leaves_no_half_file(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    # The compiler's child shall end too, as GCC's do.
    failing_compiler(tmp_path, monkeypatch, f"sleep 600 & echo $! > {started}", "wait")
    program = textwrap.dedent(f"""
        from pathlib import Path
        from cnnc.codegen.build import build
        from cnnc.ir.target import TARGETS
        target = TARGETS[{find_native()!r}]
        try:
            build("tiny", {SOURCE!r}, {STUB!r}, target, Path({str(tmp_path / "out")!r}))
        except KeyboardInterrupt:
            print("interrupted")
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, SIGINT is ignored and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    wait_for(lambda: started.exists() and started.read_text().strip() != "")
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "interrupted\n"
    assert not (tmp_path / "out").exists()
    assert leftovers(cache) == []
    assert cache.usage().entries == 0
    child = int(started.read_text())
    wait_for(lambda: is_dead(child))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_dead(pid: int) -> bool:
    """Whether a process is gone; one that nobody has waited for yet counts as gone."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return True
        return False


def test_native_target_is_one_that_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    target = host_target()
    assert target.machine == find_compiler().machine
    build_module.check_runs_here(target)
    monkeypatch.setenv("CNNC_TARGET", "aarch64")
    assert host_target() is TARGETS["aarch64"]
    monkeypatch.setenv("CNNC_TARGET", "pdp-11")
    with pytest.raises(CompileError, match="pdp-11") as error:
        host_target()
    assert refused(error).code == "build-target"
    assert "x86-64-v3" in refused(error).message


def test_weaker_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "native_target", lambda: TARGETS["x86-64-v3"])
    monkeypatch.setattr(build_module, "host_machine", lambda: "x86_64")
    build_module.check_runs_here(TARGETS["x86-64"])
    build_module.check_runs_here(TARGETS["x86-64-v4"], TARGETS["x86-64-v2"])
    for name in ("x86-64-v4", "aarch64"):
        with pytest.raises(CompileError) as error:
            build_module.check_runs_here(TARGETS[name])
        assert refused(error).code == "build-target"


def test_target_of_another_architecture() -> None:
    other = "x86-64" if find_native() == "aarch64" else "aarch64"
    with pytest.raises(CompileError) as error:
        build("tiny", SOURCE, STUB, TARGETS[other])
    assert refused(error).code == "build-target"


def test_no_unsafe_mathematics() -> None:
    compiler = find_compiler()
    for target in TARGETS.values():
        flags = {*compiler.flags(target), *compiler.link_flags(), *compiler.dispatcher_flags()}
        assert set(target.flags) <= flags
        assert "-ffast-math" not in flags
        assert "-Ofast" not in flags


def fill(data: bytes) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        (directory / "data").write_bytes(data)

    return write


def test_longest_unused_entries_go(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "SIZE_LIMIT", 3000)
    for index, key in enumerate(("a", "b", "c")):
        entry, _ = cache.find_or_fill(key, fill(bytes(800)))
        hours_ago = time.time() - 3600 * (10 - index)
        os.utime(entry / "manifest.json", (hours_ago, hours_ago))
    assert cache.find("a")  # of use once more
    cache.find_or_fill("d", fill(bytes(800)))
    assert [key for key in "abcd" if cache.find(key)] == ["a", "c", "d"]


def test_abandoned_work_goes(cache: Cache) -> None:
    old, new = cache.root / "work" / "old", cache.root / "work" / "new"
    for directory in (old, new):
        directory.mkdir(parents=True)
    os.utime(old, (1, 1))
    cache.find_or_fill("a", fill(b""))
    assert leftovers(cache) == [new]


def test_clear(cache: Cache) -> None:
    cache.find_or_fill("a", fill(bytes(100)))
    for name in ("templates", "tuning"):
        (cache.root / name / "old").mkdir(parents=True)
    usage = cache.clear()
    assert {path.name for path in cache.root.iterdir()} <= {"locks"}
    assert usage.entries == 1
    assert usage.bytes > 100
    assert cache.usage().entries == 0
    assert cache.find("a") is None


def test_failed_fill_leaves_nothing(cache: Cache) -> None:
    def write(directory: Path) -> None:
        (directory / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.find_or_fill("a", write)
    assert cache.usage().entries == 0
    assert leftovers(cache) == []


def test_manifest_lists_all_files(cache: Cache) -> None:
    entry, _ = cache.find_or_fill("a", fill(b"123"))
    files = json.loads((entry / "manifest.json").read_text())["files"]
    assert [*files] == ["data"]
    assert files["data"][0] == 3
