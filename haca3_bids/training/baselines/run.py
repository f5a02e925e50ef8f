"""Training of a baseline on two simulated sites, and its application to whole images."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from haca3_bids.arrays import Array
from haca3_bids.bids.atomic import make_folder
from haca3_bids.harmonization.device import Batches, inference
from haca3_bids.harmonization.fusion import median
from haca3_bids.harmonization.prepare import Rim, fit_images, nonempty, prepare
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.training.baselines import CONFIG
from haca3_bids.training.baselines.adeli import Adeli
from haca3_bids.training.baselines.baseline import Baseline
from haca3_bids.training.baselines.calamiti import Calamiti
from haca3_bids.training.baselines.cut import Cut
from haca3_bids.training.baselines.cyclegan import CycleGan
from haca3_bids.training.baselines.deepharmony import DeepHarmony
from haca3_bids.training.baselines.two_sites import Sites, TwoSites
from haca3_bids.training.identity import claim
from haca3_bids.training.loop import fit
from haca3_bids.training.run import Setting, batches_of
from haca3_bids.volumes.slices import ORIENTATIONS, cut
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

LOG = logging.getLogger(__name__)
BASELINES: dict[str, type[Baseline]] = {
    "cyclegan": CycleGan,
    "cut": Cut,
    "adeli": Adeli,
    "calamiti": Calamiti,
    "deepharmony": DeepHarmony,
}


def train_baseline(
    method: str,
    heads: Sequence[Anatomy],
    sites: Sites,
    folder: Path,
    setting: Setting,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Baseline:
    """A baseline of BASELINES, trained on slices of two sites; resumes from ``folder`` (BadInput if it differs).

    ``about``: what else distinguishes the training from others (``identity.claim``).
    """
    torch.manual_seed(setting.plan.seed)
    network = BASELINES[method]().train()
    claim(folder, {**about, "method": method, **asdict(sites)}, leads=setting.machine.leads, file=CONFIG)
    batches = partial(batches_of, TwoSites(heads, sites, setting.plan.seed), lambda step: network.batch_size, setting)
    fit(network, lambda batch, step: network.losses(batch), batches, setting.plan, folder, machine=setting.machine)
    return network.cpu().eval()


def apply_baseline(network: Baseline, contrast: str, scans: Sequence[Path], folder: Path) -> None:
    """Harmonize scans of the source site, and write them to ``folder`` under their own names."""
    for number, path in enumerate(scans, start=1):
        LOG.info("harmonizing %s, %d of %d", path.name, number, len(scans))
        image = translated(network, contrast, load_volume(path))
        save_volume(image, make_folder(folder) / path.name, in_template=True)


def translated(network: Baseline, contrast: str, image: Volume) -> Volume:
    """An image of the source site with the contrast of the target site: the median of three slice orientations."""
    settings, rim = HarmonizationSettings(), Rim({})
    canvas = fit_images({contrast: image}, rim, settings)
    given = prepare(contrast, image, canvas, rim, settings, seen_from=0.0)
    with inference(0):
        stacks = [_stack(network, given.values, orientation) for orientation in ORIENTATIONS]
    return canvas.restore(median(stacks) * np.float32(given.scale))


def _stack(network: Baseline, values: Array, orientation: str) -> Array:
    """The volume (224, 224, 224), translated slice by slice in one orientation."""
    made = np.zeros_like(values)
    slices, into = cut(values, orientation), cut(made, orientation)

    def step(indices: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
        batch = torch.from_numpy(np.ascontiguousarray(slices[indices]))[:, None]
        into[indices] = network.translated(batch)[:, 0].numpy()

    Batches(8, torch.device("cpu")).run(nonempty(slices > 0), step)
    return made
