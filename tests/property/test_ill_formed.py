"""Random ill-formed specs end in a diagnostic: never in a traceback, a hang or much memory.

`--ill-formed N` asks for more of them; `python -m tests.property.ill_formed FOLDER SEED 1` for one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.property.hostile import lay_out
from tests.property.ill_formed import survive
from tests.property.mutations import case, seeds

ROOT = Path(__file__).resolve().parents[2]
SECONDS_A_CASE = 0.5
"""On average, on a machine that does other things too: 20 ms is usual."""


def test_random_ill_formed_specs_end_in_diagnostics(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    count, workers = request.config.getoption("--ill-formed"), len(os.sched_getaffinity(0))
    lay_out(tmp_path)
    each = -(-count // workers)
    started = [
        _worker(tmp_path, start, min(each, count - start)) for start in range(0, count, each)
    ]
    failures, well = [], 0
    for process in started:
        output, _ = process.communicate(timeout=60 + each * SECONDS_A_CASE)
        *lines, last = output.splitlines() or [""]
        assert process.returncode == 0, f"the process ended by itself:\n{output}"
        failures += [json.loads(line) for line in lines]
        well += json.loads(last)[1]
    told = [
        f"seed {seed}: {error}\n{trace}\n{case(seed)[:2000]!r}" for seed, error, trace in failures
    ]
    assert not failures, "\n\n".join([f"{len(failures)} of {count}", *told[:5]])
    # Neither all right nor all wrong in the first word: the mutations reach every stage.
    assert 0.03 * count < well < 0.5 * count


def _worker(folder: Path, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.property.ill_formed", folder, str(first), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", range(len(seeds())))
def test_cut_off_anywhere_a_spec_ends_in_diagnostics(number: int) -> None:
    text = seeds()[number]
    for end in range(0, len(text), max(len(text) // 25, 1)):
        survive(text[:end])
