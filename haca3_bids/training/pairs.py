"""Pairs for the fusion network: a simulated session taken through HACA3 in three orientations, and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.harmonization.device import Batches, choose_device, inference, made_lean
from haca3_bids.harmonization.prepare import Rim, fit_images, prepare
from haca3_bids.harmonization.stream import Draw, Session, Stream, union
from haca3_bids.harmonization.target import encode_target
from haca3_bids.intensity.percentile import scaled, upper_percentile
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import acquire, draw_acquisition
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.settings import CONTRASTS, HarmonizationSettings
from haca3_bids.training.fusion import FusionPair
from haca3_bids.volumes.slices import ORIENTATIONS
from haca3_bids.volumes.volume import Volume

PAIRS = len(CONTRASTS)  # one for each contrast, each of another head
SETTINGS = HarmonizationSettings(device="auto")


def fusion_pairs(
    model: Haca3, heads: Sequence[Anatomy], folder: Path, seed: int = 0, count: int = PAIRS
) -> list[FusionPair]:
    """As many intra-site pairs as asked for, made once and kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for index in range(count):
        path = folder / f"pair-{index}.npz"
        if not path.exists():
            stacks, truth = _pair(model, heads[index % len(heads)], CONTRASTS[index % len(CONTRASTS)], (seed, index))
            np.savez(path, stacks=stacks, truth=truth)
        loaded = np.load(path)
        pairs.append(FusionPair(loaded["stacks"], loaded["truth"]))
    return pairs


def _pair(
    model: Haca3, head: Anatomy, contrast: str, seed: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The scan of one contrast, harmonized to itself as in the paper; stacks and truth with axes (z, y, x)."""
    rng = np.random.default_rng(seed)
    weights = tissue_weights(draw_site(rng)[contrast], person_deviations(rng))
    truth = rendered(head, weights, texture(SHAPE, rng))
    scan = Volume(acquire(truth, draw_acquisition(rng)), AFFINE)
    checkpoint = Checkpoint(model.eval(), "in training", "", {}, {})
    rim = Rim({})
    canvas = fit_images({contrast: scan}, rim, SETTINGS)
    prepared = prepare(contrast, scan, canvas, rim, SETTINGS, model.config.variant)
    draw = Draw(encode_target(scan, contrast, checkpoint, SETTINGS), 0)
    session = Session({contrast: prepared}, union([prepared.votes]))
    device = choose_device(SETTINGS.device)
    with inference(SETTINGS.precision, torch.get_num_threads()):
        Stream(session, made_lean(model, device), SETTINGS, device, Batches(SETTINGS.batch_size, device)).run([draw])
    stacks = [scaled(stack, upper_percentile(stack[canvas.box])) for stack in map(draw.stacks.get, ORIENTATIONS)]
    placed = canvas.place(Volume(truth, AFFINE))
    placed = scaled(placed, upper_percentile(placed[canvas.box])) * session.mask
    return np.stack(stacks).transpose(0, 3, 2, 1).copy(), placed.transpose(2, 1, 0).copy()
