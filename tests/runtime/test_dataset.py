from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from cnnc.runtime import DataError, Dataset, load_dataset

TRAIN = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
TEST = TRAIN[:2]
NAMES = {
    "train-images-idx3-ubyte": TRAIN,
    "train-labels-idx1-ubyte": np.array([0, 1, 2], np.uint8),
    "t10k-images-idx3-ubyte": TEST,
    "t10k-labels-idx1-ubyte": np.array([1, 0], np.uint8),
}


def write_idx(path, array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


@pytest.fixture
def directory(tmp_path):
    for name, array in NAMES.items():
        write_idx(tmp_path / name, array)
    return tmp_path


def check(data):
    assert data.train_images.dtype == np.uint8
    assert data.train_labels.dtype == np.int64
    np.testing.assert_array_equal(data.train_images, TRAIN)
    np.testing.assert_array_equal(data.test_images, TEST)
    assert data.train_labels.tolist() == [0, 1, 2]
    assert data.test_labels.tolist() == [1, 0]


def test_shipped_mnist():
    data = load_dataset("mnist")
    assert data.name == "mnist"
    assert data.train_images.shape == (60000, 28, 28)
    assert data.train_images.dtype == np.uint8
    assert data.test_images.shape == (10000, 28, 28)
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    # mean and deviation as the field knows them: 0.1307, 0.3081
    assert round(float(data.train_images.mean() / 255), 4) == 0.1307
    assert round(float(data.train_images.std() / 255), 4) == 0.3081


@pytest.mark.parametrize("style", ["{}", "{}.gz", "dot", "dot.gz"])
def test_directory_of_idx_files(tmp_path, style):
    for name, array in NAMES.items():
        write_idx(tmp_path / style.replace("dot", name.replace("-idx", ".idx")).format(name), array)
    check(load_dataset(tmp_path))
    check(load_dataset(str(tmp_path)))


def test_a_missing_idx_file_is_named(directory):
    (directory / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte: no such file, with or without"):
        load_dataset(directory)


def test_differing_counts_name_both_files(directory):
    write_idx(directory / "train-labels-idx1-ubyte", np.zeros(2, np.uint8))
    with pytest.raises(DataError, match=r"train-images.*3 images, but train-labels.*\(2,\)"):
        load_dataset(directory)


def test_swapped_files(directory):
    write_idx(directory / "train-images-idx3-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: shape \(3,\)"):
        load_dataset(directory)


@pytest.mark.parametrize("damage", [slice(0, 30), slice(0, -1), slice(5, None)], ids=str)
def test_damaged_gzip_names_the_file(directory, damage):
    path = directory / "t10k-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes())[damage])
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte"):
        load_dataset(directory)


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
    ],
)
def test_npz(tmp_path, names):
    path = tmp_path / "digits.npz"
    np.savez(path, extra=np.zeros(1), **dict(zip(names, NAMES.values(), strict=True)))
    check(load_dataset(path))
    check(load_dataset(str(path)))
    assert load_dataset(path).name == str(path)


def test_npz_with_other_names_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", images=TRAIN, labels=np.arange(3))
    with pytest.raises(DataError, match=r"a\.npz: holds images, labels; expected train_images"):
        load_dataset(tmp_path / "a.npz")
    own = "train_image, train_target, test_image, test_target$"
    with pytest.raises(DataError, match=f"expected train_images, .* y_test, or {own}"):
        load_dataset(tmp_path / "a.npz", ["image", "target"])
    own = "train_image, train_age, train_target, test_image, test_age, test_target$"
    with pytest.raises(DataError, match=f"labels; expected {own}"):
        load_dataset(tmp_path / "a.npz", ["image", "age", "target"])


def test_unknown_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"'mnits'.*did you mean mnist\?"):
        load_dataset("mnits")
    with pytest.raises(DataError, match=r"'imagenet'.*known: mnist"):
        load_dataset("imagenet")
    for path in ("./mnist", "a/b", "x.npz", Path("mnist")):
        with pytest.raises(DataError, match=r"[Nn]o such file"):
            load_dataset(path)
    (tmp_path / "words.txt").write_text("hello")
    with pytest.raises(DataError, match=r"words\.txt: expected a directory of IDX files"):
        load_dataset("words.txt")
    with pytest.raises(DataError):
        load_dataset("")


