"""Heads for the simulator: anatomies made from label maps once, then kept in a cache and read slice by slice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from haca3_bids.errors import BadInput
from haca3_bids.physics.anatomy import Anatomy, builtin_head
from haca3_bids.physics.labels import BRAINWEB, from_brainweb, from_freesurfer
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import load_volume

LOG = logging.getLogger(__name__)


def load_heads(labels: Sequence[Path], cache: Path) -> list[Anatomy]:
    """The built-in head and one anatomy for each label map, memory-mapped from ``cache``; missing ones are made."""
    cache.mkdir(parents=True, exist_ok=True)
    builtin = _cached(cache / "builtin.npy", lambda: builtin_head(load_icbm2009a()))
    heads = [builtin]
    for path in labels:
        name = path.name.split(".")[0]
        heads.append(_cached(cache / f"{name}.npy", partial(head_from_labels, path, builtin, name)))
    return heads


def head_from_labels(path: Path, builtin: Anatomy, name: str) -> Anatomy:
    """The anatomy of one label map: BrainWeb's codes end at 11, FreeSurfer's and SynthSeg's do not."""
    labels = load_volume(path)
    if labels.data.max() <= max(BRAINWEB):
        return from_brainweb(labels, name)
    return from_freesurfer(labels, builtin.brain, name)


def find_label_maps(folder: Path) -> list[Path]:
    """Every NIfTI file below ``folder``, sorted by name; BadInput when there is none."""
    found = sorted(folder.rglob("*.nii*"))
    if not found:
        raise BadInput(f"{folder.name} holds no label map (*.nii, *.nii.gz).", "Give a folder of head label maps.")
    return found


def _cached(path: Path, make: Callable[[], Anatomy]) -> Anatomy:
    if not path.exists():
        LOG.info("making head %s", path.stem)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, make().shares)
        unfinished.rename(path)
    return Anatomy(np.load(path, mmap_mode="r"), path.stem)
