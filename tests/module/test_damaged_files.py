"""load on files that are damaged, or made to harm: refused by name, whatever they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.module.conftest import Case
from tests.module.weight_file import join_file, split_file


def _damages(header: dict[str, Any], body: bytes) -> dict[str, tuple[Any, bytes]]:
    """Headers and bodies that no reader may take."""

    def change(**entry: Any) -> dict[str, Any]:
        return {**header, "conv1.weight": {**header["conv1.weight"], **entry}}

    start, stop = header["conv1.weight"]["data_offsets"]
    at = header["hidden.weight"]["data_offsets"][0]
    return {
        "no json": (b"{" + b"x" * 90, body),
        "empty header": (b"", body),
        "a list": ([], body),
        "a number": (3, body),
        "null": (b"null", body),
        "no text": (b"\xff\xfe" * 40, body),
        "nested lists": (b"[" * 200_000, body),
        "nested objects": (b'{"a":' * 200_000, body),
        "nested and closed": (b"[" * 90_000 + b"]" * 90_000, body),
        "a long number": (b'{"a": ' + b"9" * 9999 + b"}", body),
        "entry null": ({**header, "conv1.weight": None}, body),
        "entry text": ({**header, "conv1.weight": "F32"}, body),
        "no dtype": (
            {**header, "conv1.weight": {"shape": [3, 2, 3, 3], "data_offsets": [start, stop]}},
            body,
        ),
        "metadata is a list": ({**header, "__metadata__": ["digest"]}, body),
        "shape of text": (change(shape="3233"), body),
        "shape of fractions": (change(shape=[3.0, 2, 3, 3]), body),
        "shape null": (change(shape=None), body),
        "shape negative": (change(shape=[-3, -2, 3, 3]), body),
        "shape huge": (change(shape=[2**62, 4, 3, 3]), body),
        "offsets null": (change(data_offsets=None), body),
        "offsets of text": (change(data_offsets=["0", "9"]), body),
        "offsets of fractions": (change(data_offsets=[float(start), float(stop)]), body),
        "one offset": (change(data_offsets=[start]), body),
        "three offsets": (change(data_offsets=[start, stop, stop]), body),
        "offsets negative": (change(data_offsets=[start - stop, 0]), body),
        "offsets swapped": (change(data_offsets=[stop, start]), body),
        "offsets past the end": (
            change(data_offsets=[len(body) - 8, len(body) - 8 + stop - start]),
            body,
        ),
        "offsets too near": (change(data_offsets=[start, stop - 4]), body),
        "offsets overlap": (change(data_offsets=[at, at + stop - start]), body),
        "offsets infinite": (
            json.dumps(change(data_offsets=[0, float("inf")])).encode(),
            body,
        ),
        "a hole in the data": (header, body + b"\0" * 8),
        "data cut short": (header, body[:-1]),
        "no data": (header, b""),
    }


DAMAGES = list(
    _damages(
        {
            "conv1.weight": {"data_offsets": [0, 0]},
            "hidden.weight": {"data_offsets": [0, 0]},
        },
        b"",
    )
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused(digits: Case, saved: Path, tmp_path: Path, damage: str) -> None:
    header, body = _damages(*split_file(saved))[damage]
    with pytest.raises(ValueError, match="damaged-file"):
        digits.module.Model.load(join_file(tmp_path / "damaged-file", header, body))


def test_a_file_cut_anywhere_is_refused(digits: Case, saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    for size in [*range(20), *range(20, len(data), 31), len(data) - 1]:
        (tmp_path / "cut").write_bytes(data[:size])
        with pytest.raises(ValueError, match="cut"):
            digits.module.Model.load(tmp_path / "cut")


@pytest.mark.parametrize("size", [2**31, 2**40, 2**63, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_is_refused(
    digits: Case, saved: Path, tmp_path: Path, size: int
) -> None:
    (tmp_path / "huge").write_bytes(size.to_bytes(8, "little") + saved.read_bytes()[8:])
    with pytest.raises(ValueError, match="huge"):
        digits.module.Model.load(tmp_path / "huge")


def test_garbage_is_refused(digits: Case, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for size in (0, 1, 7, 8, 9, 100, 5000):
        (tmp_path / "garbage").write_bytes(rng.bytes(size))
        with pytest.raises(ValueError, match="garbage"):
            digits.module.Model.load(tmp_path / "garbage")
    (tmp_path / "garbage").write_bytes(b"\0" * 1000)
    with pytest.raises(ValueError, match="garbage"):
        digits.module.Model.load(tmp_path / "garbage")
