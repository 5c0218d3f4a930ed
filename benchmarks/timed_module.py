"""A spec -> its generated module with a clock around every kernel of a block, built and loaded.

The generated `train_block` (`infer_block` without a train block) is copied as text, each call
becomes a loop between two readings of the clock, and `time_block` runs the copy on the memory of a
live model. Kernels therefore work on real values, at the addresses and in the order of a real step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from arithmetic import node_flops
from numpy.typing import NDArray

from cnnc.codegen.blocks import batches
from cnnc.codegen.build import build, load_extension
from cnnc.compiler import Options, lower
from cnnc.frontend import read_source
from cnnc.ir.graph import Graph
from cnnc.ir.program import Program, Schedule

HARNESS = '''

cdef extern from *:
    """
    #include <time.h>
    static double clock_now(void) {{
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec + 1e-9 * now.tv_nsec;
    }}
    """
    double clock_now() noexcept nogil


{function}

def clock_cost():
    """Seconds that two readings of the clock take between them."""
    cdef double start, found, least = 1
    for _ in range(1000):
        start = clock_now()
        found = clock_now() - start
        least = min(least, found)
    return least


def time_block(Model net, tuple inputs, target, tuple results, rounds, seconds):
    cdef Arrays arrays
    cdef unsigned long mode
    cdef float* outputs[16]
    held = [net._bind(&arrays, inputs{target}), _Pinned(rounds), _Pinned(seconds, True)]
    cdef const long* counts = <const long*>(<_Pinned>held[1]).view.buf
    cdef double* times = <double*>(<_Pinned>held[2]).view.buf
    for index, result in enumerate(results):
        pinned = _Pinned(result, True)
        outputs[index] = <float*>(<_Pinned>pinned).view.buf
        held.append(pinned)
    net._reserve(LANES)
{reserve}
    with nogil:
        mode = flush_denormals()
        {call}
        restore_mode(mode)
'''


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One call of a block. `flops` are those of a whole block: two a multiply-add."""

    kernel: str
    flops: int


class TimedModule:
    """The module of a spec, a model of it on one thread, and random data for one block."""

    def __init__(self, spec: Path, target: str | None = None, *, forward: bool = False) -> None:
        forms = dict(lower(read_source(spec), Options(target=target)))
        self.program: Program = forms["program"]
        self.graph: Graph = forms["graph"]
        training = self.program.train
        self.trains = training is not None and not forward
        schedule = training if training is not None and self.trains else self.program.infer
        text, kernels = _instrument(forms["pyx"], self.program, self.trains)
        fused: Graph = forms["fused"]
        graph = fused.step if self.trains and fused.step is not None else fused
        self.calls = tuple(_timed_calls(kernels, schedule, graph, self.lanes))
        built = build(self.program.name, text, "", self.program.target)
        self._module = load_extension(self.program.name, built.loadable)
        self.net = self._module.Model(seed=0, threads=1)
        self.data = self.samples(self.lanes)

    @property
    def lanes(self) -> int:
        """Samples of a block."""
        return self.program.target.lanes

    def samples(self, count: int) -> tuple[NDArray[Any], ...]:
        """Random inputs, and targets where the model trains."""
        rng = np.random.default_rng(0)
        kinds, net = self.net.input_dtypes, self.net
        arrays: list[NDArray[Any]] = []
        for name, shape in net.input_shapes.items():
            full = (count, *shape)
            if kinds[name] == "uint8":
                arrays.append(rng.integers(0, 256, full).astype(np.uint8))
            else:
                arrays.append(rng.standard_normal(full, np.float32))
        if self.trains and net.classes is not None:
            arrays.append(rng.integers(0, net.classes, count))
        elif self.trains:
            shape = next(iter(net.output_shapes.values()))
            arrays.append(rng.standard_normal((count, *shape), np.float32))
        return tuple(arrays)

    def seconds(self, rounds: NDArray[np.int_]) -> NDArray[np.float64]:
        """Seconds of one run of each call, each repeated in place as often as `rounds` says."""
        times = np.zeros(len(self.calls))
        shapes = self.net.output_shapes.values()
        results = tuple(np.empty((self.lanes, *shape), np.float32) for shape in shapes)
        inputs, target = (self.data[:-1], self.data[-1]) if self.trains else (self.data, None)
        self._module.time_block(self.net, inputs, target, results, rounds, times)
        return times / rounds

    def clock_cost(self) -> float:
        """Seconds that reading the clock adds to a call that is not repeated."""
        return float(self._module.clock_cost())

    def step(self, arrays: tuple[NDArray[Any], ...]) -> None:
        """What a user calls: a training step, or inference."""
        if self.trains:
            self.net.train_step(*arrays)
        else:
            self.net(*arrays)


