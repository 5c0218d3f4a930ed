"""Tuning with a stopwatch that makes its times up: what was chosen, remembered and built again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnc.codegen.toolchain import native_target
from cnnc.compiled import Compiled
from cnnc.compiler import Options, compile_spec, emit, lower, open_spec
from cnnc.diagnostics import CompileError
from cnnc.ir.program import Program
from cnnc.ir.target import TARGETS
from cnnc.measure.step import Place, spots
from cnnc.measure.stopwatch import time_variants
from cnnc.measure.tune import tune
from cnnc.tuning import Measured, Outcome, Tuning, read_tuning, write_tuning

SPEC = """
model tuned {
    input image: float32[17, 6, 6]
    conv(18, 3x3, pad=1) -> relu -> global_avgpool
}
"""
SHAPE = (17, 6, 6)
LONG = 1e9
"""Seconds that do not run out."""


def only(found: Tuning) -> Outcome:
    """That of the one target."""
    (outcome,) = found.targets.values()
    return outcome


def target_of(found: Tuning) -> str:
    return ",".join(found.targets)


def with_outcome(found: Tuning, **changes: Any) -> Tuning:
    return replace(found, targets={target_of(found): replace(only(found), **changes)})


def planned(spec: str | Path, *, options: Options) -> Any:
    """As compile_spec, without the module: a made-up stopwatch reads programs alone."""
    stages = lower(*open_spec(spec, options))
    return SimpleNamespace(program=next(form for stage, form in stages if stage == "program"))


@pytest.fixture(autouse=True)
def spec(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cnnc.measure.tune.compile_spec", planned)
    path = tmp_path / "tuned.cnn"
    path.write_text(SPEC)
    return path


@dataclass
class Fake:
    """Kernels of this algorithm take a second, others two; a sample `alone`, a block 1.

    What a batch prepares takes as long as `prepare` says.
    """

    fast: str
    alone: float = 0.3
    prepare: float = 0.0
    variants: list[int] = field(default_factory=list)

    def __call__(self, variants: Sequence[Compiled], until: float) -> list[dict[Place, float]]:
        self.variants.append(len(variants))
        return [self._times(variant.program) for variant in variants]

    def _times(self, program: Program) -> dict[Place, float]:
        times: dict[Place, float] = {}
        for schedule in (s for s in program.schedules() if s.name != "loss"):
            for kind, name, call in spots(schedule):
                if kind == "prepare":
                    times[schedule.name, kind, name] = self.prepare
                elif call is not None:
                    form = program.kernel(call.kernel).form
                    times[schedule.name, kind, name] = 1.0 + (self.fast != form.ALGORITHM)
            times[schedule.name, "load", "image"] = 0.0
        return times


def _algorithms(program: Program) -> dict[str, str]:
    kernels = {kernel.name: kernel.form.ALGORITHM for kernel in program.kernels}
    return {name: kernels[name] for name in ("conv1_forward", "conv1_forward_single")}


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_the_fastest_is_taken(algorithm: str, spec: Path) -> None:
    found = tune(spec, seconds=LONG, stopwatch=Fake(algorithm))
    built = compile_spec(spec, options=Options(tuning=found, alone=1))
    assert set(_algorithms(built.program).values()) == {algorithm}
    net: Any = built.load().Model(seed=0)
    plain: Any = compile_spec(spec).load().Model(seed=0)
    for samples in (1, 17, 19):
        x = np.random.default_rng(0).standard_normal((samples, *SHAPE)).astype(np.float32)
        np.testing.assert_allclose(net(x), plain(x), rtol=1e-4, atol=1e-5)


def test_what_a_batch_prepares_counts(spec: Path) -> None:
    found = tune(spec, seconds=LONG, stopwatch=Fake("winograd", prepare=3.0))
    kernels = only(found).kernels
    (of_blocks,) = (kernels[key] for key in kernels if key.startswith("conv["))
    assert of_blocks.choice == "direct"


def test_what_is_known_is_not_measured_again(spec: Path) -> None:
    heard: list[str] = []
    hear = lambda share, what: heard.append(what)  # noqa: E731
    first = tune(spec, seconds=LONG, stopwatch=Fake("winograd"), on_progress=hear)
    assert "measuring" in heard
    again = tune(spec, seconds=LONG, stopwatch=Fake("direct"))
    assert again == first
    other = spec.with_name("other.cnn")
    other.write_text(SPEC.replace("pool", "pool -> dense(3)").replace("tuned", "other"))
    fake = Fake("direct")
    changed = tune(other, seconds=LONG, stopwatch=fake)
    assert fake.variants
    before, after = only(first).kernels, only(changed).kernels
    shared = before.keys() & after.keys()
    assert shared
    assert {key: before[key] for key in shared} == {key: after[key] for key in shared}


def test_without_time_two_candidates_are_measured_and_the_rest_the_next_time(spec: Path) -> None:
    counts = []
    for _ in range(24):
        fake = Fake("winograd")
        found = tune(spec, seconds=1e-9, stopwatch=fake)
        counts.append(fake.variants)
        if not fake.variants:
            break
        assert fake.variants == [2]
    assert counts[-1] == []
    assert len(counts) > 2
    choices = [each.choice for each in only(found).kernels.values()]
    assert all(each.startswith(("direct", "winograd")) for each in choices)


def test_a_damaged_memory_is_measured_anew(spec: Path, memory: Path) -> None:
    first = tune(spec, seconds=LONG, stopwatch=Fake("winograd"))
    (file,) = memory.glob("*.json")
    file.write_text(file.read_text()[:-40])
    fake = Fake("winograd")
    assert tune(spec, seconds=LONG, stopwatch=fake) == first
    assert fake.variants


def test_interrupted_it_leaves_nothing(spec: Path, memory: Path) -> None:
    def interrupt(variants: Sequence[Compiled], until: float) -> list[dict[Place, float]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(spec, seconds=LONG, stopwatch=interrupt)
    assert not list(memory.glob("*"))


def test_the_stored_choice_is_built_again_to_the_byte(spec: Path, tmp_path: Path) -> None:
    found = tune(spec, seconds=LONG, stopwatch=Fake("direct"))
    write_tuning(found, tmp_path / "file.json")
    read = read_tuning(tmp_path / "file.json")
    assert read.text() == found.text()
    source, _ = open_spec(spec)
    target = target_of(found)
    first = emit(source, "pyx", Options(target, tuning=found))
    assert first == emit(source, "pyx", Options(target, tuning=read))
    assert first != emit(source, "pyx", Options(target))


def test_the_program_says_what_was_chosen_and_why(spec: Path) -> None:
    found = tune(spec, seconds=LONG, stopwatch=Fake("direct"))
    source, _ = open_spec(spec)
    text = emit(source, "program", Options(target_of(found), tuning=found))
    assert "direct: measured 2.00 x as fast as winograd" in text
    some = dict(list(only(found).kernels.items())[1:])
    changed = with_outcome(found, kernels=some)
    text = emit(source, "program", Options(target_of(found), tuning=changed))
    assert "by the cost model: not in the tuning file" in text
    gone = {key: Measured("fft", {}) for key in only(found).kernels}
    changed = with_outcome(found, kernels=gone)
    text = emit(source, "program", Options(target_of(found), tuning=changed))
    assert "by the cost model: the tuning file's fft is no candidate" in text


@pytest.mark.parametrize("most", [0, 1, "lanes"])
def test_samples_go_one_by_one_as_far_as_the_file_says(most: int | str, spec: Path) -> None:
    lanes = native_target().lanes
    count = lanes if most == "lanes" else int(most)
    found = tune(spec, seconds=LONG, stopwatch=Fake("direct"))
    (digest,) = only(found).alone
    tuning = with_outcome(found, alone={digest: count})
    built = compile_spec(spec, options=Options(tuning=tuning))
    program = built.program
    assert program.alone(2 * lanes) == (2 * lanes if count == lanes else 0)
    assert program.alone(lanes + 1) == {0: 0, 1: 1, lanes: lanes + 1}[count]
    net: Any = built.load().Model(seed=0)
    plain: Any = compile_spec(spec).load().Model(seed=0)
    for samples in (0, 1, 2, lanes - 1, lanes, lanes + 1, 2 * lanes + 1):
        x = np.random.default_rng(0).standard_normal((samples, *SHAPE)).astype(np.float32)
        np.testing.assert_allclose(net(x), plain(x), rtol=1e-4, atol=1e-5)
        net.threads = 2
        two = net(x)
        net.threads = 1
        np.testing.assert_array_equal(net(x), two)


def test_another_target_or_network_is_an_error(spec: Path) -> None:
    found = tune(spec, seconds=LONG, stopwatch=Fake("direct"))
    source, _ = open_spec(spec)
    with pytest.raises(CompileError, match="measured for") as error:
        emit(source, "pyx", Options("aarch64", tuning=found))
    assert error.value.diagnostics[0].code == "tuning-file"
    other = spec.with_name("other.cnn")
    other.write_text("model other {\n input x: float32[7, 5, 5]\n conv(9, 3x3)\n}\n")
    source, _ = open_spec(other)
    with pytest.raises(CompileError, match="other has no kernel"):
        emit(source, "pyx", Options(target_of(found), tuning=found))


def test_every_target_that_runs_here_is_tuned(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_PROCESSOR", "x86-64-v2")
    heard: list[tuple[float, str]] = []
    hear = lambda share, what: heard.append((share, what))  # noqa: E731
    every = "x86-64,x86-64-v2,x86-64-v3"
    fake = Fake("direct")
    found = tune(spec, Options(every), LONG, stopwatch=fake, on_progress=hear)
    assert list(found.targets) == ["x86-64-v2", "x86-64"]
    assert len(fake.variants) == 2
    assert [what for _, what in heard if what.endswith("measuring")] == [
        "x86-64-v2: measuring",
        "x86-64: measuring",
    ]
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    (warning,) = found.warnings(TARGETS[name] for name in every.split(","))
    assert warning.severity == "warning"
    assert warning.message.startswith("x86-64-v3 is not tuned")
    assert "a machine for x86-64-v2, where this was measured, cannot run it" in warning.message
    source, _ = open_spec(spec)
    text = emit(source, "program", Options(every, tuning=found))
    measured = ["measured" in each for each in text.split("program tuned, target ")[1:]]
    assert measured == [False, True, True]
    again = Fake("winograd")
    assert tune(spec, Options(every), LONG, stopwatch=again) == found
    assert again.variants == []


def test_time_is_shared_out_among_the_targets(spec: Path) -> None:
    ends: list[float] = []

    def note(variants: Sequence[Compiled], until: float) -> list[dict[Place, float]]:
        ends.append(until)
        return Fake("direct")(variants, until)

    start = time.monotonic()
    tune(spec, Options("x86-64,x86-64-v2"), 1000.0, stopwatch=note)
    first, second = (end - start for end in ends)
    assert 500 <= first < 550
    assert 1000 <= second < 1050


def test_interrupted_at_the_second_target_the_first_is_remembered(spec: Path, memory: Path) -> None:
    def interrupt(variants: Sequence[Compiled], until: float) -> list[dict[Place, float]]:
        if variants[0].program.target.name == "x86-64":
            raise KeyboardInterrupt
        return Fake("direct")(variants, until)

    with pytest.raises(KeyboardInterrupt):
        tune(spec, Options("x86-64,x86-64-v2"), LONG, stopwatch=interrupt)
    (file,) = memory.iterdir()
    assert list(read_tuning(file).targets) == ["x86-64-v2"]


def test_a_target_that_cannot_run_here_is_an_error(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNC_PROCESSOR", "x86-64-v2")
    with pytest.raises(CompileError, match="this machine cannot run code for x86-64-v3"):
        tune(spec, Options("x86-64-v3"), stopwatch=Fake("direct"))


def test_the_real_stopwatch_times_every_kernel_with_candidates(spec: Path) -> None:
    found = tune(spec, seconds=LONG, stopwatch=Fake("direct"))
    compiled = compile_spec(spec, options=Options(profile=True, alone=1, tuning=found))
    (times,) = time_variants([compiled], until=0.0)
    program = compiled.program
    timed = {
        key
        for schedule in program.schedules()
        for kind, name, call in spots(schedule)
        if call is not None and (schedule.name, kind, name) in times
        for key in program.kernel(call.kernel).asked
    }
    several = only(found).kernels.keys()
    assert several <= timed.union(*program.single.asked.values())
    assert all(seconds >= 0 for seconds in times.values())


GOOD_OUTCOME = {
    "samples_alone": {"d": 3},
    "kernels": {"k": {"choice": "direct", "seconds": {"direct": 1e-6}}},
}
GOOD = {
    "format": "cnnc tuning 2",
    "model": "m",
    "machine": {},
    "targets": {"x86-64-v4": GOOD_OUTCOME},
}


def of_target(**change: Any) -> dict[str, Any]:
    return {"targets": {"x86-64-v4": GOOD_OUTCOME | change}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "cnnc tuning 9"}, "its format is"),
        ({"targets": {"z80": GOOD_OUTCOME}}, "target 'z80' is none of"),
        ({"targets": ["x86-64"]}, "targets is no JSON object"),
        ({"targets": {}}, "it has no target"),
        ({"targets": {"x86-64": 3}}, "target x86-64 is no JSON object"),
        ({"model": 3}, "model is 3"),
        ({"machine": None}, "machine is no JSON object"),
        (of_target(samples_alone={"d": 17}), "samples_alone has 17"),
        (of_target(samples_alone={"d": True}), "samples_alone has True"),
        (of_target(kernels=[]), "kernels is no JSON object"),
        (of_target(kernels={"k": 3}), "kernel k is no JSON object"),
        (of_target(kernels={"k": {"seconds": {}}}), "kernel k has no choice"),
        (of_target(kernels={"k": {"choice": "a"}}), "seconds of kernel k"),
        (of_target(kernels={"k": {"choice": "a", "seconds": {"a": "1"}}}), "took '1'"),
        (of_target(kernels={"k": {"choice": "a", "seconds": {"a": -1}}}), "took -1"),
        (of_target(kernels={"k": {"choice": "a", "seconds": {"a": float("nan")}}}), "took nan"),
    ],
)
def test_a_wrong_file_is_refused_in_words(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(GOOD))
    assert read_tuning(path).targets["x86-64-v4"].alone == {"d": 3}
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(CompileError) as error:
        read_tuning(path)
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "tuning-file"
    assert words in diagnostic.message


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02}", b"[1, 2]", b"{", b"[" * 100_000, b'{"a": 1' + b"0" * 9999 + b"}"]
)
def test_a_damaged_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(data)
    with pytest.raises(CompileError, match="is no tuning file"):
        read_tuning(tmp_path / "t.json")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="cannot be read: No such file"):
        read_tuning(tmp_path / "none.json")


def test_choices_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="one of algorithm, tuning and choose"):
        Options(algorithm="direct", tuning=Tuning("m", {"x86-64": Outcome()}))
