"""What the calls of a strip ask for: all that the next strip reads, and nothing else."""

from __future__ import annotations

import pytest

from cnnc.codegen.blocks import batches
from cnnc.ir.calls import Call
from cnnc.ir.program import Program, Segment
from tests.passes.test_strips import SEPARABLE, program_of


def _runs(program: Program) -> list[tuple[Segment, list[Call]]]:
    """The calls of each run of strips of a training step."""
    assert program.train is not None
    found: dict[tuple[int, int], tuple[Segment, list[Call]]] = {}
    for number, segment in enumerate(program.train.segments):
        for call in segment.calls:
            if call.turns is not None:
                found.setdefault((number, call.turns.number), (segment, []))[1].append(call)
    return list(found.values())


@pytest.mark.parametrize("target", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_tensors_that_a_run_reads_and_does_not_make_are_asked_for(target: str) -> None:
    runs = _runs(program_of(SEPARABLE, target))
    assert len(runs) >= 4
    for _, calls in runs:
        turns = calls[0].turns
        assert turns is not None
        made = {call.computes for call in calls}
        reads = {o.name for c in calls for o in c.operands[:-1] if o.space == "kept" and o.step}
        assert {part.tensor for part in turns.ahead} == reads - made
        assert turns.every >= 1


def test_what_is_asked_for_is_the_next_strip_of_the_same_tensor() -> None:
    program = program_of(SEPARABLE)
    assert program.train is not None
    kept = {buffer.tensor: buffer for buffer in program.train.kept}
    for _, calls in _runs(program):
        turns = calls[0].turns
        assert turns is not None
        for part in turns.ahead:
            buffer = kept[part.tensor]
            strides = buffer.layout.strides()
            assert part.offset == buffer.offset
            assert part.block == program.train.kept_size
            assert part.elements == part.step
            by_rows = turns.by == "rows"
            assert (part.runs, part.stride) == ((32, strides[0]) if by_rows else (1, 0))
            whole = 32 * 48 * 40 if by_rows else buffer.layout.size
            assert turns.count * part.runs * part.elements == whole


def test_kernels_of_a_strip_ask_often_enough_for_all_of_it() -> None:
    program = program_of(SEPARABLE)
    rows = 0
    for _, calls in _runs(program):
        turns = calls[0].turns
        assert turns is not None
        asking = [c for c in calls if any(o.space == "ahead" for o in c.operands)]
        requests = sum(program.kernel(call.kernel).form.requests() for call in asking)
        lines = sum(part.runs * part.elements for part in turns.ahead)
        assert turns.every == 1 or requests // turns.every >= lines
        rows += turns.by == "rows"
    assert rows == 2


FORKED = """
input x: float32[3, 48, 40]
a = conv(32, 3x3, pad=1, bias=no) -> batchnorm -> relu
b = a -> maxpool(3x3, stride=1, pad=1)
c = a -> conv(32, 1x1, bias=no) -> batchnorm
add(b, c) -> relu
global_avgpool
"""


def test_a_strip_that_reads_nothing_that_is_kept_has_what_its_kernels_take() -> None:
    program = program_of(FORKED)
    runs = [calls[0].turns for _, calls in _runs(program)]
    assert any(turns and turns.every and not turns.ahead for turns in runs)
    train = next(batch for batch in batches(program) if batch.name == "train")
    asking = [block for block in train.blocks if "&ahead" in "".join(block.calls)]
    assert asking
    assert all(block.ahead >= 1 for block in asking)


def test_whole_blocks_ask_for_nothing() -> None:
    program = program_of(SEPARABLE.replace("48, 40", "4, 4"))
    assert program.train is not None
    operands = [o for call in program.train.calls for o in call.operands]
    assert not any(operand.space == "ahead" for operand in operands)
