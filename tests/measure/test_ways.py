"""Which algorithm of single samples a made-up stopwatch leads to, and what counts for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cnnc.compiled import Compiled
from cnnc.compiler import Options, emit, lower, open_spec
from cnnc.ir.program import Program
from cnnc.measure.step import Place, spots
from cnnc.measure.stopwatch import BLOCKS
from cnnc.measure.tune import tune
from cnnc.tuning import Tuning

TARGET = "x86-64-v2"
"""Of four lanes: one that every machine here can be."""

Seconds = Callable[[str, str, Any], float]
"""Of a call, by its schedule, what it computes and its form."""


def stages(spec: str | Path, options: Options) -> dict[str, Any]:
    return dict(lower(*open_spec(spec, options)))


@pytest.fixture(autouse=True)
def forgetful(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No module is compiled: a made-up stopwatch reads programs alone."""
    planned = lambda spec, options: SimpleNamespace(program=stages(spec, options)["program"])  # noqa: E731
    monkeypatch.setattr("cnnc.measure.tune.compile_spec", planned)


def measure(path: Path, text: str, seconds: Seconds) -> tuple[Tuning, Program]:
    """What that stopwatch finds, and the program that comes of it."""

    def stopwatch(variants: Sequence[Compiled], until: float) -> list[dict[Place, float]]:
        return [
            {
                (schedule.name, kind, name): seconds(
                    schedule.name, name, variant.program.kernel(call.kernel).form
                )
                for schedule in variant.program.schedules()
                for kind, name, call in spots(schedule)
                if call is not None
            }
            for variant in variants
        ]

    path.write_text(f"model ways {{\n{text}\n}}\n")
    found = tune(path, Options(TARGET), 1e9, stopwatch=stopwatch)
    return found, stages(path, Options(TARGET, tuning=found, alone=1))["program"]


def algorithm_of(program: Program, node: str) -> str:
    """How a single sample's node is computed."""
    assert program.single is not None
    (call,) = (c for c in program.single.schedule.calls if c.computes == node)
    return program.kernel(call.kernel).form.ALGORITHM


SQUARE = "input x: float32[24, 12, 12]\nconv(20, 3x3, pad=1) -> relu -> global_avgpool"


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "winograd4"])
def test_the_fastest_algorithm_is_taken_and_says_so(algorithm: str, tmp_path: Path) -> None:
    path = tmp_path / "ways.cnn"
    seconds: Seconds = lambda schedule, name, form: 1.0 + (algorithm != form.ALGORITHM)  # noqa: E731
    found, program = measure(path, SQUARE, seconds)
    assert algorithm_of(program, "conv1") == algorithm
    (key,) = (key for key in found.targets[TARGET].kernels if " by " in key)
    assert key.startswith("single_conv[")
    assert " by direct, winograd, winograd4: input (6, 12, 12)" in key
    source, _ = open_spec(path)
    text = emit(source, "program", Options(TARGET, tuning=found, alone=1))
    kernel = text.partition("kernel conv1_forward_single")[2].partition("  kernel ")[0]
    assert f"{algorithm}: measured 2.00 x as fast as " in kernel


def test_one_of_several_filterings_along_rows_is_taken(tmp_path: Path) -> None:
    text = "input x: float32[24, 96]\nconv(20, 9, pad=4) -> relu -> global_avgpool"

    def seconds(schedule: str, name: str, form: Any) -> float:
        return 1.0 + (form.candidate() != "winograd1d F(4, 3)")

    found, program = measure(tmp_path / "ways.cnn", text, seconds)
    (choice,) = (m for key, m in found.targets[TARGET].kernels.items() if " by " in key)
    assert len(choice.seconds) > 2
    if "winograd1d F(4, 3)" in choice.seconds:
        assert choice.choice == "winograd1d F(4, 3)"
        assert algorithm_of(program, "conv1") == "winograd1d"


