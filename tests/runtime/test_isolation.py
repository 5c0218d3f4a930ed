from __future__ import annotations

import subprocess
import sys

FOREIGN = ("lark", "jinja2", "Cython", "click", "rich", "PIL", "safetensors", "filelock")


def run(script):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout


def test_importing_the_runtime_imports_numpy_alone():
    script = "import sys, cnnc.runtime; print(*sorted(sys.modules))"
    modules = run(script).split()
    assert "numpy" in modules
    assert not [name for name in modules if name.split(".")[0] in FOREIGN]
    rooms = {name.split(".")[1] for name in modules if name.startswith("cnnc.")}
    assert rooms == {"runtime", "version"}


def test_data_and_shuffling_work_where_nothing_else_is_installed():
    script = f"""
import sys
sys.modules.update(dict.fromkeys({FOREIGN!r}))
from cnnc.runtime import batches, load_dataset
print(len(load_dataset("mnist").test_labels), len(list(batches(100, 64, 0))))
"""
    assert run(script).split() == ["10000", "2"]
