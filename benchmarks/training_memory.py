"""How much memory does a training step need, here and in PyTorch, network by network?

Fresh processes, Linux only: the peak of resident memory in the first three steps on a batch of 128.
The second figure is what a new model and its steps add to a process that has imported its libraries
and holds the batch. cnnc's process has imported the compiler besides, which its users do not need.
"""

from __future__ import annotations

import statistics
from contextlib import closing

from peers import NETWORKS
from report import Report, arguments, has_package, spread
from sides import SIDES
from sides.match import SCRIPT
from worker import Worker

BATCH = 128
PEERS = ("torch", "torch-last")
MEGA = 2**20


def measure(side: str, network: str, runs: int) -> tuple[list[float], list[float]]:
    """MB of the whole process, and of them what the model adds."""
    whole, added = [], []
    for _ in range(runs):
        with closing(Worker(SCRIPT, side, network, "1", quiet=True)) as worker:
            peak, more = worker.ask("memory", size=BATCH)
        whole.append(peak / MEGA)
        added.append(more / MEGA)
    return whole, added


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="SPEC")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    report = Report("Memory of a training step", ("numpy", "torch"), options.output)
    report.paragraph(
        f"MB at the peak of three steps on a batch of {BATCH}, one thread, medians (min-max) of"
        f" {options.runs} fresh processes. `added`: by the model and its steps."
    )
    names = ["cnnc", *(PEERS if has_package("torch") else ())]
    rows = []
    for network in options.networks:
        found = {name: measure(name, network, options.runs) for name in names}
        own = [statistics.median(values) for values in found["cnnc"]]
        for name in names:
            middles = [statistics.median(values) for values in found[name]]
            less = all(a < b for a, b in zip(own, middles, strict=True))
            verdict = "" if name == "cnnc" else "cnnc needs less" if less else "cnnc needs more"
            texts = (spread(values, ".0f") for values in found[name])
            rows.append((network, SIDES[name].label, *texts, verdict))
    report.table(("network", "", "whole, MB", "added, MB", ""), rows)
    report.finish()


if __name__ == "__main__":
    main()
