"""LeNet against PyTorch, where it is installed: outputs, gradients and twenty training steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.compiler import Options, compile_spec
from cnnc.runtime import load_dataset
from tests.flags import optimized

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
SPEC = (ROOT / "specs" / "lenet.cnn").read_text(encoding="utf-8")


def lenet_in_torch() -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def copy_weights(model: Any, net: Any) -> dict[str, Any]:
    """Set PyTorch's parameters to the model's; returns them by the model's names."""
    pairs = dict(zip(model.parameters, net.parameters(), strict=True))
    with torch.no_grad():
        for name, parameter in pairs.items():
            parameter.copy_(torch.from_numpy(np.array(model.parameters[name])))
    return pairs


def batches(count: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    data = load_dataset("mnist")
    images = data.train_images.reshape(-1, 1, 28, 28)
    labels = data.train_labels.astype(np.int64)
    return [
        (images[k * size : (k + 1) * size].copy(), labels[k * size : (k + 1) * size])
        for k in range(count)
    ]


def without_ties(net: Any, images: np.ndarray, labels: np.ndarray) -> tuple[Any, Any]:
    """The samples in which no pooling window has two largest values that rounding could swap."""
    kept = np.ones(len(images), bool)
    value = in_torch(images)
    for layer in net:
        if isinstance(layer, torch.nn.MaxPool2d):
            windows = value.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
            top = windows.topk(2, dim=-1).values
            gap = top[..., 0] - top[..., 1]
            close = (gap > 0) & (gap < 1e-5) & (top[..., 0] > 0)
            kept &= ~close.flatten(1).any(1).numpy()
        value = layer(value)
    return np.ascontiguousarray(images[kept]), labels[kept]


def in_torch(images: np.ndarray) -> Any:
    return torch.from_numpy(images).to(torch.float32) / 255


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("torch") / "lenet.cnn"
    path.write_text(SPEC, encoding="utf-8")
    with optimized():
        return compile_spec(path, options=Options()).load()


def close(found: np.ndarray, wanted: Any, limit: float) -> None:
    wanted = wanted.detach().numpy()
    scale = abs(wanted).max()
    assert abs(found - wanted).max() <= limit * scale


@pytest.mark.parametrize("samples", [1, 16, 17, 64])
def test_outputs_and_gradients_agree(module: Any, samples: int) -> None:
    model, net = module.Model(seed=4), lenet_in_torch()
    parameters = copy_weights(model, net)
    ((images, labels),) = batches(1, 2 * samples + 20)
    images, labels = without_ties(net, images, labels)
    images, labels = images[:samples].copy(), labels[:samples]
    assert len(images) == samples
    logits = net(in_torch(images))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    loss.backward()
    close(model(images), logits, 1e-5)
    assert model.compute_gradients(images, labels) == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in parameters.items():
        close(model.gradients[name], parameter.grad, 1e-5)


OPTIMIZERS = {
    "sgd(lr=0.01)": lambda p: torch.optim.SGD(p, 0.01),
    "sgd(lr=0.02, momentum=0.9)": lambda p: torch.optim.SGD(p, 0.02, momentum=0.9),
    "sgd(lr=0.02, momentum=0.9, nesterov=yes, weight_decay=0.001)": lambda p: torch.optim.SGD(
        p, 0.02, momentum=0.9, nesterov=True, weight_decay=0.001
    ),
    "adam(lr=0.002, weight_decay=0.001)": lambda p: torch.optim.Adam(p, 0.002, weight_decay=0.001),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twenty_training_steps_agree(optimizer: str, tmp_path: Path) -> None:
    line = next(line for line in SPEC.splitlines() if line.strip().startswith("optimizer"))
    path = tmp_path / "lenet.cnn"
    path.write_text(SPEC.replace(line, f"    optimizer {optimizer}"), encoding="utf-8")
    model, net = compile_spec(path).load().Model(seed=5), lenet_in_torch()
    parameters = copy_weights(model, net)
    update = OPTIMIZERS[optimizer](net.parameters())
    for images, labels in (without_ties(net, *batch) for batch in batches(20, 33)):
        update.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(in_torch(images)), torch.from_numpy(labels))
        loss.backward()
        update.step()
        assert model.train_step(images, labels) == pytest.approx(loss.item(), rel=1e-4)
    for name, parameter in parameters.items():
        close(model.parameters[name], parameter, 1e-3)
