"""Which layout every tensor of a graph gets, and which tensors are views of another's memory.

A tensor has the halo that the kernels reading it need (`Op.halo`), and no other. Offsets are not
decided here; see memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ir.graph import Graph, Node
from cnnc.ir.interpret import operand_names
from cnnc.ops.layout import Layout
from cnnc.ops.op import Gradient, Input, Trait
from cnnc.ops.window import Pads
from cnnc.passes.segments import is_batch


@dataclass(frozen=True, slots=True)
class Places:
    """Layouts by tensor; `views` maps a tensor to the one whose memory it is.

    Tensors of the whole batch have none: they are plain floats.
    """

    layouts: dict[str, Layout]
    views: dict[str, str]
    gradient_of: dict[str, str]
    """Nodes whose result is a parameter's gradient -> the parameter."""

    def root(self, tensor: str) -> str:
        """The tensor that owns the memory."""
        while tensor in self.views:
            tensor = self.views[tensor]
        return tensor

    def computes(self, node: Node) -> bool:
        """Whether a node needs a kernel: a view does not."""
        return node.name not in self.views

    def of(self, node: Node) -> dict[str, Layout]:
        """The layouts of a node's operands by operand name, its result's and its epilogue's."""
        found = {
            operand: self.layouts[name]
            for operand, name in operand_names(node).items()
            if name in self.layouts
        }
        for index, name in enumerate(node.epilogue_inputs):
            if name in self.layouts:
                found[f"epilogue{index}"] = self.layouts[name]
        if node.name in self.layouts:
            found["result"] = self.layouts[node.name]
        return found


def find_places(graph: Graph) -> Places:
    """Layouts and views of every tensor of a fused graph."""
    gradient_of = {node: parameter for parameter, node in graph.gradients}
    halos = _halos(graph)
    layouts: dict[str, Layout] = {}
    views: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in gradient_of or is_batch(node):
            continue
        layout = _layout(node, halos.get(node.name, ()))
        source = node.inputs[0] if node.inputs else None
        if source is not None and _is_view(node) and graph.node(source).shape == node.shape:
            # The source has whatever halo the readers of its views need.
            layout = layouts[source]
        if (source is not None and _is_view(node) and layouts[source].dense and layout.dense) or (
            source is not None and _is_view(node) and layouts[source] == layout
        ):
            views[node.name] = source
        layouts[node.name] = layout
    return Places(layouts, views, gradient_of)


def _layout(node: Node, halo: Pads) -> Layout:
    if not node.shape:
        return Layout(1)
    space = node.shape[1:]
    return Layout(node.shape[0], space, halo or tuple((0, 0) for _ in space))


def _is_view(node: Node) -> bool:
    op = node.op.of if isinstance(node.op, Gradient) else node.op
    return not isinstance(op, Input) and Trait.VIEW in op.TRAITS


def _halos(graph: Graph) -> dict[str, Pads]:
    """The widest padding that any kernel wants around each tensor."""
    halos: dict[str, Pads] = {}
    for node in reversed(graph.nodes):
        if isinstance(node.op, Input):
            continue
        op, wrt = (node.op.of, node.op.wrt) if isinstance(node.op, Gradient) else (node.op, None)
        wanted = op.halo(wrt)
        name = operand_names(node).get(op.halo_operand(wrt))
        if wrt is None and _is_view(node) and graph.node(node.inputs[0]).shape == node.shape:
            wanted = halos.get(node.name, ())
        if name is not None and wanted:
            known = halos.get(name) or wanted
            halos[name] = tuple(
                (max(a, c), max(b, d)) for (a, b), (c, d) in zip(known, wanted, strict=True)
            )
    return halos
