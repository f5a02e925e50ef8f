"""``haca3 train WHAT``: from label maps or scans to weights, in resumable steps."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.checkpoints.registry import BUILTIN, resolve
from haca3_bids.cli import train_baseline, train_mixture
from haca3_bids.cli.command import add_number, add_threads, check_least
from haca3_bids.cli.train_export import HACA3_WEIGHTS, check_trained, export
from haca3_bids.cli.train_identity import identity
from haca3_bids.digest import file_sha256
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.training.identity import CHECKPOINT, RANDOM, claim, weights_digest

if TYPE_CHECKING:
    from haca3_bids.networks.haca3 import Haca3
    from haca3_bids.physics.anatomy import Anatomy
    from haca3_bids.training.haca3 import Perceptual
    from haca3_bids.training.run import Cohort, Setting
    from haca3_bids.training.scans import PlacedSession, Session

HELP = "Train the networks on simulated images, on preprocessed scans, or on both; interrupted runs resume."
STEPS = {
    "mixture": train_mixture.STEPS,
    "artifact": 400,
    "haca3": 4000,
    "fusion": 120,
    "baseline": train_baseline.STEPS,
}
ONLY_OF = {  # the options that some trainings accept and others do not
    "data": ("mixture", "haca3"),
    "sites": ("mixture", "haca3"),
    "start_from": ("mixture", "haca3"),
    "vgg16": ("haca3",),
    "striped": ("fusion",),
    "source": ("baseline",),
    "target": ("baseline",),
    "apply": ("baseline",),
    "contrast": ("baseline",),
    **dict.fromkeys(("steps", "accumulate", "workers"), tuple(STEPS)),
}
VALIDATION_SHARE = 9  # every ninth head (by name; at least one), and every ninth person of a site, is for validation
WORKERS = 1
SEEDS = 2**64  # the seeds that PyTorch accepts are smaller
RATES = {
    "mixture": (train_mixture.RATE,) * 2,
    **dict.fromkeys(("artifact", "haca3", "fusion"), (4e-4, 7e-4)),
    "baseline": (train_baseline.RATE,) * 2,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``haca3 train``."""
    parser.add_argument(
        "what",
        choices=[*STEPS, "export"],
        help="the mixture model; the stages of HACA3 (artifact, then haca3, then fusion); a method to compare "
        "with (baseline METHOD); or export of the weights",
    )
    train_baseline.add_arguments(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--simulate", type=Path, metavar="LABELS", help="folder of head label maps to simulate from")
    data.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="DERIVATIVES",
        help="output folders of haca3-bids with preprocessed scans (mixture and haca3 only)",
    )
    data.add_argument(
        "--sites",
        type=Path,
        metavar="TSV",
        help="table with the site of each participant_id (and session_id) (default: one site per --data folder)",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--out", type=Path, required=True, help="output folder; an earlier run in it is resumed")
    steps = ", ".join(f"{name} {number}" for name, number in STEPS.items())
    run.add_argument("--steps", type=int, metavar="N", help=f"optimiser steps (default: {steps})")
    run.add_argument(
        "--start-from",
        metavar="WEIGHTS",
        help="initial weights: a file of the same model family, builtin (mixture), haca3 or haca3plus (haca3)",
    )
    run.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time; run again to resume")
    add_number(run, "--seed", 0, "random seed")
    run.add_argument("--accumulate", type=int, metavar="N", help="batches per step (default: 1)")
    run.add_argument("--vgg16", type=Path, metavar="FILE", help="VGG16 weights for the perceptual loss of the paper")
    run.add_argument("--striped", action="store_true", help="train fusion on volumes with simulated stripes")
    _add_machine(parser.add_argument_group("machine"))


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    group.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32")
    add_threads(group)
    group.add_argument("--workers", type=int, metavar="N", help=f"data processes (default: {WORKERS})")


def main(args: argparse.Namespace) -> int:
    """Train, or resume; 0 when the minutes or the steps are over."""
    from haca3_bids.training.loop import Plan, use_threads
    from haca3_bids.training.machine import machine
    from haca3_bids.training.run import Setting

    _check(args)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("haca3_bids").setLevel(logging.INFO)
    use_threads(args.threads)
    if args.what == "export":
        check_trained(args.out)
        export(_heads(args)[0], args.out)
        return 0
    args.sessions = _found(args)  # before the heads, which take minutes
    plan = Plan(
        args.steps or STEPS[args.what],
        *RATES[args.what],
        accumulate=args.accumulate or 1,
        seed=args.seed,
        minutes=args.minutes,
    )
    with machine(args.device, args.precision) as here:
        with here.leader_first():
            heads, kept = _heads(args)
        setting = Setting(plan, here, WORKERS if args.workers is None else args.workers)
        stages = {"mixture": train_mixture.train, "artifact": _artifact, "haca3": _haca3, "fusion": _fusion}
        stages["baseline"] = train_baseline.train
        stages[args.what](args, heads, kept, setting)
    return 0


def _check(args: argparse.Namespace) -> None:
    check_least(args, steps=1, accumulate=1, seed=0, threads=0, workers=0)
    if args.out.exists() and not args.out.is_dir():
        raise CannotCreate(f"--out {args.out} is a file.", "Name a folder.")
    if args.seed >= SEEDS:
        raise UsageError(f"--seed {args.seed} is too large.", "It must be below 2^64; small numbers serve as well.")
    if not args.minutes >= 0:
        raise UsageError(f"--minutes {args.minutes:g} is invalid.", "Give 0 or more; 0 trains for one step.")
    for name, stages in ONLY_OF.items():
        if getattr(args, name) and args.what not in stages:
            able = " and ".join(filter(None, [", ".join(stages[:-1]), stages[-1]]))
            raise UsageError(
                f"haca3 train {args.what} does not accept --{name.replace('_', '-')}.",
                f"Only haca3 train {able} accept{'s' * (len(stages) == 1)} it.",
            )
    if args.sites and not args.data:
        raise UsageError("--sites has no effect without --data.", "Omit --sites, or give --data DERIVATIVES.")
    if not (args.simulate or args.data or args.what == "export"):
        raise UsageError("There is nothing to train on.", "Give --simulate LABELS, --data DERIVATIVES, or both.")
    if args.data and not args.simulate and args.what != "haca3":
        raise UsageError(
            f"haca3 train {args.what} needs simulated heads.",
            f"haca3 train {args.what} --simulate LABELS --data DERIVATIVES",
        )
    train_baseline.check(args)
    if args.what == "haca3":
        _check_beginning(args)


def _check_beginning(args: argparse.Namespace) -> None:
    """UsageError if there are no weights with which HACA3 can start."""
    if args.start_from == BUILTIN:
        raise _not_haca3(BUILTIN, "the built-in weights")
    if not (args.start_from or (args.out / "artifact" / CHECKPOINT).exists()):
        raise UsageError(
            f"HACA3 needs a trained artifact encoder to start with, and there is none in {args.out}.",
            f"Run haca3 train artifact --simulate LABELS --out {args.out} first, "
            "or give HACA3 weights with --start-from WEIGHTS.",
        )


def _found(args: argparse.Namespace) -> list[Session]:
    """The sessions of ``--data``; BadInput if they, or the networks to start from, are unusable."""
    from haca3_bids.training.run import load_haca3
    from haca3_bids.training.scans import find_sessions

    if args.what == "fusion" and not args.striped:
        load_haca3(args.out / "haca3")
    return find_sessions(args.data, args.sites, one_site=args.what == "mixture") if args.data else []


def _heads(args: argparse.Namespace) -> tuple[list[Anatomy], list[Anatomy]]:
    """The simulated heads for training (the built-in one first) and for validation."""
    from haca3_bids.training.heads import find_label_maps, load_heads

    if not (args.simulate or args.what == "export"):
        return [], []
    maps = find_label_maps(args.simulate) if args.simulate else {}
    builtin, *heads = load_heads(maps, args.out / "heads")
    step = min(VALIDATION_SHARE, max(2, len(heads)))  # with a single map none is kept
    kept = set(range(step - 1, len(heads), step))
    return [builtin, *(h for i, h in enumerate(heads) if i not in kept)], [heads[i] for i in sorted(kept)]


def _artifact(args: argparse.Namespace, heads: list[Anatomy], _: list[Anatomy], setting: Setting) -> None:
    from haca3_bids.training.run import train_artifact

    claim(args.out / "artifact", identity(args, RANDOM), leads=setting.machine.leads)
    train_artifact(heads, args.out / "artifact", setting)


def _haca3(args: argparse.Namespace, heads: list[Anatomy], kept: list[Anatomy], setting: Setting) -> None:
    from haca3_bids.training.run import train_haca3

    model, begin, start = _beginning(args)
    with setting.machine.leader_first():
        cohort = _cohort(args, heads, kept)
    run = identity(args, start, [*cohort.sessions, *cohort.unseen_sessions])
    run["perceptual_loss"] = file_sha256(args.vgg16) if args.vgg16 else "gradients"
    claim(args.out / "haca3", run, leads=setting.machine.leads)
    train_haca3(model, cohort, args.out / "haca3", setting, begin, _perceptual(args, setting))


def _beginning(args: argparse.Namespace) -> tuple[Haca3, float, str]:
    """The initial networks, the position in the curriculum, and what distinguishes these networks from others."""
    from haca3_bids.checkpoints.formats import load_checkpoint
    from haca3_bids.networks.encoders import ArtifactEncoder
    from haca3_bids.networks.haca3 import Haca3
    from haca3_bids.training.haca3 import LAST_STAGE
    from haca3_bids.training.loop import load_trained
    from haca3_bids.training.run import untrained

    if not args.start_from:
        artifact = load_trained(ArtifactEncoder(), args.out / "artifact")
        return untrained(artifact, args.seed), 0.0, f"{RANDOM} and artifact encoder {weights_digest(artifact)}"
    given = load_checkpoint(resolve(args.start_from))
    if not isinstance(given.model, Haca3):
        raise _not_haca3(args.start_from, "these weights")
    return given.model, LAST_STAGE, given.sha256


def _not_haca3(given: str, what: str) -> UsageError:
    return UsageError(
        f"HACA3 cannot start from {given}: {what} are a mixture model.",
        "Give --start-from a file of HACA3 weights, or the name haca3 or haca3plus.",
    )


def _cohort(args: argparse.Namespace, heads: list[Anatomy], kept: list[Anatomy]) -> Cohort:
    from haca3_bids.training.run import Cohort

    if args.simulate and len(heads) < 2:
        raise UsageError("One head is not enough: theta must come from another person.", "Give at least one label map.")
    sessions, unseen = _sessions(args) if args.data else ([], [])
    return Cohort(heads, sessions, kept, unseen)


def _sessions(args: argparse.Namespace) -> tuple[Sequence[PlacedSession], Sequence[PlacedSession]]:
    """The sessions for training, and those of every ninth person of each site for validation."""
    from haca3_bids.training.scans import place_sessions, split_by_person

    placed = place_sessions(args.sessions, args.out / "sessions")
    return split_by_person(placed, VALIDATION_SHARE)


def _perceptual(args: argparse.Namespace, setting: Setting) -> Perceptual:
    from haca3_bids.training.losses import structural
    from haca3_bids.training.perceptual import Vgg16Loss

    return Vgg16Loss(args.vgg16).to(setting.machine.device) if args.vgg16 else structural


def _fusion(args: argparse.Namespace, heads: list[Anatomy], _: list[Anatomy], setting: Setting) -> None:
    from haca3_bids.training.fusion import train_fusion
    from haca3_bids.training.pairs import STRIPED, fusion_pairs
    from haca3_bids.training.run import load_haca3

    model, folder = None if args.striped else load_haca3(args.out / "haca3"), args.out / "fusion"
    run = identity(args, RANDOM) | {HACA3_WEIGHTS: weights_digest(model) if model else STRIPED}
    claim(folder, run, leads=setting.machine.leads)
    with setting.machine.leader_first():
        pairs = fusion_pairs(model, heads, folder / "pairs", args.seed, str(setting.machine.device))
    train_fusion(pairs, folder, setting.plan, setting.machine)
