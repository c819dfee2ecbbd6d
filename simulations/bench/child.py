"""The process of one peer: `python -m tinyfleet.simulations.bench.child PEER SETTINGS`."""

import json
import os
import sys
from pkgutil import resolve_name

from tinyfleet.simulations.bench.bout import Gate, Settings

PEERS = {
    "tinyfleet": "ours:end_to_end",
    "tinyfleet_kernel": "ours:kernel_alone",
    "numpy": "numpy_peer:contend",
    "torch_vmap": "torch_peers:many",
    "torch_loop": "torch_peers:loop",
    "flower_ray": "flower_peer:contend",
    "peak": "machine:peak",
}
"""Who takes part; a peer is imported in its own process alone, so that no other pays its memory."""


def main(peer: str, settings: str) -> None:
    """Run `peer`; what libraries print goes to stderr, for stdout carries the answers."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    contend = resolve_name(f"tinyfleet.simulations.bench.{PEERS[peer]}")
    contend(Settings(**json.loads(settings)), Gate(sys.stdin, answers))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
