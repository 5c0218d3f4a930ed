from __future__ import annotations

from pathlib import Path

import pytest

from cnnc import resources


def test_a_checkout_has_them_beside_the_package() -> None:
    assert resources.resource("grammar", "cnn.lark").is_file()
    assert resources.resource("specs", "lenet.cnn").is_file()
    assert resources.resource("templates").is_dir()


def test_a_wheel_has_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cnnc" / "specs").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "cnnc")
    assert resources.resource("specs", "a.cnn") == tmp_path / "cnnc" / "specs" / "a.cnn"
    assert resources.resource("grammar", "b") == tmp_path / "grammar" / "b"


def test_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_CACHE_DIR", str(tmp_path))
    assert resources.cache_directory() == tmp_path
    monkeypatch.delenv("CNNC_CACHE_DIR")
    assert resources.cache_directory().name == "cnnc"
