"""What the Model class and its stub say of a program: names, shapes, parameters, settings."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from cnnc.codegen.text import WIDTH, fold
from cnnc.ir.calls import Load
from cnnc.ir.program import Judge, Program
from cnnc.ops.loss import LabelWeights


@dataclass(frozen=True, slots=True)
class JudgeText:
    """A loss as the Model class places it; `counted` is what its labels count, if they differ."""

    judge: Judge
    counted: LabelWeights | None

    @property
    def labels(self) -> bool:
        """Whether the target is labels, not numbers."""
        return self.judge.classes is not None

    @property
    def weights(self) -> tuple[float, ...] | None:
        """What each class counts; None for 1 each."""
        return self.counted.weights if self.counted else None

    @property
    def ignore(self) -> int | None:
        """The label that counts nothing."""
        return self.counted.ignore if self.counted else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.judge, name)


def interface(program: Program) -> dict[str, Any]:
    """The values that templates/model.pyx.j2 and module.pyi.j2 place."""
    inputs = program.infer.loads
    names = [load.name for load in inputs]
    targets = [judge.target for judge in program.judges]
    return {
        "input_names": names,
        "target_names": targets,
        "arguments": ", ".join([*names, *targets]),
        "judges": [JudgeText(judge, judge.loss.label_weights()) for judge in program.judges],
        "loss_words": _loss_words(program),
        "draws": _draws(program),
        "keeps": program.train is not None and bool(program.train.kept_size or program.parts),
        "pinned_names": [f"{name}_pinned" for name in names],
        "input_shapes": {load.name: load.shape for load in inputs},
        "input_dtypes": {load.name: load.dtype for load in inputs},
        "dtypes": {load.name: tuple(kind for kind, _ in load.kernels) for load in inputs},
        "output_shapes": {result.name: result.shape for result in program.results},
        "classes": program.judges[0].classes if _classifies(program) else None,
        **_prediction(program),
        "targets": {judge.target: _target(judge) for judge in program.judges},
        "training": _settings(program),
        "num_parameters": sum(prod(slot.shape) for slot in program.slots if slot.trained),
        "loads": loads(program),
        "inits": _inits(program),
    }


def _draws(program: Program) -> bool:
    """Whether a training step needs random words."""
    return program.train is not None and any(x.dtype == "random" for x in program.train.loads)


def _classifies(program: Program) -> bool:
    """Whether the model has one output, of logits."""
    return len(program.results) == 1 and len(program.judges) == 1


def _loss_words(program: Program) -> str:
    """What `loss` gives, in words."""
    names = [judge.loss.NAME for judge in program.judges]
    return f"mean {names[0]}" if len(names) == 1 else f"weighted sum of the mean {_listed(names)}"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _prediction(program: Program) -> dict[str, str]:
    """What a classifier has a class for, and the shape of its predictions, in words."""
    space = program.results[0].shape[1:]
    each = "position" if space else "sample"
    return {
        "each": each,
        "predicted": "n," + "".join(f" {extent}," for extent in space).rstrip(","),
    }


def _target(judge: Judge) -> dict[str, Any]:
    """What a target is, and how the loss that reads it judges which output."""
    loss = judge.loss
    return {
        "output": judge.output,
        "shape": judge.shape,
        "classes": judge.classes,
        "loss": loss.NAME,
        "weight": judge.weight,
        **{field.name: getattr(loss, field.name) for field in loss.FIELDS},
    }


def loads(program: Program) -> tuple[Load, ...]:
    """Every array that the caller may pass: the inputs, then the targets."""
    inputs = program.infer.loads
    if program.train is None:
        return inputs
    known = {load.name: load for load in program.train.loads}
    return (*inputs, *(known[judge.target] for judge in program.judges))


def _settings(program: Program) -> dict[str, Any] | None:
    training = program.training
    if training is None:
        return None
    return {
        "data": training.data,
        "loss": " + ".join(judge.loss.NAME for judge in program.judges),
        "optimizer": training.optimizer.NAME,
        "batch": training.batch,
        "epochs": training.epochs,
        "seed": training.seed,
        "schedule": training.schedule,
    }


def _inits(program: Program) -> tuple[str, ...]:
    """By parameter: its name, shape, offset, limits of its first values, and whether it learns."""
    found = []
    for slot in program.slots:
        limit = slot.initializer.limit(slot.fan_in, slot.fan_out)
        numbers = (slot.shape, slot.offset, limit, slot.initializer.value(), slot.trained)
        found.append(fold(f'    "{slot.name}": {numbers!r},', WIDTH))
    return tuple(found)
