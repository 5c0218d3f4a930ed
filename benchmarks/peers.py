"""Is cnnc faster than every framework that is installed here, network by network?

Each framework runs in a process of its own with its documented good settings. Its results for
cnnc's weights are compared with cnnc's before it is timed; whatever is wrong, fails or takes too
long to prepare is a line on the page. Rounds alternate between the sides and the measurement of the
peak, and ratios are taken within a round. Writes a table, a picture and the figures themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from peak import Peak
from peers_page import write_page
from peers_picture import write_picture
from report import arguments, has_package
from sides import INFERENCE, PEERS, TRAINING
from sides.match import Match, Measure, Plan, play

NETWORKS = (
    "mlp",
    "lenet",
    "mnist_cnn",
    "vgg_small",
    "resnet20",
    "mobilenet_small",
    "conv1d",
    "unet_small",
)
MEASURES: tuple[Measure, ...] = (
    (TRAINING, 32),
    (TRAINING, 128),
    (INFERENCE, 1),
    (INFERENCE, 64),
)
RESULTS = Path(__file__).resolve().parent / "results" / "peers"


def options() -> argparse.Namespace:
    """What is asked for."""
    parser = arguments(__doc__)
    parser.set_defaults(output=RESULTS)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="SPEC")
    parser.add_argument(
        "--peers",
        nargs="*",
        default=list(PEERS),
        choices=PEERS,
        metavar="PEER",
        help=", ".join(PEERS),
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--training", nargs="*", type=int, default=[32, 128], metavar="BATCH")
    parser.add_argument("--inference", nargs="*", type=int, default=[1, 64], metavar="BATCH")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a slice")
    parser.add_argument("--patience", type=float, default=240, help="seconds to prepare a measure")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.15 s")
    parser.add_argument(
        "--add",
        action="store_true",
        help="keep what the figures hold of other networks and threads",
    )
    parser.add_argument("--show", action="store_true", help="measure nothing, write the page anew")
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="hold a lock on this file while timing"
    )
    return parser.parse_args()


def plan(asked: argparse.Namespace, threads: int, processors: set[int]) -> Plan:
    """For one number of threads; what is timed has the last processors, other work the first."""
    cores = sorted(processors)
    timed = cores[-threads:]
    others = cores[: len(timed)]
    measures = [(TRAINING, n) for n in asked.training] + [(INFERENCE, n) for n in asked.inference]
    peers = [name for name in asked.peers if all(map(has_package, PEERS[name].packages))]
    rounds, seconds = (2, 0.15) if asked.quick else (asked.rounds, asked.seconds)
    return Plan(
        peers, measures, threads, rounds, seconds, asked.patience, timed, others, asked.lock
    )


def main() -> None:
    """Measure, network by network, and write what is known after each."""
    asked = options()
    figures = asked.output.with_suffix(".json")
    matches: dict[tuple[str, int], Match] = {}
    if (asked.add or asked.show) and figures.exists():
        for entry in json.loads(figures.read_text()):
            matches[entry["network"], entry["threads"]] = Match(**entry)
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    missing = [n for n in asked.peers if not all(map(has_package, PEERS[n].packages))]
    for threads in () if asked.show else asked.threads:
        todo = plan(asked, threads, everywhere)
        if everywhere:
            os.sched_setaffinity(0, todo.timed_on)
        peak = Peak()
        for name in asked.networks:
            matches[name, threads] = play(name, todo, peak)
            figures.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps([match.as_json() for match in matches.values()], indent=1)
            figures.write_text(text + "\n")
    if everywhere:
        os.sched_setaffinity(0, everywhere)  # the page names the machine's processors, not one's
    ordered = sorted(matches.values(), key=lambda m: (m.threads, _rank(m.network)))
    write_page(ordered, asked.output.with_suffix(".txt"), missing)
    write_picture(ordered, asked.output.with_suffix(".png"))


def _rank(network: str) -> int:
    return NETWORKS.index(network) if network in NETWORKS else len(NETWORKS)


if __name__ == "__main__":
    sys.exit(main())
