"""What several of these test modules need."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of what was measured: a test's own, for other processes write and read too.

    Modules are built once for all tests, in the cache that these share.
    """
    own = tmp_path / "memory"
    monkeypatch.setattr("cnnc.measure.memory.cache_directory", lambda: own)
    return own / "tuning"
