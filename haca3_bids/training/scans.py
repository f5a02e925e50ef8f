"""Real scans for training: images preprocessed by ``haca3-bids``, prepared for the networks."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haca3_bids.arrays import Mask
from haca3_bids.bids.atomic import read_json, write_json
from haca3_bids.bids.names import parse_entities
from haca3_bids.digest import file_sha256
from haca3_bids.errors import BadInput
from haca3_bids.harmonization.prepare import DARK, Rim, fit_images, prepare
from haca3_bids.settings import CONTRASTS, HarmonizationSettings
from haca3_bids.training.site_table import assign_sites
from haca3_bids.volumes.volume import load_volume

LOG = logging.getLogger(__name__)
SETTINGS = HarmonizationSettings(device="cpu")
SCALES, VOTES = "scales.json", "-votes"


@dataclass(frozen=True)
class Session:
    """One session's images on one grid."""

    name: str  # of its dataset, and its own: site/sub-01_ses-1
    site: str
    images: Mapping[str, Path]  # of each contrast


@dataclass(frozen=True)
class PlacedSession:
    """A session on the canvas: memory-mapped arrays (224, 224, 224) with axes (x, y, z)."""

    name: str
    site: str
    values: Mapping[str, NDArray[np.float16]]  # by contrast; divided by the 95th percentile, background 0
    mask: Mask  # the head: the union over images
    scales: Mapping[str, float]  # the 95th percentile of each image, in its own unit
    votes: Mapping[str, Mask]  # by contrast: where the image shows the head
    digests: Mapping[str, str]  # by contrast: SHA-256 of the file


def find_sessions(datasets: Sequence[Path], sites: Path | None = None, *, one_site: bool = False) -> list[Session]:
    """Every session of derivatives datasets; each dataset is a site unless ``sites`` assigns others.

    ``sites`` is the table of ``site_table``. BadInput if there is no image, no session with two contrasts, or
    (unless ``one_site``) only one site.
    """
    names = _unique_names(datasets)
    found = [one for dataset, name in zip(datasets, names, strict=True) for one in _sessions_of(dataset, name)]
    if sites:
        assigned = assign_sites([one.name for one in found], sites)
        found = [replace(one, site=site) for one, site in zip(found, assigned, strict=True)]
    if not any(len(session.images) > 1 for session in found):
        raise BadInput(
            f"None of the {len(found)} sessions has two contrasts; anatomy is learned from pairs of one session.",
            "Give sessions with two or more of T1w, T2w, PDw and FLAIR, or train with --simulate.",
        )
    if not one_site and len({session.site for session in found}) == 1:
        raise BadInput(
            f"All {len(found)} sessions are of one site ({found[0].site}); harmonization needs two sites.",
            "Give datasets of two or more sites, or name them with --sites FILE.tsv.",
        )
    return found


def _unique_names(datasets: Sequence[Path]) -> list[str]:
    """A unique name for each dataset: that of its folder, with as many parent folders as necessary."""
    parts = [dataset.resolve().parts for dataset in datasets]
    if len(set(parts)) < len(parts):
        raise BadInput("A dataset is given twice with --data.", "Give each dataset once.")
    depth = next(n for n in range(1, 1 + max(map(len, parts))) if len({one[-n:] for one in parts}) == len(parts))
    return ["-".join(part for part in one[-depth:] if part != one[0]) for one in parts]


def _sessions_of(dataset: Path, site: str) -> list[Session]:
    images: dict[str, dict[str, Path]] = {}
    for path in sorted(dataset.glob("sub-*/**/anat/*_space-*_desc-preproc_*.nii.gz")):
        entities, suffix, _ = parse_entities(path.name)
        if suffix not in CONTRASTS:
            continue
        name = "_".join(f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities)
        other = images.setdefault(name, {}).setdefault(suffix, path)
        if other is not path:
            raise BadInput(
                f"{other.name} and {path.name} are images of one session.",
                "Keep the images of one space and resolution in the dataset.",
            )
    if not images:
        raise BadInput(
            f"{dataset.name} contains no preprocessed image (*_space-*_desc-preproc_T1w.nii.gz and the like).",
            "Run `haca3-bids BIDS_DIR OUTPUT_DIR participant` first and give its OUTPUT_DIR.",
        )
    return [Session(f"{site}/{name}", site, of_one) for name, of_one in images.items()]


def teach(sessions: Sequence[PlacedSession]) -> bool:
    """Whether sessions suffice for training: several contrasts in one of them, and two sites."""
    return len({one.site for one in sessions}) > 1 and any(len(one.values) > 1 for one in sessions)


def split_by_person(sessions: Sequence[PlacedSession], share: int) -> tuple[list[PlacedSession], list[PlacedSession]]:
    """Split into training sessions and, of every ``share``-th person of each site, validation sessions.

    There are no validation sessions if the others would not suffice for training (``teach``).
    """
    kept = set()
    for site in {session.site for session in sessions}:
        people = sorted({_person(session) for session in sessions if session.site == site})
        kept.update(people[share - 1 :: share])
    rest = [session for session in sessions if _person(session) not in kept]
    return (rest, [s for s in sessions if _person(s) in kept]) if teach(rest) else (list(sessions), [])


def _person(session: PlacedSession) -> str:
    """The participant label; a travelling person has the same one at every site."""
    return session.name.split("/")[-1].split("_")[0]


def place_sessions(sessions: Sequence[Session], cache: Path) -> list[PlacedSession]:
    """The sessions on the canvas, cached on disk (40 MB per image)."""
    return [_placed(session, cache / session.name) for session in sessions]


def _placed(session: Session, folder: Path) -> PlacedSession:
    mask, record = folder / "mask.npy", folder / "sources.json"
    made_from = read_json(record) or {}
    if made_from.get("files") != _fingerprints(session):
        LOG.info("Preparing the scans of %s.", session.name)
        folder.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)
        head, scales = _make(session, folder)
        np.save(mask, head)
        write_json(folder / SCALES, scales)
        digests = {contrast: file_sha256(path) for contrast, path in session.images.items()}
        made_from = {"files": _fingerprints(session), "sha256": digests}
        write_json(record, made_from)  # last, so that its presence marks a complete folder
    values, votes = (
        {contrast: np.load(folder / f"{contrast}{end}.npy", mmap_mode="r") for contrast in session.images}
        for end in ("", VOTES)
    )
    scales = json.loads((folder / SCALES).read_text())
    head = np.load(mask, mmap_mode="r")
    return PlacedSession(session.name, session.site, values, head, scales, votes, made_from["sha256"])


def _fingerprints(session: Session) -> dict[str, list[str | int]]:
    """Path, size and modification time of each image, to detect changed files."""
    found = {contrast: (path.resolve(), path.stat()) for contrast, path in session.images.items()}
    return {contrast: [str(path), stat.st_size, stat.st_mtime_ns] for contrast, (path, stat) in found.items()}


def _make(session: Session, folder: Path) -> tuple[Mask, dict[str, float]]:
    volumes = {contrast: load_volume(path) for contrast, path in session.images.items()}
    rim = Rim({})
    canvas = fit_images(volumes, rim, SETTINGS)
    prepared = {name: prepare(name, volume, canvas, rim, SETTINGS, DARK) for name, volume in volumes.items()}
    for contrast, image in prepared.items():
        np.save(folder / f"{contrast}.npy", image.values.astype(np.float16))
        np.save(folder / f"{contrast}{VOTES}.npy", image.votes)
    head: Mask = np.logical_or.reduce([image.votes for image in prepared.values()])
    return head, {contrast: image.scale for contrast, image in prepared.items()}
