"""That threads see what others wrote because the pool's atomics say so, on any processor.

x86 keeps loads and stores in an order that hides missing barriers; ThreadSanitizer does not.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cnnc.codegen.toolchain import find_compiler
from cnnc.resources import resource

ACQUIRE = "pool_read(at) __atomic_load_n(at, __ATOMIC_ACQUIRE)"


def _sanitized(folder: Path, pool: str) -> str:
    """What ThreadSanitizer says of a pool that is at work; nothing of a good one."""
    (folder / "pool.h").write_text(pool)
    source = Path(__file__).with_name("races.c")
    words = [*find_compiler().command, "-O1", "-g", "-pthread", "-fsanitize=thread"]
    words += [f'-DPOOL="{folder / "pool.h"}"', str(source), "-o", str(folder / "races")]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode != 0 and "tsan" in made.stderr:
        pytest.skip("this compiler has no ThreadSanitizer")
    assert made.returncode == 0, made.stderr
    ran = subprocess.run(
        [folder / "races"], capture_output=True, text=True, timeout=300, check=False
    )
    if "unexpected memory mapping" in ran.stderr:
        pytest.skip("ThreadSanitizer does not work with this kernel")
    return ran.stderr


@pytest.fixture
def pool() -> str:
    text = resource("templates").joinpath("pool.pyx.j2").read_text(encoding="utf-8")
    return text.split('"""')[1].partition("/* The process's pool")[0]


def test_no_thread_reads_what_it_need_not_see(pool: str, tmp_path: Path) -> None:
    assert _sanitized(tmp_path, pool) == ""


def test_a_missing_barrier_would_be_found(pool: str, tmp_path: Path) -> None:
    assert pool.count(ACQUIRE) == 1
    relaxed = pool.replace(ACQUIRE, ACQUIRE.replace("ACQUIRE", "RELAXED"))
    assert "data race" in _sanitized(tmp_path, relaxed)
