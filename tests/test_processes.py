"""Tests that share a compiled module run in one process, or all but one of these wait for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import unit_of


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/a.py::test_x", "tests/a.py"),
        ("tests/a.py::test_x[3-<]", "tests/a.py"),
        ("tests/a.py::Test::test_x[v3-3]", "tests/a.py"),
        ("tests/a.py::test_x[<conv v3>-3]", "tests/a.py[<conv v3>"),
        ("tests/a.py::test_x[<conv v3>]", "tests/a.py[<conv v3>"),
    ],
)
def test_a_name_says_with_whom_a_test_runs(nodeid: str, unit: str) -> None:
    assert unit_of(nodeid) == unit


@pytest.mark.parametrize("number", range(8))
def test_a_file_is_one_process_s(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    _one_process("file", tmp_path_factory)


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("group", ["a", "b"], ids=["<a>", "<b>"])
def test_a_group_is_one_process_s(
    group: str, number: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _one_process(group, tmp_path_factory)


def _one_process(unit: str, factory: pytest.TempPathFactory) -> None:
    session = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent
    Path(session / f"process-{unit}-{os.getpid()}").touch()
    assert len(list(session.glob(f"process-{unit}-*"))) == 1
