"""Every stage of two small specs, byte for byte, against files that people have read.

`pytest tests/test_golden.py --update-golden` writes them anew: by hand, and the diff is read.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnc.compiler import STAGES, Options, emit
from cnnc.diagnostics import Source

GOLDEN = Path(__file__).parent / "golden"
SPECS = sorted(path.stem for path in GOLDEN.glob("*.cnn"))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("spec", SPECS)
def test_a_stage_prints_what_its_golden_file_holds(
    spec: str, stage: str, request: pytest.FixtureRequest
) -> None:
    text = (GOLDEN / f"{spec}.cnn").read_text(encoding="utf-8")
    found = emit(Source(f"{spec}.cnn", text), stage, Options(target="x86-64-v4"))
    golden = GOLDEN / spec / f"{stage}.txt"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", SPECS)
def test_generated_code_is_at_most_100_columns_wide(spec: str) -> None:
    lines = (GOLDEN / spec / "pyx.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 100] == []
