"""A simulated cohort as a BIDS dataset: raw images with sidecars, and a derivative dataset with the ground truth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from haca3_bids import __version__
from haca3_bids.bids.atomic import write_json
from haca3_bids.bids.describe import BIDS_VERSION
from haca3_bids.physics.anatomy import AFFINE
from haca3_bids.physics.cohort import SLICE_AXIS, Scan, Session
from haca3_bids.physics.people import Person
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.physics.truth import MAPS, crisp, lesion_mask, volumes_ml
from haca3_bids.volumes.volume import Volume, save_volume

TRUTH = Path("derivatives", "truth")
SPACE = "space-MNI152NLin2009cSym_res-1"
IGNORED = ("volumes.tsv", "*_xfm.json")
MADE_BY = [{"Name": "haca3 simulate", "Version": __version__}]
GRADIENT_ECHO = ("MPRAGE", "MDEFT", "SPGR")
COLUMNS = {
    "age": {"Description": "Age at the first visit", "Units": "year"},
    "site": {"Description": "Scanners visited"},
    "lesions": {"Description": "Number of simulated lesions, including those that appear after the first visit"},
}
SESSION_COLUMNS = {
    "site": {"Description": "Scanner"},
    "age": {"Description": "Age at this visit", "Units": "year"},
    "years": {"Description": "Time after the first visit", "Units": "year"},
}


def describe_dataset(out: Path, acknowledgement: str, command: str) -> None:
    """Write the top-level files of both datasets."""
    truth = out / TRUTH
    truth.mkdir(parents=True, exist_ok=True)
    common = {"BIDSVersion": BIDS_VERSION, "License": "CC0", "Authors": ["haca3 simulate"], "GeneratedBy": MADE_BY}
    about = {"Name": "Simulated people at simulated sites", "HowToAcknowledge": acknowledgement}
    write_json(out / "dataset_description.json", about | common | {"DatasetType": "raw"})
    write_json(truth / "dataset_description.json", {"Name": "Simulated truth"} | common | {"DatasetType": "derivative"})
    (out / "README.md").write_text(f"# Simulated MR images\n\nMade by `{command}`. No person was scanned.\n\n{WHERE}")
    (truth / "README.md").write_text(f"# Ground truth of simulated MR images\n\n{WHAT}")
    (truth / ".bidsignore").write_text("\n".join(IGNORED) + "\n")
    rows = ["index\tname", "0\tair", *(f"{number}\t{name}" for number, name in enumerate(TISSUES, start=1))]
    (truth / "desc-tissues_dseg.tsv").write_text("\n".join(rows) + "\n")
    write_json(out / "participants.json", COLUMNS)
    write_json(out / "sessions.json", SESSION_COLUMNS)


WHERE = "The ground truth (noise-free images, tissue maps, lesions, volumes) is in `derivatives/truth`.\n"
WHAT = """\
All images are upright, in MNI position, on one 1 mm grid.

* `desc-truth_<contrast>`: the noise-free image of a session with its site's protocol, white matter = 1. The sidecar
  lists the protocol and the artifacts of the scan.
* `label-<tissue>_probseg`: the fraction of fluid (CSF), grey matter (GM), deep grey matter if the map distinguishes it
  (SGM), white matter (WM) and lesion (L) in each voxel. `desc-tissues_dseg`: the most frequent tissue.
