"""One side of peers.py in its process: `peer.py SIDE NETWORK THREADS`, asked over pipes."""

from __future__ import annotations

import importlib
import sys

from sides import SIDES
from sides.network import Network
from sides.serving import Serving
from worker import serve


def main(name: str, network: str, threads: str) -> None:
    """Serve one side of one network."""
    side = SIDES[name]
    module = importlib.import_module(f"sides.{side.module}")
    count = int(threads)
    serving = Serving(
        Network(network), lambda which: module.make(which, count, side.variant), count
    )
    names = ("first_weights", "outputs", "gradients", "losses", "warm", "seconds", "memory")
    serve({handler: getattr(serving, handler) for handler in names})


if __name__ == "__main__":
    main(*sys.argv[1:])
