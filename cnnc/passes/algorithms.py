"""Several algorithms of a single sample's op -> the one that computes it.

They want different operands, so it is taken while the graph is lowered, before their kernels are.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnc.ir.target import Target
from cnnc.ops.layout import Layout, Layouts
from cnnc.ops.shapes import Shape
from cnnc.ops.single import Single, grouped
from cnnc.passes.choice import Asked, Choice


@dataclass(frozen=True, slots=True)
class Decision:
    """What is taken; what the choice was called (`Asked.key`), and why it was so, if it says."""

    way: Single
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Algorithms:
    """Asks a choice."""

    target: Target
    choose: Choice

    def decide(
        self, found: Single, shapes: tuple[Shape, ...], result: Shape, *, planes: bool = False
    ) -> Decision:
        """Between an op and its `others`, for inputs and a result of these shapes.

        `planes` says that the input lies so: see Asked.
        """
        ways = [(way, self._layouts(way, shapes, result)) for way in (found, *found.others)]
        (first, layouts), *others = ((way.op, layouts) for way, layouts in ways)
        asked = Asked(first, None, layouts, self.target, tuple(others), planes)
        chosen = self.choose(asked)
        form = chosen.form
        made = [(way, way.op.kernel_form(None, layouts, self.target)) for way, layouts in ways]
        # Of an algorithm with other tiles than this machine's, the algorithm is taken.
        alike = [way for way, other in made if other == form]
        alike += [way for way, other in made if other.ALGORITHM == form.ALGORITHM]
        return Decision(alike[0], asked.key, chosen.why)

    def _layouts(self, way: Single, shapes: tuple[Shape, ...], result: Shape) -> Layouts:
        """What the kernel of one of several algorithms sees, if nobody else asks for halos."""
        lanes = self.target.lanes
        x, y = grouped(shapes[0], lanes), grouped(result, lanes)
        return {
            "input": Layout(x[0], x[1:], way.op.halo(None)),
            "result": Layout(y[0], y[1:], tuple((0, 0) for _ in y[1:])),
        }
