"""Compiled templates are kept, each when it is first asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from cnnc.codegen.templates import template
print(*(template(name).name for name in sys.argv[1:]))
"""


def _asked(cache: Path, *names: str) -> list[str]:
    environment = {**os.environ, "CNNC_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", PROGRAM, *names]
    return subprocess.check_output(command, env=environment, text=True).split()


def _modules(cache: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in cache.glob("templates/*/*.py")}


def test_those_that_were_asked_for_are_kept_and_used(tmp_path: Path) -> None:
    assert _asked(tmp_path, "relu.pyx.j2") == ["relu.pyx.j2"]
    first = _modules(tmp_path)
    (path,) = first
    assert _asked(tmp_path, "relu.pyx.j2", "tanh.pyx.j2") == ["relu.pyx.j2", "tanh.pyx.j2"]
    assert len(_modules(tmp_path)) == 2
    assert first.items() <= _modules(tmp_path).items()
    path.write_text(path.read_text().replace("relu.pyx.j2", "changed.pyx.j2"))
    assert _asked(tmp_path, "relu.pyx.j2") == ["changed.pyx.j2"]


def test_without_room_they_are_compiled_anew(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    assert _asked(tmp_path / "file", "relu.pyx.j2") == ["relu.pyx.j2"]
