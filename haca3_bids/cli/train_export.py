"""``haca3 train export``: the weights of trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from haca3_bids.bids.atomic import read_json
from haca3_bids.cli import train_mixture
from haca3_bids.errors import BadInput

if TYPE_CHECKING:
    from haca3_bids.networks.haca3 import Haca3
    from haca3_bids.physics.anatomy import Anatomy

HACA3_WEIGHTS = "haca3_weights"  # in the record of fusion: the networks for which it is trained


def check_trained(out: Path) -> None:
    """BadInput if a folder has no trained networks; writes nothing to it."""
    if not any((out / folder).is_dir() for folder in (train_mixture.FOLDER, "haca3")):
        raise BadInput(
            f"{out} has no trained networks.", "Train them first: haca3 train mixture, or haca3 train haca3."
        )


def export(heads: Sequence[Anatomy], out: Path) -> None:
    """Write the weights of the trained networks in a folder to ``weights`` in it."""
    from haca3_bids.networks.fusion import FusionNet
    from haca3_bids.training.export import export as write_weights
    from haca3_bids.training.identity import CHECKPOINT, card_of
    from haca3_bids.training.loop import load_trained
    from haca3_bids.training.run import load_haca3

    if (out / train_mixture.FOLDER).is_dir():
        train_mixture.export(heads, out)
        if not (out / "haca3").is_dir():
            return
    model, fusion = load_haca3(out / "haca3"), None
    if (out / "fusion" / CHECKPOINT).exists():
        _check_fusion(model, out / "fusion")
        fusion = load_trained(FusionNet(), out / "fusion")
    cards = card_of(out / "haca3"), card_of(out / "fusion")
    write_weights(model, fusion, heads, out / "weights", *cards)


def _check_fusion(model: Haca3, folder: Path) -> None:
    """BadInput if the fusion network was trained for other networks."""
    from haca3_bids.training.identity import RUN, weights_digest
    from haca3_bids.training.pairs import STRIPED

    trained_for = (read_json(folder / RUN) or {}).get(HACA3_WEIGHTS, STRIPED)
    if trained_for not in (STRIPED, weights_digest(model)):
        raise BadInput(
            f"The fusion network in {folder} was trained for HACA3 networks that have been trained further since.",
            f"Delete {folder}; run haca3 train fusion again if you need a fusion network.",
        )
