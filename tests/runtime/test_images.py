from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from cnnc.runtime import DataError, read_images

GREY = np.random.default_rng(3).integers(0, 256, (4, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.fixture
def save(tmp_path):
    def save(array_or_image, name="a.png", **options):
        image = array_or_image
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def test_grey_and_colour(save):
    grey, colour = save(GREY, "g.png"), save(COLOUR, "c.png")
    found = read_images([grey, str(grey)], (1, 4, 6), "uint8")
    assert found.shape == (2, 1, 4, 6)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[1, 0], GREY)
    found = read_images([colour], (3, 4, 6), "float32")
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found[0], COLOUR.transpose(2, 0, 1))
    np.testing.assert_array_equal(read_images([grey], (3, 4, 6), "uint8")[0, 2], GREY)
    luma = COLOUR @ [0.299, 0.587, 0.114]
    assert np.abs(read_images([colour], (1, 4, 6), "uint8")[0, 0] - luma).max() <= 1
    assert read_images([], (1, 4, 6), "uint8").shape == (0, 1, 4, 6)


def test_size_must_match_unless_resized(save):
    path = save(GREY)
    with pytest.raises(DataError) as caught:
        read_images([path], (1, 28, 27), "uint8")
    for word in (str(path), "6x4", "27x28", "--resize"):
        assert word in str(caught.value)
    assert read_images([path], (1, 28, 27), "uint8", resize=True).shape == (1, 1, 28, 27)
    same = read_images([path], (1, 4, 6), "uint8", resize=True)
    np.testing.assert_array_equal(same[0, 0], GREY)


def test_other_modes(save):
    bits = save(Image.fromarray(GREY > 99), "bits.png")
    np.testing.assert_array_equal(
        read_images([bits], (1, 4, 6), "uint8")[0, 0], (GREY > 99) * np.uint8(255)
    )
    deep = save(GREY.astype(np.uint16) * 257, "deep.png")
    np.testing.assert_array_equal(read_images([deep], (1, 4, 6), "uint8")[0, 0], GREY)
    palette = save(Image.fromarray(COLOUR).quantize(24), "palette.png")
    np.testing.assert_array_equal(
        read_images([palette], (3, 4, 6), "uint8")[0], COLOUR.transpose(2, 0, 1)
    )
    real = save(GREY.astype(np.float32), "real.tiff")
    with pytest.raises(DataError, match=r"real\.tiff: 32-bit pixels"):
        read_images([real], (1, 4, 6), "uint8")


def test_transparency_shows_white_paper(save):
    clear = np.zeros((4, 6, 4), np.uint8)
    clear[0, 0] = [10, 20, 30, 255]
    found = read_images([save(clear)], (3, 4, 6), "uint8")[0]
    assert found[:, 0, 0].tolist() == [10, 20, 30]
    assert (found[:, 1:] == 255).all()


def test_exif_orientation_is_applied(save):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    path = save(GREY, exif=exif)
    np.testing.assert_array_equal(read_images([path], (1, 6, 4), "uint8")[0, 0], np.rot90(GREY, -1))


def test_npy(tmp_path, save):
    def stored(array):
        np.save(tmp_path / "a.npy", array)
        return tmp_path / "a.npy"

    for array, count in [
        (GREY, 1),
        (GREY[None], 1),
        (np.stack([GREY] * 3), 3),
        (np.stack([GREY] * 3)[:, None], 3),
        (np.stack([GREY] * 3).astype(np.int64), 3),
    ]:
        found = read_images([stored(array)], (1, 4, 6), "uint8")
        assert found.shape == (count, 1, 4, 6)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found[-1, 0], GREY)
    assert read_images([stored(COLOUR)], (3, 4, 6), "uint8").shape == (1, 3, 4, 6)
    assert read_images([stored(np.ones(9))], (9,), "float32").shape == (1, 9)
    both = read_images([stored(np.stack([GREY] * 2)), save(GREY)], (1, 4, 6), "float32")
    assert both.shape == (3, 1, 4, 6)
    with pytest.raises(DataError, match=r"a\.npy: elements of type float64, expected uint8"):
        read_images([stored(GREY / 255)], (1, 4, 6), "uint8")
    with pytest.raises(
        DataError, match=r"a\.npy: an array of shape \(3, 3\), expected \(1, 4, 6\)"
    ):
        read_images([stored(np.eye(3))], (1, 4, 6), "float32")


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    for name, words in [
        ("a.png", "not an image that Pillow knows"),
        ("none.png", "no such file"),
        ("none.npy", "No such file"),
        (".", "directory"),
        ("a\0b.png", "null"),
    ]:
        with pytest.raises(DataError, match=words):
            read_images([tmp_path / name], (1, 4, 6), "uint8")
    with pytest.raises(DataError, match=r"the model's input is \(784,\); pass a \.npy"):
        read_images([tmp_path / "a.png"], (784,), "uint8")


def test_a_decompression_bomb_is_a_data_error(save, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="decompression bomb"):
        read_images([save(GREY)], (1, 4, 6), "uint8")


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some damage that it reads past
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"])
def test_damage_is_a_data_error_whatever_the_decoder(tmp_path, kind):
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, kind)
    good, path, rng = stream.getvalue(), tmp_path / f"a.{kind}", np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        data = bytearray(good[: rng.choice([len(good), rng.integers(1, len(good))])])
        for _ in range(rng.integers(4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        try:
            found = read_images([path], (3, 4, 6), "uint8")
        except DataError:
            refused += 1
        else:
            assert found.shape == (1, 3, 4, 6)
    assert refused > 0


def test_without_pillow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="needs Pillow: pip install pillow"):
        read_images([tmp_path / "a.png"], (1, 4, 6), "uint8")
