"""Heads for the simulator: anatomies computed from label maps, cached on disk and memory-mapped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from haca3_bids.errors import BadInput
from haca3_bids.partial import partial_file
from haca3_bids.physics.anatomy import Anatomy, builtin_head
from haca3_bids.physics.labels import (
    BRAINWEB_MM,
    FREESURFER_MM,
    from_brainweb,
    from_freesurfer,
    is_brainweb,
    unknown_share,
)
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume, load_volume

LOG = logging.getLogger(__name__)
MOST_UNKNOWN, SIZE_TOLERANCE = 0.5, 0.02  # fractions: of the labelled voxels; of the voxel size


def load_heads(labels: Sequence[Path], cache: Path) -> list[Anatomy]:
    """The built-in head and the anatomy of each label map, memory-mapped from ``cache``, computed if missing."""
    cache.mkdir(parents=True, exist_ok=True)
    builtin = _cached(cache / "builtin.npy", lambda: builtin_head(load_icbm2009a()))
    heads = [builtin]
    for path in labels:
        name = path.name.split(".")[0]
        heads.append(_cached(cache / f"{name}.npy", partial(head_from_labels, path, builtin, name)))
    return heads


def head_from_labels(path: Path, builtin: Anatomy, name: str) -> Anatomy:
    """The anatomy of a label map; BadInput if its codes or voxel sizes are not supported."""
    labels = load_volume(path)
    if not labels.data.any() or unknown_share(labels.data) > MOST_UNKNOWN:
        raise BadInput(
            f"{path.name} is not a label map of a head: most of its values are not codes of tissues.",
            "Label maps with codes of BrainWeb, FreeSurfer or SynthSeg are needed.",
        )
    if is_brainweb(labels.data):
        _check_voxels(path, labels, BRAINWEB_MM, "BrainWeb")
        return from_brainweb(labels, name)
    _check_voxels(path, labels, FREESURFER_MM, "FreeSurfer or SynthSeg")
    return from_freesurfer(labels, builtin.brain, name)


def _check_voxels(path: Path, labels: Volume, needed_mm: float, kind: str) -> None:
    if not np.allclose(labels.zooms_mm, needed_mm, rtol=SIZE_TOLERANCE):
        found, size = " x ".join(f"{mm:.3g}" for mm in labels.zooms_mm), " ".join(3 * [f"{needed_mm:g}"])
        raise BadInput(
            f"{path.name} has voxels of {found} mm; a map with codes of {kind} needs {needed_mm:g} mm.",
            f"Resample it to the nearest label, as `mri_convert -rt nearest -vs {size}` does.",
        )


def find_label_maps(folder: Path) -> list[Path]:
    """Every NIfTI file below ``folder``, sorted; BadInput if there is none."""
    found = sorted(folder.rglob("*.nii*"))
    if not found:
        raise BadInput(f"{folder.name} contains no label map (*.nii, *.nii.gz).", "Give a folder of head label maps.")
    return found


def _cached(path: Path, make: Callable[[], Anatomy]) -> Anatomy:
    if not path.exists():
        LOG.info("making head %s", path.stem)
        with partial_file(path) as partial:
            np.save(partial, make().shares)
    return Anatomy(np.load(path, mmap_mode="r"), path.stem)
