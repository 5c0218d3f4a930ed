"""A Network and its weights -> an ONNX model for a fixed batch, bytes, as the runtimes read it.

Batch normalisation stays a node of its own: to fold it is the runtimes' business, and they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from cnnc.ir.graph import Node
from sides.network import Network, NotComparedError

OPSET = 17
KINDS = {
    "conv": "Conv",
    "conv_transpose": "ConvTranspose",
    "dense": "Gemm",
    "batchnorm": "BatchNormalization",
    "maxpool": "MaxPool",
    "relu": "Relu",
    "flatten": "Flatten",
    "add": "Add",
    "concat": "Concat",
    "global_avgpool": "GlobalAveragePool",
}
NOTHING = ("identity", "dropout")
"""What inference leaves out."""


def onnx_model(network: Network, weights: Mapping[str, NDArray[np.float32]], size: int) -> bytes:
    """The model; input `samples`, output `result`."""
    names = {network.entry: "samples"}
    nodes: list[Any] = []
    for node in network.layers:
        names[node.name] = _add(nodes, node, [names[name] for name in node.inputs])
    last = names[network.result]
    nodes.append(helper.make_node("Identity", [last], ["result"]))
    batch = [
        _value(name, (size, *network.shape(tensor)))
        for name, tensor in (("samples", network.entry), ("result", network.result))
    ]
    used = {name for node in network.layers for name in node.parameters}
    initial = [numpy_helper.from_array(weights[name].copy(), name) for name in sorted(used)]
    graph = helper.make_graph(nodes, network.name, batch[:1], batch[1:], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString()
    return serialized


def _value(name: str, shape: tuple[int, ...]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _add(nodes: list[Any], node: Node, operands: list[str]) -> str:
    """Append what computes a layer; the name of its result."""
    op: Any = node.op
    if op.NAME in NOTHING:
        return operands[0]
    if op.NAME not in KINDS:
        raise NotComparedError(f"no {op.NAME} in the ONNX model")
    result = node.name
    pooled = op.NAME == "global_avgpool" and not op.keep
    first = f"{result}.kept" if pooled else result
    reads = [*operands, *node.parameters]
    nodes.append(helper.make_node(KINDS[op.NAME], reads, [first], **_attributes(op)))
    if pooled:
        nodes.append(helper.make_node("Flatten", [first], [result]))
    return result


def _attributes(op: Any) -> dict[str, Any]:
    match op.NAME:
        case "conv" | "conv_transpose":
            found = {
                "kernel_shape": op.kernel,
                "strides": op.stride,
                "pads": _sides(op.pad),
                "dilations": op.dilation,
                "group": op.groups,
            }
            return found | ({"output_padding": op.output_pad} if hasattr(op, "output_pad") else {})
        case "maxpool":
            sizes = {"kernel_shape": op.size, "strides": op.stride, "pads": _sides(op.pad)}
            return {**sizes, "ceil_mode": int(op.ceil)}
        case "dense":
            return {"transB": 1}
        case "batchnorm":
            return {"epsilon": op.eps}
        case "concat":
            return {"axis": 1}
    return {}


def _sides(pads: Any) -> list[int]:
    return [before for before, _ in pads] + [after for _, after in pads]
