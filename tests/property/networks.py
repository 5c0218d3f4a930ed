"""Random well-formed networks as texts of the language, several of which can share one model.

The writer keeps track of every shape by itself, so that the compiler's shape rules are checked by
what it says of the outputs. All that a network names begins with its prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.property.pen import Pen
from tests.property.writer import Network, Writer

OPTIMIZERS = (
    "sgd(lr=0.1)",
    "sgd(0.05, momentum=0.9, nesterov=yes)",
    "adam",
    "adamw(lr=0.01)",
    "rmsprop(momentum=0.5)",
)


def text_of(networks: Sequence[Network], optimizer: str = "sgd(lr=0.1)") -> str:
    """One model of several networks that share nothing."""
    top = [line for network in networks for line in network.top]
    body = [line for network in networks for line in network.body]
    outputs = ", ".join(name for network in networks for name in network.outputs)
    losses = [f"loss {loss}" for network in networks for loss in network.losses]
    return "\n".join(
        [
            *top,
            "model random_network {",
            *(f"    {line}" for line in body),
            f"    output {outputs}",
            "}",
            "train {",
            *(f"    {loss}" for loss in losses),
            f"    optimizer {optimizer}",
            "}",
            "",
        ]
    )


def lines_of(networks: Sequence[Network]) -> list[tuple[range, range]]:
    """Which lines of that text, from 1, are whose: those of its top and of its body."""
    tops = ["\n".join(network.top).count("\n") + bool(network.top) for network in networks]
    bodies = ["\n".join(network.body).count("\n") + bool(network.body) for network in networks]
    found, top, body = [], 1, sum(tops) + 2
    for above, within in zip(tops, bodies, strict=True):
        found.append((range(top, top + above), range(body, body + within)))
        top, body = top + above, body + within
    return found


def network(seed: int, prefix: str = "") -> Network:
    """The network of that seed."""
    return from_random(Random(seed), prefix, seed)  # noqa: S311 - no secret


def from_random(rng: Random, prefix: str = "", seed: int = 0) -> Network:
    """A network of a source of random choices, hypothesis' own for one."""
    return Writer(Pen(rng), Network(prefix, seed)).write()
