"""save and load: safetensors files, whole or not at all, and only this network's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnc.compiler import lower
from cnnc.diagnostics import Source
from tests.module.conftest import Case
from tests.module.specs import DIGITS
from tests.module.weight_file import join_file, split_file


def test_weights_come_back_bit_for_bit(digits: Case, tmp_path: Path) -> None:
    net = digits.model(seed=3)
    net.train_step(*digits.inputs(20), digits.target(20))
    strange = np.array([-0.0, np.nan, np.inf, -np.inf, 1e-40], np.float32)
    net.parameters["dense4.bias"][...] = strange
    assert net.save(tmp_path / "file") is None
    other = digits.module.Model.load(tmp_path / "file")
    assert type(other) is digits.module.Model
    for name, view in net.parameters.items():
        assert other.parameters[name].tobytes() == view.tobytes()


def test_a_loaded_model_trains_on(digits: Case, saved: Path) -> None:
    model = digits.module.Model
    left, right = digits.model(seed=3), model.load(saved, threads=2)
    assert right.threads == 2
    inputs, target = digits.inputs(40), digits.target(40)
    assert left.train_step(*inputs, target) == right.train_step(*inputs, target)
    np.testing.assert_array_equal(left(*inputs), right(*inputs))


@pytest.mark.parametrize("name", ["plain", "ünï ✓.safetensors", "a b'c\"d{x}%s", "n" * 250])
def test_any_path_will_do(digits: Case, tmp_path: Path, name: str) -> None:
    for path in (tmp_path / name, str(tmp_path / name)):
        digits.model(seed=3).save(path)
        digits.module.Model.load(path)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_relative_path_is_relative(
    digits: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    digits.model().save("here")
    assert [p.name for p in tmp_path.iterdir()] == ["here"]
    digits.module.Model.load("here")


def test_a_path_of_bytes_is_taken_or_refused(digits: Case, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "file")
    try:
        digits.model().save(path)
    except TypeError:
        assert list(tmp_path.iterdir()) == []
    else:
        digits.module.Model.load(path)


@pytest.mark.parametrize("path", [None, 3.5, ["file"]])
def test_what_is_no_path_is_refused(digits: Case, path) -> None:
    with pytest.raises(TypeError):
        digits.model().save(path)
    with pytest.raises(TypeError):
        digits.module.Model.load(path)


def test_safetensors_reads_what_save_wrote(digits: Case, saved: Path) -> None:
    reader = pytest.importorskip("safetensors.numpy")
    arrays = reader.load_file(saved)
    net = digits.model(seed=3)
    assert arrays.keys() == net.parameters.keys()
    for name, view in net.parameters.items():
        assert arrays[name].dtype == np.float32
        np.testing.assert_array_equal(arrays[name], view)


@pytest.mark.parametrize("metadata", [None, {"format": "np"}])
def test_load_reads_what_safetensors_wrote(digits: Case, tmp_path: Path, metadata) -> None:
    writer = pytest.importorskip("safetensors.numpy")
    net = digits.model(seed=3)
    arrays = {name: view.copy() for name, view in net.parameters.items()}
    writer.save_file(arrays, tmp_path / "file", metadata)
    other = digits.module.Model.load(tmp_path / "file")
    for name, view in net.parameters.items():
        np.testing.assert_array_equal(other.parameters[name], view)


def test_two_models_write_the_same_bytes(digits: Case, saved: Path, tmp_path: Path) -> None:
    digits.model(seed=3).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_every_difference_is_listed(digits: Case, saved: Path, tmp_path: Path) -> None:
    header, body = split_file(saved)
    header["hidden.weights"] = header.pop("hidden.weight")
    header["conv1.weight"]["shape"] = [3, 18]
    header["dense4.bias"]["dtype"] = "I32"
    with pytest.raises(ValueError, match="digits") as error:
        digits.module.Model.load(join_file(tmp_path / "other", header, body))
    message = str(error.value)
    for part in (
        str(tmp_path / "other"),
        "hidden.weight:",
        "hidden.weights",
        "conv1.weight",
        "(3, 2, 3, 3)",
        "(3, 18)",
        "dense4.bias",
        "F32",
        "I32",
    ):
        assert part in message


def test_many_differences_are_counted(digits: Case, saved: Path, tmp_path: Path) -> None:
    header, body = split_file(saved)
    tensors = {f"other{name}": entry for name, entry in header.items() if name != "__metadata__"}
    with pytest.raises(ValueError, match="digits") as error:
        digits.module.Model.load(join_file(tmp_path / "other", tensors, body))
    lines = str(error.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == f"  and {2 * len(tensors) - 10} more"


def test_a_file_of_another_network_is_refused(
    digits: Case, means: Case, wind: Case, saved: Path, tmp_path: Path
) -> None:
    for case in (means, wind):
        with pytest.raises(ValueError, match=r"conv1\.weight|hidden|dense"):
            case.module.Model.load(saved)
    wind.model().save(tmp_path / "wind")
    with pytest.raises(ValueError, match="hidden"):
        digits.module.Model.load(tmp_path / "wind")


def _digest(text: str) -> str:
    return dict(lower(Source("digits.cnn", text)))["graph"].digest


def test_the_same_parameters_in_another_network_are_refused(
    digits: Case, saved: Path, tmp_path: Path
) -> None:
    header, body = split_file(saved)
    digest = digits.compiled.graph.digest
    assert header["__metadata__"]["digest"] == digest == _digest(DIGITS)
    others = [
        DIGITS.replace("maxpool", "avgpool"),
        DIGITS.replace("1/255", "1/256"),
        DIGITS.replace("pad=1, init=he) -> relu", "pad=1, init=he)"),
        DIGITS.replace("uint8", "float32"),
        DIGITS.replace("add(offset, plain, scores)", "add(offset, plain, scores, scores)"),
    ]
    digests = {digest, *map(_digest, others)}
    assert len(digests) == 1 + len(others)
    header["__metadata__"]["digest"] = _digest(others[0])
    with pytest.raises(ValueError, match=digest):
        digits.module.Model.load(join_file(tmp_path / "other", header, body))


def test_training_settings_and_labels_leave_the_digest_alone(digits: Case) -> None:
    head, _, _ = DIGITS.partition("train {")
    for same in (
        head,
        DIGITS.replace("lr=0.01", "lr=0.5").replace("batch     8", "batch 9"),
        DIGITS.replace("init=glorot", "init=he"),
        DIGITS.replace("\n", "  # note\n"),
        DIGITS.replace("plain", "other"),
    ):
        assert _digest(same) == digits.compiled.graph.digest


def test_a_missing_file_is_an_oserror(digits: Case, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digits.module.Model.load(tmp_path / "none")
    with pytest.raises(OSError, match="directory"):
        digits.module.Model.load(tmp_path)


def test_a_directory_that_is_not_there_is_an_oserror(digits: Case, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digits.model().save(tmp_path / "none" / "file")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        digits.model().save(tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_write_that_fails_half_way_leaves_the_old_file(
    digits: Case, saved: Path, tmp_path: Path
) -> None:
    old = saved.read_bytes()
    script = f"""
import resource, sys
sys.path.insert(0, {str(digits.compiled.extension.parent)!r})
from digits import Model
net = Model(seed=9, threads=1)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(old) // 2}, resource.RLIM_INFINITY))
try:
    net.save({str(saved)!r})
except OSError as error:
    print(error.strerror)
else:
    raise SystemExit("written past the limit")
net.parameters["conv1.weight"][...] = 0     # the model still works
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert saved.read_bytes() == old
    assert list(tmp_path.iterdir()) == [saved]


def test_saving_replaces_a_file_at_once(digits: Case, saved: Path) -> None:
    old = saved.read_bytes()
    with saved.open("rb") as reader:
        digits.model(seed=8).save(saved)
        assert reader.read() == old
    assert saved.read_bytes() != old
