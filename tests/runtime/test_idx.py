from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from cnnc.runtime import DataError, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array, code="u1"):
    array = np.asarray(array)  # a scalar's astype would drop the byte order
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[code], array.ndim, *array.shape)
    return header + array.astype(f">{code}").tobytes()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", [(), (5,), (0, 28, 28), (2, 3, 4, 5)], ids=str)
def test_reads_every_type_and_rank(tmp_path, code, shape, packed):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(code) - np.array(3, code)
    data = idx_bytes(array, code)
    path = tmp_path / "a.bin"
    path.write_bytes(gzip.compress(data) if packed else data)
    for name in (path, str(path)):
        found = read_idx(name)
        assert found.dtype == np.dtype(code)
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, array)
    found[...] = 1  # writable


def test_a_known_file_byte_by_byte(tmp_path):
    path = tmp_path / "a.idx"
    path.write_bytes(bytes.fromhex("00000b02 00000002 00000001 0102 fffe"))
    np.testing.assert_array_equal(read_idx(path), [[258], [-2]])


GOOD = idx_bytes(np.arange(24).reshape(2, 3, 4))
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["0 bytes", "at least 4"]),
        (GOOD[:3], ["3 bytes", "at least 4"]),
        (GOOD[:9], ["9 bytes", "header of 16", "rank 3"]),
        (GOOD[:-1], ["truncated", "23 bytes", "expected 24", "(2, 3, 4)"]),
        (GOOD + b"xx", ["too long", "26 bytes", "expected 24"]),
        (GOOD + bytes(3 << 20), ["too long", "at least", "expected 24"]),
        (b"\x89PNG\r\n", ["starts with 89 50 4e 47", "expected 00 00"]),
        (b"\0\0\x0a\x01\0\0\0\0", ["00 00 0a 01", "08, 09, 0b"]),
        (b"\0\0\x08\xff" + bytes(1020), ["rank 255", "at most 32"]),
        (b"\0\0\x0e\x04" + b"\xff" * 16, ["truncated", "0 bytes", "4294967295"]),
        (b"\0\0\x08\x03" + bytes(4) + b"\xff" * 8, ["a.idx"]),
        (PACKED[:30], ["gzip", "truncated"]),
        (PACKED[:-8], ["gzip", "truncated"]),
        (PACKED[:-8] + b"\0" * 8, ["damaged gzip", "CRC"]),
        (PACKED[:14] + b"\xff\xff\xff" + PACKED[17:], ["damaged gzip"]),
        (PACKED + b"junk", ["damaged gzip"]),
        (b"\x1f\x8b", ["gzip"]),
    ],
)
def test_damage_names_the_file_and_both_sides(tmp_path, data, words):
    path = tmp_path / "a.idx"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_idx(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("at", range(len(PACKED)))
def test_no_damaged_byte_goes_unseen(tmp_path, at):
    path = tmp_path / "a.idx"
    path.write_bytes(PACKED[:at])
    with pytest.raises(DataError):
        read_idx(path)
    path.write_bytes(PACKED[:at] + bytes([PACKED[at] ^ 0x55]) + PACKED[at + 1 :])
    try:
        found = read_idx(path)
    except DataError:
        return
    assert 4 <= at < 10, "only date, effort and system in gzip's header have no checksum"
    np.testing.assert_array_equal(found, np.arange(24).reshape(2, 3, 4))


def test_missing_files_and_directories(tmp_path):
    with pytest.raises(DataError, match=r"none\.idx: No such file"):
        read_idx(tmp_path / "none.idx")
    with pytest.raises(DataError, match="directory"):
        read_idx(tmp_path)
    with pytest.raises(DataError, match="null"):
        read_idx("a\0b")
