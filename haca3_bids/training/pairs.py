"""Training pairs for the fusion network: simulated scans harmonized in three orientations, and their truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from haca3_bids.arrays import Array
from haca3_bids.harmonization.device import Batches, choose_device, inference
from haca3_bids.harmonization.method import Session
from haca3_bids.harmonization.prepare import Rim, fit_images, prepare
from haca3_bids.harmonization.slicewise import Slicewise
from haca3_bids.harmonization.stream import Draw, Stream
from haca3_bids.harmonization.target import Target
from haca3_bids.intensity.percentile import scaled, upper_percentile
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.partial import partial_file
from haca3_bids.physics.anatomy import AFFINE, SHAPE, Anatomy, placed
from haca3_bids.physics.cohort import rendered
from haca3_bids.physics.protocols import draw_site
from haca3_bids.physics.render import texture, tissue_weights
from haca3_bids.physics.scanner import acquire, draw_acquisition
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.settings import CONTRASTS, HarmonizationSettings
from haca3_bids.training.fusion import FusionPair
from haca3_bids.training.identity import arrays_digest, weights_digest
from haca3_bids.volumes.canvas import CANVAS
from haca3_bids.volumes.slices import ORIENTATIONS
from haca3_bids.volumes.volume import Volume

GAIN, NOISE, BLUR_VOXELS = 0.04, 0.08, (0.2, 0.6)  # of striped stacks, relative to the 95th percentile
STRIPED = "striped"  # pairs without a model


def fusion_pairs(
    model: Haca3 | None, heads: Sequence[Anatomy], folder: Path, seed: int = 0, device: str = "auto"
) -> list[FusionPair]:
    """One intra-site pair for each contrast, of different heads, cached in ``folder`` for this model and these heads.

    A model takes minutes per pair. Without one, the stacks are true volumes with simulated stripes between slices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    kind = weights_digest(model) if model else STRIPED
    for index, contrast in enumerate(CONTRASTS):
        head = heads[index % len(heads)]
        path = folder / f"{kind}-head-{arrays_digest([head.shares])}-seed-{seed}-{contrast}.npz"
        if not path.exists():
            rng = np.random.default_rng((seed, index))
            stacks, truth = _pair(model, head, contrast, rng, device) if model else _striped_pair(head, contrast, rng)
            with partial_file(path) as partial:
                np.savez(partial, stacks=stacks, truth=truth)
        loaded = np.load(path)
        pairs.append(FusionPair(loaded["stacks"], loaded["truth"]))
    return pairs


def _striped_pair(head: Anatomy, contrast: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """The true volume three times, each with random gains of its slices, noise and slight in-plane blur."""
    truth = _truth(head, contrast, rng)
    whole = placed(truth, [CANVAS // 2 - n // 2 for n in SHAPE], (CANVAS,) * 3)
    whole = scaled(whole, upper_percentile(truth)).transpose(2, 1, 0).copy()
    stacks = []
    for axis in (0, 1, 2):  # across axial, coronal, sagittal slices of a volume with axes (z, y, x)
        gain = rng.normal(1, GAIN, CANVAS).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        blur = [0.0 if a == axis else rng.uniform(*BLUR_VOXELS) for a in range(3)]
        noise = ndimage.gaussian_filter(rng.standard_normal(whole.shape, np.float32), blur) * NOISE
        stacks.append((ndimage.gaussian_filter(whole, blur) * gain + noise * (whole > 0)).clip(0))
    return np.stack(stacks).astype(np.float32), whole


def _truth(head: Anatomy, contrast: str, rng: np.random.Generator) -> Array:
    weights = tissue_weights(draw_site(rng)[contrast], person_deviations(rng))
    return rendered(head, weights, texture(SHAPE, rng))


def _pair(
    model: Haca3, head: Anatomy, contrast: str, rng: np.random.Generator, device_name: str
) -> tuple[Array, Array]:
    """A scan harmonized to its own contrast, as in the paper: stacks (3, z, y, x) and truth (z, y, x)."""
    settings = HarmonizationSettings(device=device_name)
    truth = _truth(head, contrast, rng)
    scan = Volume(acquire(truth, draw_acquisition(rng)), AFFINE)
    rim = Rim({})
    canvas = fit_images({contrast: scan}, rim, settings)
    sources = {contrast: prepare(contrast, scan, canvas, rim, settings, model.config.seen_from)}
    device = choose_device(settings.device)
    method = Slicewise(model.eval(), None, settings, device)
    session = Session(sources, method.mask(sources))
    codes = method.codes(sources[contrast], contrast)
    draw = Draw(Target("", contrast, codes.theta, codes.eta, codes.scale, "the scan itself"), 0)
    with inference(0):
        Stream(session, method.model, settings, device, Batches(settings.batch_size, device)).run([draw])
    stacks = [draw.stacks[orientation] for orientation in ORIENTATIONS]
    stacks = [scaled(stack, upper_percentile(stack[canvas.box])) for stack in stacks]
    whole = canvas.place(Volume(truth, AFFINE))
    whole = scaled(whole, upper_percentile(whole[canvas.box])) * session.mask
    return np.stack(stacks).transpose(0, 3, 2, 1).copy(), whole.transpose(2, 1, 0).copy()