def test_dataset_validates():
    labels = np.arange(3)

    def make(**changes):
        fields = {"train_images": TRAIN, "train_labels": labels}
        fields |= {"test_images": TEST, "test_labels": labels[:2]}
        return Dataset("toy", **(fields | changes))

    assert "TRAIN" not in repr(make())
    assert repr(make()) == "Dataset(name='toy')"
    assert make(train_labels=labels[:, None].astype(np.uint8)).train_labels.shape == (3,)
    assert make(train_labels=np.ones((3, 2))).train_labels.dtype == np.float32
    assert make(test_images=TEST[:0], test_labels=labels[:0]).test_images.shape == (0, 2, 2)
    for changes, words in [
        ({"train_labels": labels[:2]}, "toy: 3 train images, but 2 train labels"),
        ({"test_labels": labels}, "toy: 2 test images, but 3 test labels"),
        ({"train_labels": np.array(["a", "b", "c"])}, "expected integers"),
        ({"train_labels": np.int64(3)}, "expected"),
        ({"train_images": np.array(["a", "b", "c"])}, "expected numbers"),
        ({"train_images": labels}, r"int64 \(3,\)"),
        ({"test_images": np.zeros((2, 3, 3))}, r"\(2, 2\), but test images of \(3, 3\)"),
    ]:
        with pytest.raises(DataError, match=words):
            make(**changes)


def test_labels_of_positions_keep_their_type():
    masks = np.zeros((3, 2, 2), np.uint8)
    data = Dataset("masks", TRAIN, masks, TEST, masks[:2] > 0)
    assert data.train_labels.dtype == data.test_labels.dtype == np.uint8
    assert data.train_labels is masks


def _parts(count):
    return (
        {"image": TRAIN[:count], "age": np.ones((count, 1))},
        {"kind_target": np.arange(count), "size_target": np.ones(count)},
    )


def test_several_inputs_and_targets_by_name():
    data = Dataset("two", *_parts(3), *_parts(2))
    np.testing.assert_array_equal(data.train_images["image"], TRAIN)
    assert data.train_labels["kind_target"].dtype == np.int64
    assert data.test_labels["size_target"].dtype == np.float32
    assert repr(data) == "Dataset(name='two')"
    images, labels = _parts(3)
    for changes, words in [
        (({**images, "age": np.ones((2, 1))}, labels), "two: 3 train image, but 2 train age"),
        ((images, {"size_target": np.ones(2)}), "3 train image, but 2 train size_target"),
        (({}, labels), "two: train images: a dict without arrays"),
        (({**images, "age": np.ones(3)}, labels), r"two: train age: float64 \(3,\)"),
        (({"image": TRAIN}, labels), "train has image, but test image, age"),
        (({**images, "age": np.ones((3, 2))}, labels), r"train age of shape \(2,\), but test"),
    ]:
        with pytest.raises(DataError, match=words):
            Dataset("two", *changes, *_parts(2))


def test_npz_of_several_inputs_and_targets(tmp_path):
    arrays = {}
    for part, count in (("train", 3), ("test", 2)):
        for group in _parts(count):
            arrays |= {f"{part}_{name}": array for name, array in group.items()}
    np.savez(tmp_path / "two.npz", **arrays)
    data = load_dataset(tmp_path / "two.npz")
    assert list(data.train_images) == ["image", "age"]
    assert list(data.test_labels) == ["kind_target", "size_target"]
    np.testing.assert_array_equal(data.test_images["image"], TEST)
    del arrays["test_age"]
    np.savez(tmp_path / "two.npz", **arrays)
    with pytest.raises(DataError, match="or train_NAME and test_NAME for each input and each"):
        load_dataset(tmp_path / "two.npz")
