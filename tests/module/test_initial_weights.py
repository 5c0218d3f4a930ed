"""Model(seed=...): the first weights, alike on every machine."""

from __future__ import annotations

import hashlib
import math
import zlib

import numpy as np
import pytest

from tests.module.conftest import Case

# Of LeNet's parameters for seed 0, float32 little-endian, in the spec's order. On every machine.
LENET_SEED_0 = "e026790e278506cdca49c60bfc6f6a807764785b8b79bfacf40e39ced1965f89"


def _digest(net) -> str:
    data = b"".join(view.astype("<f4").tobytes() for view in net.parameters.values())
    return hashlib.sha256(data).hexdigest()


def test_lenet_starts_with_these_weights_everywhere(lenet: Case) -> None:
    assert _digest(lenet.module.Model(seed=0)) == LENET_SEED_0


def test_the_seed_is_zero_by_default(lenet: Case) -> None:
    assert _digest(lenet.module.Model()) == _digest(lenet.module.Model(seed=0))


def test_the_seed_decides_all(lenet: Case) -> None:
    model = lenet.module.Model
    assert _digest(model(7)) == _digest(model(seed=7)) == _digest(model(np.int64(7)))
    seeds = [0, 1, 2, 7, 2**31, 2**32, 2**64, 2**70]
    assert len({_digest(model(seed)) for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32, 2**64 + 5, 2**200 + 12345])
def test_the_streams_are_numpys(seed: int, lenet: Case) -> None:
    for name, view in lenet.module.Model(seed).parameters.items():
        if name.endswith(".weight"):
            words = [seed, zlib.crc32(name.encode())]
            drawn = np.random.PCG64(np.random.SeedSequence(words)).random_raw(view.size)
            unit = (drawn >> np.uint64(40)) * 2.0**-23 - 1
            np.testing.assert_array_equal(view.ravel(), (unit * LIMITS[name]).astype(np.float32))


def test_no_two_parameters_share_a_stream(lenet: Case) -> None:
    net = lenet.module.Model()
    signs = {
        tuple(view.ravel()[:40] > 0)
        for name, view in net.parameters.items()
        if name.endswith(".weight")
    }
    assert len(signs) == 5


def test_weights_do_not_change_with_the_layers_around_them(digits: Case, means: Case) -> None:
    left, right = digits.module.Model(seed=3), means.module.Model(seed=3)
    for name in ("conv1.weight", "hidden.weight"):
        np.testing.assert_array_equal(left.parameters[name], right.parameters[name])
        assert left.parameters[name].any()


# conv1 and the first dense layers precede a relu: He's limit; the last layer: Glorot's.
LIMITS = {
    "conv1.weight": math.sqrt(6 / 25),
    "conv2.weight": math.sqrt(6 / (6 * 25)),
    "dense1.weight": math.sqrt(6 / 400),
    "dense2.weight": math.sqrt(6 / 120),
    "dense3.weight": math.sqrt(6 / (84 + 10)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_weights_are_uniform_within_their_limits(lenet: Case, name: str) -> None:
    limit = LIMITS[name]
    drawn = np.concatenate(
        [lenet.module.Model(seed).parameters[name].ravel() for seed in range(20)]
    ).astype(np.float64)
    assert np.abs(drawn).max() <= limit * (1 + 1e-6)
    assert np.abs(drawn).max() > 0.98 * limit
    error = 1 / math.sqrt(len(drawn))
    assert abs(drawn.mean()) < 5 * limit / math.sqrt(3) * error
    assert drawn.var() == pytest.approx(limit**2 / 3, rel=5 * error)


def test_biases_start_at_zero(lenet: Case) -> None:
    net = lenet.module.Model(seed=1)
    biases = [view for name, view in net.parameters.items() if name.endswith(".bias")]
    assert len(biases) == 5
    assert not any(view.any() for view in biases)


def test_a_spec_chooses_the_initialiser(digits: Case) -> None:
    parameters = digits.module.Model(seed=1).parameters
    largest = {name: float(np.abs(view).max()) for name, view in parameters.items()}
    assert 0.8 * math.sqrt(6 / 18) < largest["conv1.weight"] <= math.sqrt(6 / 18)
    assert 0.8 * math.sqrt(6 / 43) < largest["hidden.weight"] <= math.sqrt(6 / 43)
    assert (parameters["dense2.weight"] == 0.25).all()
    assert not parameters["dense3.weight"].any()


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (-1, ValueError),
        (0.0, TypeError),
        ("0", TypeError),
        (None, TypeError),
        (True, TypeError),
        (np.array([1, 2]), TypeError),
    ],
)
def test_what_is_no_seed_is_refused(line: Case, seed, error) -> None:
    with pytest.raises(error, match=r"seed|integer"):
        line.module.Model(seed=seed)
