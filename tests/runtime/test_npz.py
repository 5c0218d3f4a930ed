from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from cnnc.runtime import DataError, read_npy, read_npz


class Trap:
    """Would run code where pickles are loaded."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_npz_round_trip(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", a=np.arange(3), b=np.eye(2, dtype=">f4"))
        arrays = read_npz(str(tmp_path / "a.npz"))
        assert list(arrays) == ["a", "b"]
        np.testing.assert_array_equal(arrays["b"], np.eye(2))


def test_npy_round_trip(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), [[0, 1, 2], [3, 4, 5]])


def test_pickles_are_refused(tmp_path):
    objects = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "a.npz", fine=np.arange(2), bad=objects)
    with pytest.raises(DataError, match=r"a\.npz: array 'bad': .*pickle"):
        read_npz(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", objects)
    with pytest.raises(DataError, match=r"a\.npy: .*pickle"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_truncation_and_most_flips_are_data_errors(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, x=np.arange(40, dtype=np.uint8))
    good = path.read_bytes()
    for at in range(0, len(good), 3):
        path.write_bytes(good[:at])
        with pytest.raises(DataError, match=r"a\.npz"):
            read_npz(path)
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        with suppress(DataError):  # dates, attributes and names have no checksum
            for array in read_npz(path).values():
                np.testing.assert_array_equal(array, np.arange(40))


def test_every_truncated_npy_is_a_data_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(5))
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at])
        with pytest.raises(DataError, match=r"a\.npy"):
            read_npy(path)
    path.write_bytes(good + b"x")
    with pytest.raises(DataError, match=r"longer than the int64 \(5,\)"):
        read_npy(path)
    path.write_bytes(good.replace(b"(5,)", b"(9999999999999999,)"))
    with pytest.raises(DataError, match=r"a\.npy"):
        read_npy(path)


def test_wrong_kinds_of_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz: No such file"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(DataError, match=r"none\.npy: No such file"):
        read_npy(tmp_path / "none.npy")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match=r"text\.npz: .*not an \.npz file"):
        read_npz(tmp_path / "text.npz")
    with pytest.raises(DataError, match=r"text\.npz: not a \.npy file"):
        read_npy(tmp_path / "text.npz")
