"""How much faster is a training step on two threads than on one, network by network?

Two processes of the same compiled module alternate, with one thread and with two; ratios are taken
within a round. Batches of 128, wall time; before that, both have to yield the same bits.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from peers import NETWORKS
from peers_goals import SCALING_GOAL
from report import Report, arguments, spread
from sides import TRAINING
from sides.match import SCRIPT, locked
from worker import Worker

BATCH = 128


def same_bits(workers: list[Worker], directory: Path) -> bool:
    """Whether gradients are equal, bit by bit."""
    weights = str(directory / "weights.npz")
    workers[0].ask("first_weights", path=weights)
    found = []
    for number, worker in enumerate(workers):
        into = str(directory / f"{number}.npz")
        worker.ask("gradients", weights=weights, into=into, size=BATCH)
        with np.load(into) as arrays:
            found.append({name: arrays[name].tobytes() for name in arrays})
        worker.ask("warm", weights=weights, kind=TRAINING, size=BATCH)
    return found[0] == found[1]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="SPEC")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a slice")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="lock this file while timing")
    options = parser.parse_args()
    report = Report("Two threads against one", ("numpy",), options.output)
    report.paragraph(
        f"Training steps on batches of {BATCH}, samples/s by the wall, medians (min-max) of"
        f" {options.rounds} rounds."
    )
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    rows = []
    for network in options.networks:
        one = Worker(SCRIPT, "cnnc", network, "1", threads=1, cores=cores[-1:] if cores else None)
        two = Worker(SCRIPT, "cnnc", network, "2", threads=2, cores=cores)
        rates: tuple[list[float], list[float]] = ([], [])
        with closing(one), closing(two), tempfile.TemporaryDirectory() as directory:
            bits = same_bits([one, two], Path(directory))
            for _ in range(options.rounds):
                with locked(options.lock):
                    for worker, found in zip((one, two), rates, strict=True):
                        values = {"kind": TRAINING, "size": BATCH, "at_least": options.seconds}
                        seconds, _ = worker.ask("seconds", **values, by_wall=True)
                        found.append(BATCH / seconds)
        ratios = [b / a for a, b in zip(*rates, strict=True)]
        verdict = "reached" if statistics.median(ratios) >= SCALING_GOAL else "missed"
        verdict = verdict if bits else "other bits"
        texts = (spread(found, ".0f") for found in rates)
        rows.append((network, *texts, spread(ratios, ".2f"), f"{SCALING_GOAL}", verdict))
        print(*rows[-1], file=sys.stderr, flush=True)
    headings = ("network", "1 thread", "2 threads", "times as fast", "at least", "")
    report.table(headings, rows)
    report.finish()


if __name__ == "__main__":
    main()
