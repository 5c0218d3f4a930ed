"""Whole networks, compiled, against PyTorch with the same weights, where that is installed.

Outputs of inference within 1e-4, gradients of a training step within 1e-3 and running statistics
after it within 1e-4, each relative to a tensor's largest entry.
"""

from __future__ import annotations

import pytest

from tests.specs.networks import ALL, NETWORKS, Network

pytest.importorskip("torch")

LIBRARY_BYTES = 3e6
"""The largest an extension may be: the weights are not in it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network" not in metafunc.fixturenames:
        return
    chosen = [pytest.param(network, id=f"<{network}>") for network in NETWORKS]
    metafunc.parametrize("network", chosen)


def test_every_spec_is_compared() -> None:
    assert {network.name for network in NETWORKS} == set(ALL)


def test_agreement_with_pytorch(network: Network) -> None:
    from tests.specs.twin import Twin

    built = network.compile()
    assert built.extension.stat().st_size < LIBRARY_BYTES
    twin = Twin(built.graph, built.load().Model, network.samples)
    for name, error in twin.output_errors().items():
        assert error < 1e-4, name
    if built.graph.training is None:
        return
    loss, gradients, statistics = twin.training_errors()
    assert loss < 1e-4
    assert set(gradients) == {p.name for p in built.graph.parameters if p.trained}
    assert set(statistics) == {p.name for p in built.graph.parameters if not p.trained}
    assert {n: e for n, e in gradients.items() if e > 1e-3} == {}
    assert {n: e for n, e in statistics.items() if e > 1e-4} == {}
