"""Options and places that all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.cython_server import cython_server
from tests.flags import plain

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is found to tests/golden; read the diff before you commit it",
    )
    parser.addoption(
        "--networks", type=int, default=32, help="how many random networks are compiled"
    )
    parser.addoption(
        "--first-network", type=int, default=0, metavar="SEED", help="the first one's seed"
    )
    parser.addoption(
        "--ill-formed", type=int, default=700, help="how many random wrong specs are tried"
    )


# A test's name says with whom it shares a module. xdist's own loadgroup is no help: it reads marks
# before they are set here, and pytest 9.2 takes no notice of what it makes of them. Without groups
# all processes wait for the one that compiles a module.


def unit_of(nodeid: str) -> str:
    """What runs in one process: the tests of a file, or those of its <one parameter>."""
    file = nodeid.split("::", maxsplit=1)[0]
    function, group, _ = nodeid.partition("[<")
    return file + nodeid[len(function) : nodeid.index(">", len(function)) + 1] if group else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is compiled for itself comes first, so that several processes end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: "[<" not in item.nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


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


@pytest.fixture(scope="session", autouse=True)
def _plain_code() -> Iterator[None]:
    with plain(), TemporaryDirectory(prefix="cnnc") as directory, cython_server(Path(directory)):
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
