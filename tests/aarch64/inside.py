"""Runs a compiled module on arrays from files, under that machine's own Python and NumPy.

usage: inside.py FOLDER NAME call|gradients|train

FOLDER holds the module and feeds-*.npz, whose arrays are the arguments in order. Leaves found-*.npz
beside them: outputs, the gradients of all parameters, or three losses, the outputs and the
parameters after, which have to be the same on several threads; and parameters.npz, those that a
model starts with.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 3
THREADS = (1, 2, 3)
TASKS = Path("/proc/self/task")
"""The threads of this process, those of the emulator among them."""


def trained(net: Any, arrays: list[Any]) -> dict[str, Any]:
    """What a few steps come to."""
    losses = np.array([net.train_step(*arrays) for _ in range(STEPS)])
    return {"losses": losses, "outputs": net(*arrays[:-1]), **net.parameters}


def main(folder: Path, name: str, kind: str) -> None:
    sys.path.insert(0, str(folder))
    model = importlib.import_module(name).Model
    assert model.target == "aarch64"
    np.savez(folder / "parameters.npz", **model(seed=3).parameters)
    alone = len(list(TASKS.iterdir()))
    for path in sorted(folder.glob("feeds-*.npz")):
        net, feeds = model(seed=3, threads=1), np.load(path)
        arrays = [feeds[key] for key in feeds.files]
        found = {}
        if kind == "call":
            found = dict(zip(model.output_shapes, net(*arrays), strict=True))
        elif kind == "gradients":
            net.compute_gradients(*arrays)
            found = dict(net.gradients)
        else:
            found, *others = [trained(model(seed=3, threads=t), arrays) for t in THREADS]
            for threads, other in zip(THREADS[1:], others, strict=True):
                for key, value in found.items():
                    message = f"{key} of {path.stem} on {threads} threads"
                    np.testing.assert_array_equal(other[key], value, message)
        np.savez(folder / path.name.replace("feeds", "found"), **found)
    if kind == "train":
        assert len(list(TASKS.iterdir())) == alone + max(THREADS) - 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
