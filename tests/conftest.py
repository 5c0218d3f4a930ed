"""Options and places that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is found to tests/golden; read the diff before you commit it",
    )
    parser.addoption(
        "--networks", type=int, default=60, help="how many random networks are compiled"
    )
    parser.addoption(
        "--first-network", type=int, default=0, metavar="SEED", help="the first one's seed"
    )
    parser.addoption(
        "--ill-formed", type=int, default=2000, help="how many random wrong specs are tried"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a compiled module run in one process: those of a file, unless it says."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::", maxsplit=1)[0]))


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile into a cache of this session, so that no earlier run can hide a fault."""
    if not os.environ.get("CNNC_TEST_CACHE"):
        session = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            session = session.parent  # one for all processes
        os.environ["CNNC_CACHE_DIR"] = str(session / "cache")
    else:
        os.environ["CNNC_CACHE_DIR"] = os.environ["CNNC_TEST_CACHE"]


@pytest.fixture
def plain_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules whose tiles the C compiler leaves rolled: a third of its time.

    For tests of how kernels are put together. What compilers make of each kernel is tests/ops's.
    """
    monkeypatch.setattr("cnnc.codegen.toolchain.GCC_FLAGS", ("-O1",))
    monkeypatch.setattr("cnnc.codegen.toolchain.CLANG_FLAGS", ("-O1",))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
