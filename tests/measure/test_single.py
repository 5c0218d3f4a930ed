"""A profile of a few samples, which go one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.compiler import Options, compile_spec
from cnnc.measure import Peak, profile
from cnnc.measure.work import forward_flops

SPEC = """
model small {
    input image: uint8[1, 8, 8]
    scale(1/255)
    conv(16, 3x3, pad=1) -> relu -> maxpool(2x2)
    flatten -> dense(10)
}
"""


@pytest.mark.parametrize("more", [0, 1])
def test_single_samples_and_blocks_are_both_counted(
    more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnc.measure.peak.TRIAD_FLOATS", 2**16)
    (tmp_path / "small.cnn").write_text(SPEC)
    compiled = compile_spec(tmp_path / "small.cnn", options=Options(profile=True))
    assert compiled.program.single is not None
    assert compiled.program.single.most > 0
    batch = 1 + more * compiled.target.lanes
    found = profile(compiled, Peak(), batch, training=False, seconds=1e-9)
    assert found.flops == batch * forward_flops(compiled.fused)
    convs = [lap for lap in found.laps if lap.layer == "conv1" and lap.flops]
    assert [lap.calls for lap in convs] == [1] * (1 + more)
    assert all(lap.op == "conv 3x3" and lap.direction == "forward" for lap in convs)
    stores = [lap for lap in found.laps if lap.direction == "store"]
    assert [lap.calls for lap in stores] == [1] * (1 + more)
