"""dense: every output reads every input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnnc.ops.dense_abreast import dense_abreast
from cnnc.ops.dense_forms import (
    LINE,
    DenseBatchWeightGrad,
    DenseBiasGrad,
    DenseForward,
    DenseInputGrad,
    DenseWeightGrad,
)
from cnnc.ops.field import Field, Kind, OpError
from cnnc.ops.initializers import AUTOMATIC, Initializer, Zeros
from cnnc.ops.layout import Form, Layouts, Machine
from cnnc.ops.loops import Loop, register_tile, split, tile_loops
from cnnc.ops.op import Example, Op, Operands, ParameterSpec, as_float, single
from cnnc.ops.shapes import Array, Shape
from cnnc.ops.sight import EVERYTHING, Sight
from cnnc.ops.single import Single
from cnnc.ops.single_dense import SingleDense
from cnnc.ops.window import Pads, text

_FETCHED = 16 * 1024
"""Bytes of a weight from which another core's part of it is worth being asked for in time."""

_KEPT = 16
"""Weights of this many first-level caches are taken to stay in the second-level cache."""

_TURNED = 4
"""Registers of each input that are turned at once: 8 blocks of them fit the first-level cache."""


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """y = weight x + bias. (in) -> (units); the weight is (units, in)."""

    units: int
    bias: bool = True
    init: Initializer = AUTOMATIC

    NAME: ClassVar[str] = "dense"
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field("units", Kind.COUNT, "outputs"),
        Field("bias", Kind.FLAG, "add a bias per output", True),
        Field("init", Kind.INITIALIZER, "first values of the weight", AUTOMATIC),
    )

    @classmethod
    def bind(cls, arguments: Mapping[str, Any], inputs: tuple[Shape, ...]) -> Dense:
        return cls(arguments["units"], arguments["bias"], arguments["init"])

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = single(inputs)
        if len(shape) != 1:
            raise OpError(
                "shape-mismatch",
                f"dense needs a flat input, got {text(shape)}",
                help="put flatten before this layer",
                operand=0,
            )
        return (self.units,)

    def parameters(self, inputs: tuple[Shape, ...]) -> tuple[ParameterSpec, ...]:
        fan_in = single(inputs)[0]
        weight = ParameterSpec("weight", (self.units, fan_in), self.init, fan_in, self.units)
        bias = ParameterSpec("bias", (self.units,), Zeros(), fan_in, self.units)
        return (weight, bias) if self.bias else (weight,)

    def gradient_reads(self, wrt: str) -> tuple[str, ...]:
        return {"input": ("weight",), "weight": ("input",), "bias": ()}[wrt]

    def forward(self, operands: Operands) -> Array:
        y = as_float(operands["input"]) @ operands["weight"].T
        return y + operands["bias"] if self.bias else y

    def backward(self, wrt: str, grad: Array, operands: Operands, shape: Shape) -> Array:
        if wrt == "bias":
            return np.asarray(grad.sum(axis=0))
        if wrt == "weight":
            return np.asarray(grad.T @ as_float(operands["input"]))
        return grad @ operands["weight"]

    def kernel_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form:
        x = layouts["result" if wrt == "input" else "input"].channels if wrt != "bias" else 0
        y = layouts["output_grad" if wrt else "result"].channels
        # One block of lanes: each weight is read once, so only the sums in flight matter.
        flight = min(12, machine.registers - 4)
        if wrt is None:
            fetched = x >= LINE and y >= 2 * flight and 4 * x * y >= _FETCHED
            return DenseForward(x, y, self.bias, tile_loops("o0", y, flight), fetched)
        if wrt == "input":
            if 4 * x * y <= _KEPT * machine.level1:
                return DenseInputGrad(x, y, Loop("o0", 0, y, y), tile_loops("i0", x, flight))
            # Weights come from memory: a few rows at a time, which prefetching can follow.
            chunk = Loop("o0", 0, y, min(y, 8))
            return DenseInputGrad(x, y, chunk, tile_loops("i0", x, machine.registers - 4))
        if wrt == "bias":
            return DenseBiasGrad(y, tile_loops("o0", y, 8))
        vectors = x // machine.lanes
        tile = register_tile(y, max(vectors, 1), machine.registers)
        return DenseWeightGrad(
            x,
            y,
            machine.lanes,
            tile_loops("o0", y, tile[0]),
            tile_loops("v0", vectors, tile[1]) if vectors else (),
            Loop("i", vectors * machine.lanes, x),
        )

    def batch_form(self, wrt: str, layouts: Layouts, machine: Machine) -> Form | None:
        if wrt != "weight":
            return None
        x, y = layouts["input"].channels, layouts["output_grad"].channels
        # A partial sum of the weight, read and written for each block, against what a block keeps.
        if x < machine.lanes or x * y < 2 * machine.lanes * (x + y):
            return None
        tile = register_tile(y, min(x // machine.lanes, _TURNED), machine.registers)
        return DenseBatchWeightGrad(
            x, y, machine.lanes, tile_loops("o0", y, tile[0]), split(x // machine.lanes, tile[1])
        )

    def abreast_form(self, wrt: str | None, layouts: Layouts, machine: Machine) -> Form | None:
        if wrt not in (None, "input"):
            return None
        x, y = ("input", "result") if wrt is None else ("result", "output_grad")
        return dense_abreast(wrt, layouts[x].channels, layouts[y].channels, self.bias, machine)

    def multiply_adds(self, inputs: tuple[Shape, ...]) -> int:
        return single(inputs)[0] * self.units

    def for_single(
        self, inputs: tuple[Shape, ...], lanes: int, plain: Pads | None
    ) -> Single | None:
        return Single(SingleDense(single(inputs)[0], self.units, self.bias, lanes), plain=True)

    def sight(self, inputs: tuple[Shape, ...]) -> Sight:
        return EVERYTHING

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example(cls(10), ((84,),)),
            Example(cls(1), ((1,),)),
            Example(cls(17), ((3,),)),
            Example(cls(3), ((65,),)),
            Example(cls(33, bias=False), ((130,),)),
            Example(cls(331), ((403,),)),
            Example(cls(80), ((70,),)),
        )
