"""Records and sidecars of many sessions that were never scanned, as the participant level would leave them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from haca3_bids.quality.verdict import judge
from haca3_bids.records.files import from_values
from haca3_bids.records.preprocessing import Preprocessing

SITES = ("Aarhus", "Basel", "Cardiff", "Delft")
THETA = {"T1w": (-5.0, -8.0), "T2w": (8.0, 15.0), "FLAIR": (2.0, -8.0), "PDw": (4.0, -1.5)}
BAD_SHARE = 0.03


def write_cohort(
    output_dir: Path,
    bids_dir: Path,
    sessions: int,
    *,
    people: int | None = None,
    contrasts: tuple[str, ...] = ("T1w", "T2w", "FLAIR"),
    seed: int = 0,
) -> None:
    """Write ``sessions`` sessions of ``people`` (default: one each) at four sites, and participants.tsv."""
    rng = np.random.default_rng(seed)
    people = people or sessions
    bids_dir.mkdir(parents=True, exist_ok=True)
    lines = ["participant_id\tsite\tage"]
    lines += [f"sub-{index:04d}\t{SITES[index % 4]}\t{20 + index % 60}" for index in range(people)]
    (bids_dir / "participants.tsv").write_text("\n".join(lines) + "\n")
    for index in range(sessions):
        subject, session = f"{index % people:04d}", str(index // people + 1)
        write_record(output_dir, record(subject, session, contrasts, index % people % 4, rng))


def write_record(output_dir: Path, content: dict[str, Any]) -> None:
    """Write one record and the sidecar of its first image."""
    subject, session = content["subject"], content["session"]
    folder = output_dir / f"sub-{subject}" / (f"ses-{session}" if session else "") / "anat"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    (folder / f"{stem}_desc-haca3_qc.json").write_text(json.dumps(content))
    sidecar = {"Manufacturer": "Tesla & Söhne", "MagneticFieldStrength": 3, "WhiteMatterPeak": 1000.0}
    (folder / f"{stem}_space-MNI152NLin2009cSym_res-1_desc-preproc_T1w.json").write_text(json.dumps(sidecar))


def record(
    subject: str, session: str, contrasts: tuple[str, ...], site: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The record of a session; three in a hundred are noisy."""
    bad = rng.uniform() < BAD_SHARE
    shift = np.array([1.5 * site, -0.8 * site])
    sources = {
        contrast: {
            "theta": (np.array(THETA[contrast]) + shift + rng.normal(0, 0.6, 2)).tolist(),
            "eta": rng.normal(0.3, 0.05, 2).tolist(),
            "attention": 1 / len(contrasts),
        }
        for contrast in contrasts
    }
    scans = {contrast: scan(contrast, bad and contrast == contrasts[0], rng) for contrast in contrasts}
    registration = {"similarity": rng.normal(0.7, 0.04), "distinctness": 0.3, "brain_in_head": 1.0}
    preprocessing = {"reference": contrasts[0], "contrasts": scans, "template": "MNI152NLin2009cSym"}
    preprocessing |= {"registration": registration | {"brain_covered": 1.0, "passed": True, "limit": 0.3}}
    images = [
        {
            "target": target(contrast),
            "theta_after": (np.array(THETA[contrast]) + rng.normal(0, 0.2, 2)).tolist(),
            "file": "x.nii.gz",
            "scale": 1000.0,
            "white_matter_peak": 1010.0,
            "sources": sources,
        }
        for contrast in contrasts
    ]
    measured = {
        f"haca3_{contrast}": {"ssim": rng.normal(0.8, 0.02), "nan_count": 0, "eta_distance": abs(rng.normal(0, 0.1))}
        for contrast in contrasts
    }
    return {
        "subject": subject,
        "session": session,
        "version": "0.1.0",
        "status": "done",
        "error": None,
        "command": "haca3-bids BIDS_DIR OUTPUT_DIR participant",
        "images": [{"contrast": c, "path": f"sub-{subject}_{c}.nii.gz", "reason": "the only one"} for c in contrasts],
        "left_out": [],
        "preprocessing": preprocessing,
        "harmonization": {"images": images, "weights": {"name": "builtin", "sha256": "ab" * 32}},
        "quality": asdict(judge(from_values(preprocessing, Preprocessing), measured)),
        "figures": [],
        "seconds": {"register": 14.5, "harmonization": 300.0},
        "memory_mb": {"register": 420, "harmonization": 1760},
        "notes": [],
        "methods": ["Images were harmonized with HACA3 [@haca3]."],
    }


def target(contrast: str) -> dict[str, Any]:
    """The built-in target of a contrast."""
    numbers = {"theta": list(THETA[contrast]), "eta": [0.3, 0.3], "scale": 1000.0}
    return {"name": "", "contrast": contrast, **numbers, "origin": "built-in reference of builtin"}


def scan(contrast: str, bad: bool, rng: np.random.Generator) -> dict[str, Any]:
    """What preprocessing says of one scan."""
    quality = {
        "brain_seen": 0.99,
        "noise": 0.3 if bad else float(rng.normal(0.04, 0.004)),
        "ghosts": float(rng.normal(0.005, 0.0005)),
        "white_matter_spread": float(rng.normal(0.08, 0.005)),
        "name_margin": 1.0,
        "likely_contrast": contrast,
        "head_imputed": 0.02,
    }
    return {
        "white_matter_peak": 1000.0,
        "white_matter_peak_raw": 300.0,
        "coverage": 0.9,
        "coregistration_similarity": 0.8,
        "quality": quality,
    }
