"""The module by itself: what it needs to be imported, what it shows, what its stub promises."""

from __future__ import annotations

import copy
import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnc
from cnnc.diagnostics import CompileError
from tests.module.conftest import Case
from tests.module.specs import DIGITS

ALONE = """
import sys
sys.path[:] = [p for p in sys.path if "site-packages" not in p] + sys.argv[1:]

WITHOUT = "cnnc lark jinja2 Cython click rich safetensors filelock platformdirs PIL".split()
wanted = []

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in WITHOUT:
            wanted.append(name)
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Block())
import os
import numpy as np
import digits
net = digits.Model(seed=1, threads=2)
image = np.random.default_rng(0).integers(0, 256, (40, 2, 9, 7)).astype(np.uint8)
labels = np.arange(40) % 5
losses = [net.train_step(image, labels) for _ in range(30)]
assert losses[-1] < losses[0], losses
net.save("weights")
again = digits.Model.load("weights")
assert (again.predict(image) == net(image).argmax(axis=1)).all()
assert wanted == []
assert not {name.partition(".")[0] for name in sys.modules} & set(WITHOUT)
"""


def test_the_extension_needs_numpy_alone(digits: Case, tmp_path: Path) -> None:
    shutil.copy(digits.compiled.extension, tmp_path)
    site = str(Path(np.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(tmp_path), site],
        cwd=tmp_path,
        env={"PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        digits.compiled.extension.name,
        "weights",
    ]


FIRST_ANSWER = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import digits
digits.Model(seed=1)(np.zeros((1, 2, 9, 7), np.uint8))
print(*sorted({"numpy.random", "json", "threading"} & (set(sys.modules) - before)))
"""


def test_a_first_answer_imports_nothing_slow(digits: Case) -> None:
    command = [sys.executable, "-c", FIRST_ANSWER, str(digits.compiled.extension.parent)]
    assert subprocess.check_output(command, text=True) == "\n"


def test_the_three_files_lie_together(digits: Case) -> None:
    found = digits.compiled
    assert {p.name for p in found.extension.parent.iterdir()} == {
        "digits.pyx",
        "digits.pyi",
        found.extension.name,
    }
    assert found.extension.name.startswith("digits.")


def test_the_class_says_what_it_takes_and_gives(lenet: Case, heads: Case) -> None:
    model = lenet.module.Model
    assert model.name == "lenet"
    assert model.input_shapes == {"image": (1, 28, 28)}
    assert model.input_dtypes == {"image": "uint8"}
    assert model.output_shapes == {"dense3": (10,)}
    assert model.classes == 10
    assert model.num_parameters == 61_706
    wanted = {"data": "mnist", "loss": "cross_entropy", "optimizer": "sgd", "batch": 64, "seed": 0}
    assert wanted.items() <= model.training.items()
    model = heads.module.Model
    assert model.input_dtypes == {"image": "uint8", "extra": "float32"}
    assert model.classes is None
    assert model.training is None


def test_facts_of_the_class_cannot_be_changed(digits: Case) -> None:
    for name in ("num_parameters", "classes", "training", "input_shapes"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(digits.module.Model, name, None)
        with pytest.raises((AttributeError, TypeError)):
            setattr(digits.model(), name, None)


def test_a_model_without_a_train_block_cannot_be_trained(heads: Case) -> None:
    net = heads.model()
    for name in ("loss", "train_step", "compute_gradients", "gradients", "learning_rate"):
        assert not hasattr(net, name), name
    stub = heads.compiled.stub.read_text()
    for name in ("def loss", "train_step", "compute_gradients", "gradients", "learning_rate"):
        assert name not in stub


def test_a_model_without_a_train_block_saves_and_loads(heads: Case, tmp_path: Path) -> None:
    net = heads.model(seed=2)
    net.save(tmp_path / "heads")
    other = heads.module.Model.load(tmp_path / "heads")
    for left, right in zip(net(*heads.inputs(3)), other(*heads.inputs(3)), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy])
def test_pickling_is_refused(digits: Case, act) -> None:
    with pytest.raises(TypeError, match="save"):
        act(digits.model())


def test_repr_says_what_it_is(lenet: Case) -> None:
    shown = repr(lenet.module.Model())
    assert "lenet" in shown
    assert "61,706" in shown
    assert "0x" not in shown


def test_a_model_is_weakly_comparable_and_hashable(line: Case) -> None:
    left, right = line.module.Model(), line.module.Model()
    assert left == left  # noqa: PLR0124
    assert left != right
    assert len({left, right}) == 2


def test_help_says_what_each_method_takes(digits: Case) -> None:
    model = digits.module.Model
    for name in ("__call__", "predict", "loss", "train_step", "compute_gradients", "save", "load"):
        assert getattr(model, name).__doc__, name
    assert "digits" in model.__doc__


def test_the_stub_has_the_module_s_names(trained: Case, heads: Case) -> None:
    for case in (trained, heads):
        stub = case.compiled.stub.read_text()
        declared = set(re.findall(r"^    def (\w+)", stub, re.MULTILINE))
        declared |= set(re.findall(r"^    (\w+): ", stub, re.MULTILINE))
        public = {name for name in dir(case.module.Model) if not name.startswith("_")}
        assert {name for name in declared if not name.startswith("_")} == public
        assert {"__init__", "__call__"} <= declared
        assert [n for n in vars(case.module) if not n.startswith("_")] == ["Model"]


PROGRAM = """
from pathlib import Path
import numpy as np
from numpy.typing import NDArray
import digits
import heads

net = digits.Model(seed=3, threads=None)
image = np.zeros((2, 2, 9, 7), np.uint8)
labels = np.zeros(2, np.int64)
logits: NDArray[np.float32] = net(image)
classes: NDArray[np.int64] = net.predict(image)
loss: float = net.train_step(image, labels) + net.loss(image, labels)
net.learning_rate = 0.1 * net.learning_rate
net.threads = 2
weight: NDArray[np.float32] = net.parameters["conv1.weight"]
for name, gradient in net.gradients.items():
    gradient[...] = 0
    name.upper()
net.save("file"); net.save(Path("file"))
again: digits.Model = digits.Model.load(Path("file"), threads=1)
shape: tuple[int, ...] = digits.Model.input_shapes["image"]
mean, plane, spread = heads.Model()(image=image, extra=image)
total: NDArray[np.float32] = mean + spread
"""

WRONG = """
import numpy as np
import digits
import heads
net = digits.Model()
image = np.zeros((2, 2, 9, 7), np.uint8)
digits.Model(seed="a")  # wrong
net()  # wrong
net([1, 2])  # wrong
net(image).nothing  # wrong
net.parameters["a"] = image  # wrong
net.gradients = {}  # wrong
net.train_step(image)  # wrong
net.save(3)  # wrong
net.learning_rate = "fast"  # wrong
heads.Model().train_step(image, image)  # wrong
label: str = net.loss(image, image)  # wrong
class Mine(digits.Model): ...  # wrong
"""


@pytest.mark.skipif(not importlib.util.find_spec("mypy"), reason="mypy is not installed")
def test_mypy_takes_a_right_program_and_refuses_a_wrong_one(
    digits: Case, heads: Case, tmp_path: Path
) -> None:
    for case in (digits, heads):
        shutil.copy(case.compiled.stub, tmp_path)
    (tmp_path / "right.py").write_text(PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG)
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"),
         "--config-file", os.devnull, "right.py", "wrong.py", "digits.pyi", "heads.pyi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    complaints = set(re.findall(r"^(\w+\.pyi?):(\d+): error", ran.stdout, re.MULTILINE))
    wanted = {
        ("wrong.py", str(number))
        for number, line in enumerate(WRONG.splitlines(), 1)
        if line.endswith("# wrong")
    }
    assert complaints == wanted, ran.stdout + ran.stderr


def test_python_gets_the_class_from_one_call(tmp_path: Path) -> None:
    path = tmp_path / "spec.cnn"  # as the fixture calls it, so that the cache has it
    path.write_text(DIGITS)
    model = cnnc.compile(path, output=tmp_path / "out")
    assert model.name == "digits"
    assert (tmp_path / "out" / "digits.pyi").exists()
    assert model()(np.zeros((1, 2, 9, 7), np.uint8)).shape == (1, 5)
    assert "digits" not in sys.modules
    with pytest.raises(CompileError, match="target"):
        cnnc.compile(path, target="z80")
    with pytest.raises((OSError, CompileError)):
        cnnc.compile(tmp_path / "none.cnn")
