"""``haca3 simulate``: a BIDS dataset of simulated people at simulated sites, and the truth behind it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.settings import CONTRASTS

if TYPE_CHECKING:
    from haca3_bids.physics.anatomy import Anatomy
    from haca3_bids.physics.cohort import Scan

HELP = "make a BIDS dataset of simulated people at simulated sites"
BUILTIN_NOTE = (
    "Simulated from the built-in head (ICBM 2009a brain with skull and scalp added), which the built-in weights "
    "were trained on: a demonstration, not a measure of quality."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``haca3 simulate``."""
    parser.add_argument("out", type=Path, help="the dataset to make; must not exist or be empty")
    parser.add_argument("--sites", type=int, default=2, help="number of scanners (default: 2)")
    parser.add_argument("--subjects", type=int, default=1, help="number of people (default: 1)")
    parser.add_argument("--contrasts", nargs="+", choices=CONTRASTS, default=["T1w", "T2w"], help="of every session")
    parser.add_argument("--travelling", action="store_true", help="everybody visits every site (else: one site each)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--labels", type=Path, help="folder of head label maps (BrainWeb, FreeSurfer or SynthSeg)")
    source.add_argument("--builtin-head", action="store_true", help="the head made from nilearn's ICBM brain (default)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")


def main(args: argparse.Namespace) -> int:
    """Write the dataset; 0 when done."""
    import numpy as np

    from haca3_bids.physics.cohort import draw_sites, scans

    if args.sites < 1 or args.subjects < 1:
        raise UsageError("At least one site and one subject are needed.")
    if args.out.exists() and any(args.out.iterdir()):
        raise CannotCreate(f"{args.out} is not empty.", "Name a new folder.")
    rng = np.random.default_rng(args.seed)
    sites = draw_sites(args.sites, args.contrasts, rng)
    args.out.mkdir(parents=True, exist_ok=True)
    _describe(args)
    rows = []
    for index, anatomy in enumerate(_people(args, rng)):
        subject = f"{index + 1:02d}"
        visited = sites if args.travelling else [sites[index % len(sites)]]
        rows.append((f"sub-{subject}", "+".join(site.name for site in visited)))
        for scan in scans(anatomy, subject, visited, rng):
            _write(scan, args.out)
            print(f"sub-{subject} ses-site{scan.site.name} {scan.contrast}", flush=True)
    lines = ["participant_id\tsite", *("\t".join(row) for row in rows)]
    (args.out / "participants.tsv").write_text("\n".join(lines) + "\n")
    return 0


def _people(args: argparse.Namespace, rng: Any) -> list[Anatomy]:
    """As many anatomies as subjects: the first as they are, then deformed ones."""
    from haca3_bids.physics.anatomy import builtin_head
    from haca3_bids.physics.cohort import another_person
    from haca3_bids.training.heads import find_label_maps, head_from_labels
    from haca3_bids.volumes.builtin import load_icbm2009a

    builtin = builtin_head(load_icbm2009a())
    maps = find_label_maps(args.labels) if args.labels else []
    heads = [head_from_labels(path, builtin, path.name.split(".")[0]) for path in maps[: args.subjects]] or [builtin]
    return [
        h if i < len(heads) else another_person(h, rng) for i in range(args.subjects) for h in [heads[i % len(heads)]]
    ]


def _describe(args: argparse.Namespace) -> None:
    from haca3_bids import __version__

    _write_json(
        args.out / "dataset_description.json",
        {
            "Name": "Simulated people at simulated sites",
            "BIDSVersion": "1.10.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["haca3 simulate"],
            "HowToAcknowledge": "Simulated images." if args.labels else BUILTIN_NOTE,
            "GeneratedBy": [{"Name": "haca3 simulate", "Version": __version__}],
        },
    )
    (args.out / "README.md").write_text(
        f"# Simulated MR images\n\nMade by `haca3 simulate` with seed {args.seed}. Nobody was scanned.\n\n"
        "`derivatives/truth` holds the noise-free image of each session, white matter = 1, upright in MNI position.\n"
    )
    truth = args.out / "derivatives" / "truth"
    truth.mkdir(parents=True)
    _write_json(
        truth / "dataset_description.json",
        {
            "Name": "Noise-free images",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "haca3 simulate", "Version": __version__}],
        },
    )


def _write(scan: Scan, out: Path) -> None:
    from haca3_bids.volumes.volume import save_volume

    stem = f"sub-{scan.subject}_ses-site{scan.site.name}"
    folder = Path(f"sub-{scan.subject}", f"ses-site{scan.site.name}", "anat")
    for root in (out, out / "derivatives" / "truth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    save_volume(scan.image, out / folder / f"{stem}_{scan.contrast}.nii.gz")
    _write_json(out / folder / f"{stem}_{scan.contrast}.json", _sidecar(scan))
    name = f"{stem}_space-MNI152NLin2009cSym_res-1_desc-truth_{scan.contrast}"
    truth = out / "derivatives" / "truth" / folder
    save_volume(scan.truth, truth / f"{name}.nii.gz", in_template=True)
    _write_json(truth / f"{name}.json", {"SkullStripped": False, "Resolution": "1 mm"})


def _sidecar(scan: Scan) -> dict[str, Any]:
    """The protocol under BIDS's names, times in seconds."""
    protocol = scan.site.protocols[scan.contrast]
    sidecar: dict[str, Any] = {
        "Manufacturer": "haca3 simulate",
        "InstitutionName": f"Site {scan.site.name}",
        "MagneticFieldStrength": protocol.field_t,
        "MRAcquisitionType": "3D" if scan.site.thickness_mm[scan.contrast] == 1 else "2D",
        "PulseSequenceType": protocol.sequence,
        "EchoTime": protocol.te_ms / 1000,
        "RepetitionTime": protocol.tr_ms / 1000,
        "SliceThickness": scan.site.thickness_mm[scan.contrast],
    }
    if protocol.ti_ms:
        sidecar["InversionTime"] = protocol.ti_ms / 1000
    if protocol.flip_deg:
        sidecar["FlipAngle"] = protocol.flip_deg
    return sidecar


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
