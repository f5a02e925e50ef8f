"""What distinguishes a training of the command line from others: see ``training.identity``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from haca3_bids.digest import file_sha256

if TYPE_CHECKING:
    from haca3_bids.training.scans import PlacedSession


def identity(args: argparse.Namespace, start: str, sessions: Sequence[PlacedSession] = ()) -> dict[str, Any]:
    """What is trained, with what it starts, the seed, and the data by their content."""
    from haca3_bids.training.heads import find_label_maps

    maps = find_label_maps(args.simulate) if args.simulate else {}
    return {
        "trained": args.what,
        "initial_weights": start,
        "seed": args.seed,
        "label_maps": {name: file_sha256(path) for name, path in maps.items()},
        "sessions": {one.name: {"site": one.site, "images": dict(one.digests)} for one in sessions},
    }