def _instrument(pyx: str, program: Program, trains: bool) -> tuple[str, list[str]]:
    """The module's text with the timed copy of a block at its end, and the calls in it."""
    name = "train_block" if trains else "infer_block"
    found = re.search(rf"^cdef \w+ {name}\(.*?(?=\n\n\n)", pyx, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"the generated module has no {name}: this script has to be adapted")
    head, quotes, body = found[0].partition('"""\n')
    head = head.replace(name, "timed_block", 1)
    head = head.replace(
        ") noexcept", "    float* direct, const long* rounds, double* seconds\n) noexcept", 1
    )
    # The parameter before may stand without a comma where they share a line.
    head = re.sub(r"([^,(\s])\n( +float\* direct)", r"\1,\n\2", head)
    if trains:
        body = _with_finish(body, program)
    known = {kernel.name for kernel in program.kernels}
    kernels: list[str] = []
    lines = []
    for statement in _statements(body.splitlines()):
        call = re.match(r"( +)(?:for tile in range\(\d+\): )?(\w+)\(", statement[0])
        if call is None or call[2] not in known:
            lines += statement
            continue
        indent = call[1]
        lines.append(f"{indent}start = clock_now()")
        lines.append(f"{indent}for turn in range(rounds[{len(kernels)}]):")
        lines += [f"    {line}" for line in statement]
        lines.append(f"{indent}seconds[{len(kernels)}] = clock_now() - start")
        kernels.append(call[2])
    declared = "    cdef double start\n    cdef long turn\n"
    function = head + quotes + declared + "\n".join(lines) + "\n"
    kept = ["net.kept"] if trains and program.train and program.train.kept_size else []
    shared = ["net.shared"] if program.shared else []
    arguments = ["&arrays", "0", "net.parameters_at", *shared, *kept, "net.workspaces"]
    arguments += ["net.partial", "False"] if trains else ["outputs"]
    direct = "net.gradients_at" if trains else "NULL"
    harness = HARNESS.format(
        function=function,
        target=", (target,)" if trains else "",
        reserve="    net._reserve_training(LANES)" if trains else "",
        call=f"timed_block({', '.join([*arguments, direct, 'counts', 'times'])})",
    )
    return pyx + harness, kernels


def _with_finish(body: str, program: Program) -> str:
    """A block's body with what follows when every block has been through it: here, one."""
    (train,) = (batch for batch in batches(program) if batch.name == "train")
    *calls, end = body.rstrip("\n").rsplit("\n", 1)
    finish = []
    tiles = dict(train.blocks[0].tiled)
    for call in train.blocks[0].finish:
        shared = re.search(r"run_parallel\(\s*(\w+),\s*&whole,\s*(\d+)", call)
        if shared is None:
            raise SystemExit(f"not a call in pieces: {call}: this script has to be adapted")
        one = re.sub(r"^ *#.*\n", "", tiles[shared[1]], flags=re.MULTILINE)
        one = re.sub(r"\bblocks\b", "1", one).replace("gradients +", "direct +")
        # One statement, so that all tiles are timed together.
        finish.append(f"    for tile in range({shared[2]}): {one}")
    declared = "    cdef int tile\n" if any("tile in" in text for text in finish) else ""
    return "\n".join([declared + "\n".join(calls), *finish, end])


def _statements(lines: list[str]) -> Iterator[list[str]]:
    """Lines grouped until their brackets close."""
    group: list[str] = []
    for line in lines:
        group.append(line)
        text = "\n".join(part.split("#")[0] for part in group)
        if text.count("(") == text.count(")"):
            yield group
            group = []
    if group:
        yield group


def _timed_calls(
    kernels: list[str], schedule: Schedule, fused: Graph, lanes: int
) -> Iterator[TimedCall]:
    """Each call with its arithmetic; what loads and stores has none."""
    planned = list(schedule.calls)
    for kernel in kernels:
        if planned and planned[0].kernel == kernel:
            node = fused.node(planned.pop(0).computes)
            yield TimedCall(kernel, lanes * node_flops(node, fused))
        else:
            yield TimedCall(kernel, 0)
    if planned:
        raise SystemExit(f"no call of {planned[0].kernel} found: this script has to be adapted")