* `label-L_mask`: voxels that are at least half lesion.
* `from-MNI152NLin2009cSym_to-scanner_mode-image_xfm.json`: the position of the head in the scanner, a matrix in mm.
* `volumes.tsv`: true volumes of every session in millilitres, age in years.
"""


def write_session(session: Session, scans: Iterable[Scan], out: Path) -> dict[str, Any]:
    """Write images and ground truth of one session; return its row of ``volumes.tsv``."""
    subject = f"sub-{session.person.label}"
    folder, stem = Path(subject, f"ses-{session.label}", "anat"), f"{subject}_ses-{session.label}"
    for root in (out, out / TRUTH):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for scan in scans:
        raw = out / folder / f"{stem}_{scan.contrast}"
        save_volume(scan.image, raw.with_suffix(".nii.gz"))
        write_json(raw.with_suffix(".json"), sidecar(session, scan))
        name = out / TRUTH / folder / f"{stem}_{SPACE}_desc-truth_{scan.contrast}"
        save_volume(scan.truth, name.with_suffix(".nii.gz"), in_template=True)
        write_json(name.with_suffix(".json"), _truth_sidecar(session, scan))
    _write_maps(session, out / TRUTH / folder, stem)
    times = {"age": session.age, "years": session.years}
    who = {"participant_id": subject, "session_id": f"ses-{session.label}", "site": session.site.name}
    return who | times | volumes_ml(session.anatomy)


def _write_maps(session: Session, folder: Path, stem: str) -> None:
    anatomy = session.anatomy
    shared = {"SkullStripped": False, "Resolution": "1 mm"}
    for label, tissue in MAPS.items():
        _save(anatomy.share_of(tissue), folder / f"{stem}_{SPACE}_label-{label}_probseg", np.float32, shared)
    _save(crisp(anatomy), folder / f"{stem}_{SPACE}_desc-tissues_dseg", np.uint8, shared)
    mask = {"Type": "Lesion"}
    _save(lesion_mask(anatomy), folder / f"{stem}_{SPACE}_label-L_mask", np.uint8, shared | mask)
    pose = {"MatrixRasMillimetres": [[round(value, 6) for value in row] for row in session.pose.tolist()]}
    write_json(folder / f"{stem}_from-MNI152NLin2009cSym_to-scanner_mode-image_xfm.json", pose)


def _save(data: Any, name: Path, dtype: type[np.generic], meta: Mapping[str, Any]) -> None:
    volume = Volume(data.astype(np.float32), AFFINE)
    save_volume(volume, name.with_name(f"{name.name}.nii.gz"), in_template=True, dtype=dtype)
    write_json(name.with_name(f"{name.name}.json"), meta)


def write_people(people: Sequence[tuple[Person, str]], out: Path) -> None:
    """Write ``participants.tsv``: age at the first visit, sites and number of lesions."""
    rows = [f"sub-{p.label}\t{p.life.age:.1f}\t{site}\t{len(p.life.lesions)}" for p, site in people]
    (out / "participants.tsv").write_text("\n".join(["participant_id\tage\tsite\tlesions", *rows]) + "\n")


def write_rows(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write ``volumes.tsv`` of the truth, and a ``sessions.tsv`` for every person."""
    (out / TRUTH / "volumes.tsv").write_text(_table(rows, list(rows[0])))
    for subject in dict.fromkeys(str(row["participant_id"]) for row in rows):
        own = [row for row in rows if row["participant_id"] == subject]
        (out / subject / f"{subject}_sessions.tsv").write_text(_table(own, ["session_id", *SESSION_COLUMNS]))


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    lines = ["\t".join(names), *("\t".join(str(row[name]) for name in names) for row in rows)]
    return "\n".join(lines) + "\n"


def sidecar(session: Session, scan: Scan) -> dict[str, Any]:
    """The sidecar of a scan: its protocol with BIDS names, times in seconds."""
    protocol, thickness = session.site.protocols[scan.contrast], session.site.thickness_mm[scan.contrast]
    said: dict[str, Any] = {
        "Manufacturer": "haca3 simulate",
        "ManufacturersModelName": f"Scanner {session.site.name}",
        "InstitutionName": f"Site {session.site.name}",
        "MagneticFieldStrength": protocol.field_t,
        "MRAcquisitionType": "3D" if thickness == 1 else "2D",
        "PulseSequenceType": protocol.sequence,
        "EchoTime": protocol.te_ms / 1000,
        "RepetitionTime": protocol.tr_ms / 1000,
        "SliceThickness": thickness,
    }
    if protocol.ti_ms:
        said["InversionTime"] = protocol.ti_ms / 1000
    if protocol.sequence in GRADIENT_ECHO:
        said["FlipAngle"] = protocol.flip_deg
    return said


def _truth_sidecar(session: Session, scan: Scan) -> dict[str, Any]:
    wrong = asdict(scan.how) | {"severity": scan.how.severity, "missing_mm": scan.view.missing_mm}
    del wrong["thickness_voxels"]  # slices are as thick as the site's
    wrong["thickness_mm"] = thickness = session.site.thickness_mm[scan.contrast]
    wrong["thick_axis"] = SLICE_AXIS if thickness > 1 else None
    protocol = asdict(session.site.protocols[scan.contrast])
    scale = {"WhiteMatterScale": session.site.scale}
    return {"SkullStripped": False, "Resolution": "1 mm", "Protocol": protocol, "Acquisition": wrong} | scale
