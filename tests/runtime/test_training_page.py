"""The examples of docs/training.md run as they stand, with a stand-in for the compiled model."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_examples_run(make_net, monkeypatch, capsys):
    def model(seed):
        net = make_net((1, 28, 28), 10, learning_rate=0.1)
        net.training = {"batch": 64, "epochs": 1, "seed": seed}
        return net

    monkeypatch.setitem(sys.modules, "lenet", types.SimpleNamespace(Model=model))
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 5
    scope: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), scope)
    assert scope["history"][0].test_accuracy > 0.9
    assert "predicted" in capsys.readouterr().out
    assert repr(scope["small"]) == "Dataset(name='noise')"
    assert scope["moles"].train_labels["diagnosis_target"].shape == (100,)