def test_tiles_of_every_algorithm_have_their_turn(tmp_path: Path) -> None:
    def seconds(schedule: str, name: str, form: Any) -> float:
        # Of single samples the direct sum is the fastest, but only with other tiles.
        if schedule != "single" or name != "conv1":
            return 1.0
        asked.setdefault(form.ALGORITHM, []).append(form)
        first = form == asked[form.ALGORITHM][0]
        return {"direct": 5.0 if first else 1.0}.get(form.ALGORITHM, 2.0)

    asked: dict[str, list[Any]] = {}
    text = "input x: float32[48, 24, 24]\nconv(96, 3x3, pad=1)"
    found, program = measure(tmp_path / "ways.cnn", text, seconds)
    assert algorithm_of(program, "conv1") == "direct"
    (tiles,) = (
        each
        for key, each in found.targets[TARGET].kernels.items()
        if key.startswith("single_conv[") and " forward: " in key
    )
    assert tiles.choice.startswith("direct, tiles for")


LEADING = "input x: uint8[1, 28, 28]\nscale(1/255)\nconv(6, 5x5, pad=2) -> relu\n"


@pytest.mark.parametrize(("copy", "algorithm"), [(0.5, "columns"), (3.0, "direct")])
def test_copies_that_it_brings_along_count(copy: float, algorithm: str, tmp_path: Path) -> None:
    def seconds(schedule: str, name: str, form: Any) -> float:
        if name == "conv1":
            return 1.0 if form.ALGORITHM == "columns" else 2.0
        return copy if name.endswith("_lanes") else 0.1

    # What has a halo reads no planes.
    text = LEADING + "depthwise(3x3, pad=1) -> global_avgpool"
    found, program = measure(tmp_path / "ways.cnn", text, seconds)
    assert algorithm_of(program, "conv1") == algorithm
    (choice,) = (m for key, m in found.targets[TARGET].kernels.items() if " by " in key)
    taken = choice.seconds["columns"]
    assert (taken, choice.seconds["direct"]) == pytest.approx((1.0 + copy, 2.0))


@pytest.mark.parametrize(("copy", "algorithm"), [(0.5, "direct"), (5.0, "columns")])
def test_what_reads_its_result_counts(copy: float, algorithm: str, tmp_path: Path) -> None:
    def seconds(schedule: str, name: str, form: Any) -> float:
        if schedule != "single":
            return 0.1
        if name == "conv1":
            return 1.0 if form.ALGORITHM == "columns" else 2.0
        if name == "maxpool1":
            return 3.0 if form.TEMPLATE == "single_planes" else 1.0
        return copy if name.endswith("_row") else 0.1

    text = LEADING + "maxpool(2x2) -> flatten -> dense(10)"
    _, program = measure(tmp_path / "ways.cnn", text, seconds)
    assert algorithm_of(program, "conv1") == algorithm


@pytest.mark.parametrize(("slow", "algorithms"), [("to_row", "columns"), ("columns", "direct")])
def test_layers_that_follow_each_other_in_planes(
    slow: str, algorithms: str, tmp_path: Path
) -> None:
    def seconds(schedule: str, name: str, form: Any) -> float:
        return 9.0 if slow in (form.ALGORITHM, getattr(form, "macro", "")) else 1.0

    text = LEADING + "maxpool(2x2)\nconv(16, 5x5) -> relu -> maxpool(2x2) -> flatten -> dense(10)"
    found, program = measure(tmp_path / "ways.cnn", text, seconds)
    assert algorithm_of(program, "conv1") == algorithms
    if algorithms == "columns":
        assert algorithm_of(program, "conv2") == algorithms
    again: list[int] = []
    source = tmp_path / "ways.cnn"
    same = tune(source, Options(TARGET), stopwatch=lambda v, until: again.append(len(v)) or [])
    assert again == []  # all that could be measured was
    assert same == found


def test_samples_go_one_by_one_by_what_was_chosen(tmp_path: Path) -> None:
    def seconds(schedule: str, name: str, form: Any) -> float:
        if schedule == "infer":
            return 3.0 * BLOCKS if name == "conv1" else 0.0
        if name == "conv1":
            return 1.0 if form.ALGORITHM in ("direct", "columns") else 9.0
        return 100.0 if name.endswith("_lanes") else 0.0

    text = LEADING + "depthwise(3x3, pad=1) -> global_avgpool"
    found, program = measure(tmp_path / "ways.cnn", text, seconds)
    assert algorithm_of(program, "conv1") == "direct"
    assert list(found.targets[TARGET].alone.values()) == [2]
