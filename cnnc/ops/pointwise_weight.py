"""The weight gradient of a convolution whose windows are single positions: a matrix product.

It sums over positions and samples. Where the direct sum keeps those of each lane apart and adds up
the lanes in the end, here the input is turned, so that lanes run along its channels: no sum has
lanes to be added up, however few the positions are. Plain values and coordinates, as
templates/pointwise.pyx.j2 reads them; conv_kernels chooses the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cnnc.ops.conv_forms import ConvForm, Tiles, visits
from cnnc.ops.loops import Loop


@dataclass(frozen=True, slots=True)
class PointwiseWeightGrad(ConvForm):
    """Tiles of filters x registers of input channels, for some columns of a row at a time.

    What is turned lies in scratch as [column][sample][register of the tile].
    """

    lanes: int
    filters: Tiles
    registers: Tiles
    columns: Tiles

    TEMPLATE: ClassVar[str] = "pointwise"
    MACRO: ClassVar[str] = "weight_gradient"
    ALGORITHM: ClassVar[str] = "matmul"

    def operands(self) -> tuple[str, ...]:
        return ("output_grad", "input", "scratch", *self.asking, "result")

    def requests(self) -> int:
        columns = sum(loop.trips * count for loop, count in self.columns)
        return (
            self.groups
            * visits(*self.output_rows, self.registers, self.filters)
            * (columns * self.lanes)
        )

    def scratch(self) -> int:
        return self.registers[0][1] * self.columns[0][1] * self.lanes

    @property
    def filter_stride(self) -> int:
        """Floats from one filter's output gradient to the next one's."""
        return self.y.strides()[0] * self.lanes

    def more(self, columns: Loop) -> str:
        """Whether a sum is added to what `result` holds; empty if it always is."""
        if columns.start > 0:
            return ""
        later = [f"{loop.at} > 0" for loop in (*self.output_rows, columns) if loop.runs]
        return " or ".join(["accumulate", *later])

    def least_positions(self) -> int:
        return self.columns[0][1]

    def reason(self) -> str:
        tile = f"tile {self.filters[0][1]}x{self.registers[0][1]} (filters x registers of channels)"
        columns = f"{self.columns[0][1]} columns at a time"
        return f"matrix product, {self.group_text}{tile}, {columns}"
