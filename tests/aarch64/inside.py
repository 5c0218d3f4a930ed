"""Runs a compiled module on arrays from files, under that machine's own Python and NumPy.

usage: inside.py FOLDER NAME call|gradients|train

FOLDER holds the module and feeds-*.npz, whose arrays are the arguments in order. Leaves found-*.npz
beside them: outputs, the gradients of all parameters, or three losses and the parameters after; and
parameters.npz, those that a model starts with.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np

STEPS = 3


def main(folder: Path, name: str, kind: str) -> None:
    sys.path.insert(0, str(folder))
    model = importlib.import_module(name).Model
    assert model.target == "aarch64"
    np.savez(folder / "parameters.npz", **model(seed=3).parameters)
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
            found["losses"] = np.array([net.train_step(*arrays) for _ in range(STEPS)])
            found["outputs"] = net(*arrays[:-1])
            found |= net.parameters
        np.savez(folder / path.name.replace("feeds", "found"), **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
