"""What `python -m build` makes: a wheel, built from the sdist, that works without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytest.importorskip("pip")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(ROOT))
    return output


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (wheel,) = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the wheel was installed, without an index."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile",
        "--disable-pip-version-check", "--target", str(target), str(wheel))  # fmt: skip
    return target


def run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    answer = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def files_below(*directories: str, suffix: str = "") -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for directory in directories
        for path in (ROOT / directory).rglob(f"*{suffix}")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_everything_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    beside = {f"cnnc/{name}" for name in files_below("grammar", "templates", "specs")}
    assert names == files_below("cnnc") | beside
    assert "cnnc/py.typed" in names
    assert "cnnc/runtime/datasets/mnist/train-images-idx3-ubyte.gz" in names


def test_wheel_is_for_any_python(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")


def test_sdist_can_be_tested(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "Makefile", "tests/test_packaging.py"} <= names
    assert files_below("tests", "grammar", "templates", "specs", "cnnc") <= names


def test_installed_wheel_works_elsewhere(installed: Path, tmp_path: Path) -> None:
    def cnnc(*arguments: str) -> str:
        return run(
            sys.executable,
            "-m",
            "cnnc",
            *arguments,
            cwd=tmp_path,
            PYTHONPATH=str(installed),
            CNNC_CACHE_DIR=str(tmp_path / "cache"),
        )

    spec = installed / "cnnc" / "specs" / "lenet.cnn"
    program = (
        "import cnnc.runtime; data = cnnc.runtime.load_dataset('mnist'); "
        "print(cnnc.__file__, len(data.test_images))"
    )
    where = run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=str(installed))
    assert where.split() == [str(installed / "cnnc" / "__init__.py"), "10000"]
    assert "lenet is fine: 61,706 parameters" in cnnc("check", str(spec))
    assert "import lenet" in cnnc("compile", str(spec))
    found = json.loads(cnnc("profile", str(spec), "--seconds", "0.01", "--json"))
    assert found["ceilings"]["gflops"] > 0
    program = "import lenet; print(lenet.Model().num_parameters)"
    assert run(sys.executable, "-c", program, cwd=tmp_path) == "61706\n"


def test_script_answers(installed: Path) -> None:
    script = installed / "bin" / "cnnc"
    assert "Usage: cnnc" in run(str(script), "--help", PYTHONPATH=str(installed))
