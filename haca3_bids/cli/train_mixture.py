"""``haca3 train mixture`` and its export: the mixture model from label maps, and from scans beside them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.cli.train_identity import identity
from haca3_bids.errors import UsageError

if TYPE_CHECKING:
    from haca3_bids.networks.mixture import Mixture
    from haca3_bids.physics.anatomy import Anatomy
    from haca3_bids.training.run import Setting

FOLDER = "mixture"  # of the run, below --out
STEPS, RATE = 20_000, 2e-3
FADE, LARGEST_GRADIENT, AVERAGE = 0.2, 1.0, 0.998
VALIDATE_EVERY, SAVE_EVERY = 250, 100  # steps


def train(args: argparse.Namespace, heads: list[Anatomy], kept: list[Anatomy], setting: Setting) -> None:
    """Train the model, or resume."""
    from haca3_bids.training.identity import claim
    from haca3_bids.training.mixture import train_mixture
    from haca3_bids.training.scans import place_sessions

    plan = replace(
        setting.plan,
        fade=FADE,
        largest_gradient=LARGEST_GRADIENT,
        average=AVERAGE,
        validate_every=VALIDATE_EVERY,
        save_every=SAVE_EVERY,
    )
    model, start = _beginning(args)
    with setting.machine.leader_first():
        sessions = place_sessions(args.sessions, args.out / "sessions")  # sites are not needed
    claim(args.out / FOLDER, identity(args, start, sessions), leads=setting.machine.leads)
    own = heads[1:] or heads  # the built-in head is kept for demonstrations, where label maps are given
    train_mixture(model, own, kept, args.out / FOLDER, plan, setting.machine, sessions)


def export(heads: Sequence[Anatomy], out: Path) -> None:
    """Write ``weights/mixture.safetensors`` from the best validation, or without it from the last moving average."""
    from haca3_bids.training.identity import card_of
    from haca3_bids.training.loop import load_trained
    from haca3_bids.training.mixture import untrained
    from haca3_bids.training.mixture_export import export_mixture

    model = load_trained(untrained(), out / FOLDER)
    export_mixture(model, heads, out / "weights" / "mixture.safetensors", card_of(out / FOLDER))


def _beginning(args: argparse.Namespace) -> tuple[Mixture, str]:
    """The initial model and the SHA-256 of its file.

    It is random by the seed, from a file, or with scans by default the built-in one.
    """
    from haca3_bids.checkpoints.formats import load_checkpoint
    from haca3_bids.checkpoints.registry import BUILTIN, resolve
    from haca3_bids.networks.mixture import Mixture
    from haca3_bids.training.identity import RANDOM
    from haca3_bids.training.mixture import untrained

    start_from = args.start_from or (BUILTIN if args.data else "")  # theta of scans needs trained weights
    if not start_from:
        return untrained(args.seed), RANDOM
    given = load_checkpoint(resolve(start_from))
    if not isinstance(given.model, Mixture):
        raise UsageError(
            f"The mixture model cannot start from {start_from}: these weights are HACA3's.",
            "Give --start-from builtin or a file of the mixture model.",
        )
    return given.model.requires_grad_(True), given.sha256
