"""``haca3 train artifact|anatomy|haca3|fusion|export``: from a folder of label maps to weights, in resumable steps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.errors import UsageError

if TYPE_CHECKING:
    from haca3_bids.physics.anatomy import Anatomy
    from haca3_bids.training.loop import Plan

HELP = "train the networks on simulated slices"
VALIDATION_SHARE = 9  # every ninth head, in the order of names, is kept for validation
STEPS = {"artifact": 400, "anatomy": 12000, "haca3": 1800, "fusion": 120}
RATES = {"artifact": (4e-4, 7e-4), "anatomy": (1e-3, 2e-3), "haca3": (4e-4, 7e-4), "fusion": (4e-4, 7e-4)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``haca3 train``."""
    parser.add_argument("what", choices=[*STEPS, "export"], help="in this order; each needs the one before")
    parser.add_argument("--simulate", type=Path, metavar="LABELS", required=True, help="folder of head label maps")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a run found there is resumed")
    parser.add_argument("--steps", type=int, help="optimiser steps (default: 400, 12000, 1800 and 120)")
    parser.add_argument(
        "--start-from",
        metavar="WEIGHTS",
        help="haca3: go on from these weights (builtin, or a file), all parts together",
    )
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this long, to be resumed")
    parser.add_argument("--seed", type=int, default=0, help="of the data and of the networks (default: 0)")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch (default: as PyTorch chooses)")
    parser.add_argument("--striped", action="store_true", help="train fusion on true volumes with stripes (minutes)")
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate (default: 1)")


def main(args: argparse.Namespace) -> int:
    """Train, or resume; 0 when the minutes or the steps are over."""
    from haca3_bids.training.heads import find_label_maps, load_heads
    from haca3_bids.training.loop import Plan, use_threads

    use_threads(args.threads)
    maps = find_label_maps(args.simulate)
    builtin, *heads = load_heads(maps, args.out / "heads")
    kept = heads[VALIDATION_SHARE - 1 :: VALIDATION_SHARE]
    trained_on = [builtin, *(head for head in heads if head not in kept)]
    if args.what == "export":
        _export(builtin, args.out)
        return 0
    plan = Plan(args.steps or STEPS[args.what], *RATES[args.what], minutes=args.minutes)
    {"artifact": _artifact, "anatomy": _anatomy, "haca3": _haca3, "fusion": _fusion}[args.what](
        args, trained_on, kept, plan
    )
    return 0


def _artifact(args: argparse.Namespace, heads: list[Anatomy], _: list[Anatomy], plan: Plan) -> None:
    from haca3_bids.training.run import train_artifact

    train_artifact(heads, args.out / "artifact", plan, args.seed, args.workers)


def _anatomy(args: argparse.Namespace, heads: list[Anatomy], _: list[Anatomy], plan: Plan) -> None:
    from haca3_bids.training.run import train_anatomy

    train_anatomy(heads, args.out / "anatomy", plan, args.seed, args.workers)


def _haca3(args: argparse.Namespace, heads: list[Anatomy], kept: list[Anatomy], plan: Plan) -> None:
    from haca3_bids.checkpoints.formats import load_checkpoint
    from haca3_bids.checkpoints.registry import resolve
    from haca3_bids.networks.encoders import ArtifactEncoder
    from haca3_bids.networks.haca3 import Haca3
    from haca3_bids.training.haca3 import TOGETHER
    from haca3_bids.training.loop import load_trained
    from haca3_bids.training.run import train_haca3, untrained

    if len(heads) < 2:
        raise UsageError("One head is not enough: theta must come from another person.", "Give a label map or more.")
    if args.start_from:
        model, begin = load_checkpoint(resolve(args.start_from)).model, TOGETHER
    else:
        artifact = load_trained(ArtifactEncoder(), args.out / "artifact")
        model, begin = untrained(artifact, load_trained(Haca3().beta_encoder, args.out / "anatomy")), 0.0
    train_haca3(model, heads, kept, args.out / "haca3", plan, args.seed, args.workers, begin)


def _fusion(args: argparse.Namespace, heads: list[Anatomy], _: list[Anatomy], plan: Plan) -> None:
    from haca3_bids.networks.haca3 import Haca3
    from haca3_bids.training.fusion import train_fusion
    from haca3_bids.training.loop import load_trained
    from haca3_bids.training.pairs import fusion_pairs

    model = None if args.striped else load_trained(Haca3(), args.out / "haca3")
    pairs = fusion_pairs(model, heads, args.out / "fusion" / "pairs", args.seed)
    train_fusion(pairs, args.out / "fusion", plan, args.seed)


def _export(builtin: Anatomy, out: Path) -> None:
    from haca3_bids.networks.fusion import FusionNet
    from haca3_bids.networks.haca3 import Haca3
    from haca3_bids.training.export import export
    from haca3_bids.training.loop import load_trained

    model, fusion = load_trained(Haca3(), out / "haca3"), load_trained(FusionNet(), out / "fusion")
    export(model, fusion, builtin, out / "weights", {"made by": "haca3 train on simulated heads"})
