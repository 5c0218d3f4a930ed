"""What a block of samples is guessed to take: in proportion to its work, and never too much."""

from __future__ import annotations

from pathlib import Path

from cnnc.compiler import Options, lower
from cnnc.diagnostics import Source
from cnnc.ir.program import Program

TEXT = """
model net {{
    input image: float32[{channels}, 16, 16]
    conv({filters}, 3x3, pad=1) -> relu
    flatten
    dense(10)
}}
train {{ loss cross_entropy; optimizer sgd(lr=0.1) }}
"""


def _program(channels: int, filters: int, target: str = "x86-64-v4") -> Program:
    text = TEXT.format(channels=channels, filters=filters)
    found: Program = dict(lower(Source("net.cnn", text), Options(target=target)))["program"]
    return found


def test_a_cost_follows_the_multiply_adds() -> None:
    small, large = _program(16, 16), _program(64, 64)
    assert 8 < large.infer.cost / small.infer.cost < 16
    assert large.train is not None
    # The weight's gradient takes what forward does; the bias's is added up on the way.
    assert 1.9 < large.train.cost / large.infer.cost < 4


def test_a_cost_is_no_more_than_a_fast_core_takes() -> None:
    # 16 lanes at 5 GHz and two multiply-adds a cycle
    products = 64 * 64 * 9 * 256
    found = _program(64, 64).infer.cost
    assert products / 10 < found < 2 * products / 4


def test_fewer_lanes_take_no_longer_a_block() -> None:
    assert _program(16, 16, "x86-64").infer.cost <= _program(16, 16).infer.cost


def test_threads_share_no_layer_of_a_sample_that_is_done_sooner_alone() -> None:
    text = (Path(__file__).parents[2] / "specs" / "lenet.cnn").read_text()
    lenet: Program = dict(lower(Source("lenet.cnn", text), Options(target="x86-64-v4")))["program"]
    assert lenet.single is not None
    assert lenet.single.schedule.divided == ()
    large = _program(64, 64).single
    assert large is not None
    assert [call.computes for call in large.schedule.divided][:1] == ["conv1"]
