"""What the Model class and its stub say of a program: names, shapes, parameters, settings."""

from __future__ import annotations

from math import prod
from typing import Any

from cnnc.ir.program import Load, Program


def interface(program: Program) -> dict[str, Any]:
    """The values that templates/model.pyx.j2 and module.pyi.j2 place."""
    inputs = program.infer.loads
    training = program.training
    names = [load.name for load in inputs]
    return {
        "input_names": names,
        "pinned_names": [f"{name}_pinned" for name in names],
        "input_shapes": {load.name: load.shape for load in inputs},
        "input_dtypes": {load.name: load.dtype for load in inputs},
        "dtypes": {load.name: tuple(kind for kind, _ in load.kernels) for load in inputs},
        "output_shapes": {result.name: result.shape for result in program.results},
        "classes": training.losses[0].loss.classes(program.results[0].shape) if training else None,
        "training": _settings(program),
        "num_parameters": sum(prod(slot.shape) for slot in program.slots),
        "loads": loads(program),
        "inits": _inits(program),
    }


def loads(program: Program) -> tuple[Load, ...]:
    """Every array that the caller may pass, the target last."""
    return tuple(load for load in program.schedules()[-1].loads if load.dtype != "weight")


def _settings(program: Program) -> dict[str, Any] | None:
    training = program.training
    if training is None:
        return None
    return {
        "data": training.data,
        "loss": training.losses[0].loss.NAME,
        "optimizer": training.optimizer.NAME,
        "batch": training.batch,
        "epochs": training.epochs,
        "seed": training.seed,
        "schedule": training.schedule,
    }


def _inits(program: Program) -> tuple[tuple[str, str, int, str, str], ...]:
    """(name, shape, offset, half-width of the distribution, constant) of each parameter."""
    return tuple(
        (
            slot.name,
            repr(slot.shape),
            slot.offset,
            repr(slot.initializer.limit(slot.fan_in, slot.fan_out)),
            repr(slot.initializer.value()),
        )
        for slot in program.slots
    )
