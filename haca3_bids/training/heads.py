"""Heads for the simulator: anatomies computed from label maps, cached on disk and memory-mapped."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from haca3_bids.bids.atomic import write_text
from haca3_bids.digest import file_sha256
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
BUILTIN = "builtin"  # the name of the built-in head
MOST_UNKNOWN, SIZE_TOLERANCE = 0.5, 0.02  # fractions: of the labelled voxels; of the voxel size


def load_heads(labels: Mapping[str, Path], cache: Path) -> list[Anatomy]:
    """The built-in head and the anatomy of each label map, memory-mapped from ``cache``.

    The names of ``labels`` are those of the heads and of their files in ``cache``. A head is computed if it is missing
    or was made from a map with other content.
    """
    builtin = _cached(cache, BUILTIN, lambda: builtin_head(load_icbm2009a()))
    others = (
        _cached(cache, name, partial(head_from_labels, path, builtin, name), file_sha256(path))
        for name, path in labels.items()
    )
    return [builtin, *others]


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


def find_label_maps(folder: Path) -> dict[str, Path]:
    """Every NIfTI file below ``folder`` by the name of its head, sorted by path; BadInput if there is none.

    A name is the path within ``folder`` up to the first dot of the file's name, with all that follows where two heads
    would share it.
    """
    found = sorted(folder.rglob("*.nii*"))
    if not found:
        raise BadInput(f"{folder.name} contains no label map (*.nii, *.nii.gz).", "Give a folder of head label maps.")
    whole = [path.relative_to(folder) for path in found]
    short = [str(path.parent / path.name.split(".")[0]) for path in whole]
    heads = Counter([BUILTIN, *short])
    return {name if heads[name] == 1 else str(path): folder / path for name, path in zip(short, whole, strict=True)}


def _cached(cache: Path, name: str, make: Callable[[], Anatomy], source: str = "") -> Anatomy:
    """A head from its file, computed if there is none of this ``source``; the source is kept beside it."""
    path, record = cache / f"{name}.npy", cache / f"{name}.sha256"
    known = record.read_text() if record.exists() else ""
    if not path.exists() or known != source:
        LOG.info("Preparing the head %s.", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        with partial_file(path) as partial:
            np.save(partial, make().shares)
        if source:
            write_text(record, source)  # last, so that an interrupted run does not vouch for an old head
    return Anatomy(np.load(path, mmap_mode="r"), name)
