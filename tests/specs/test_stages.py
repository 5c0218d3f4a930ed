"""Every network of specs/ at its full size through every stage, for every target; no C compiler."""

from __future__ import annotations

import pytest

from cnnc.codegen.render import render_stub
from cnnc.compiler import STAGES, Options, lower, open_spec
from cnnc.diagnostics import Diagnostic
from cnnc.ir.target import TARGETS
from cnnc.ir.verify import verify_graph, verify_program
from tests.specs.networks import ALL, SPECS


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ALL)
def test_stages(name: str, target: str) -> None:
    warnings: list[Diagnostic] = []
    forms = dict(lower(*open_spec(SPECS / f"{name}.cnn", Options(target)), warnings.append))
    assert tuple(forms) == STAGES
    assert not warnings
    for stage in ("graph", "grad", "fused"):
        verify_graph(forms[stage])
    verify_program(forms["program"])
    written = forms["pyx"] + render_stub(program := forms["program"], name)
    assert [line for line in written.splitlines() if len(line) > 100] == []
    graph = forms["graph"]
    assert program.name == graph.name == name
    assert {slot.name for slot in program.slots} >= {p.name for p in graph.parameters}
    if graph.training is not None:
        gradients = {parameter for parameter, _ in forms["grad"].step.gradients}
        assert gradients == {p.name for p in graph.parameters if p.trained}


@pytest.mark.parametrize("name", ALL)
def test_a_spec_says_what_it_is(name: str) -> None:
    """A comment first, and the file called after its model."""
    text = (SPECS / f"{name}.cnn").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.endswith("}\n")
    assert f"\nmodel {name}" in text
