"""The description of the derivatives dataset: dataset_description.json, ignore list, labels, readme."""

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from haca3_bids.bids.atomic import locked, make_folder, read_json, write_text
from haca3_bids.bids.leftovers import remove_partial_files
from haca3_bids.bids.lenient import read_object
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.quality.contrast import is_table
from haca3_bids.records.files import from_values, to_readable_json
from haca3_bids.records.target import SAME_TARGET, Target

BIDS_VERSION = "1.10.0"
FORMAT = 1  # version of our entry in dataset_description.json
APP = "haca3_bids"
BIDSIGNORE = ("*.html", "figures", "log", "logs", "*_xfm.*", "group_*", "*_qc.json", ".partial-*")
README = """# Images harmonized with haca3_bids

The images of each session on the template grid:

* `desc-preproc`: bias-corrected, rigidly registered, white-matter peak at 1000;
* `desc-haca3`, `desc-haca3NAME`: harmonized to the built-in reference, or to the target NAME (see `descriptions.tsv`).

`space-` names the coordinate system. The alignment is rigid (6 parameters), so size and shape are those of the subject.
The sidecar of each image describes its sources and processing. `sub-*.html` are the reports, and `logs/` contains the
settings, messages and methods text of each run.
"""


OWN_FILES = ("dataset_description.json", ".bidsignore", "README.md", "descriptions.tsv")


def describe_dataset(output_dir: Path, bids_dir: Path, *, version: str, weights: Mapping[str, str]) -> None:
    """Write the top-level files of the dataset; CannotCreate if it is of another program or other weights.

    ``weights`` maps "name", "sha256", "variant", "fusion_name" and "fusion_sha256".
    """
    make_folder(output_dir)
    with locked(output_dir, "dataset"):
        path = output_dir / "dataset_description.json"
        old = read_json(path)
        check_dataset(output_dir, weights)
        description = _description(output_dir, bids_dir, version, weights, old or {})
        own = {path: to_readable_json(description), output_dir / ".bidsignore": "\n".join(BIDSIGNORE) + "\n"}
        if not (output_dir / "README.md").exists():
            own[output_dir / "README.md"] = README
        _update(output_dir, own | _descriptions(output_dir, ()))


def _update(output_dir: Path, own: Mapping[Path, str]) -> None:
    """Write the files that have other content; the lock is held.

    Each job of an array comes by, and others are reading: a file that is as it should be is not replaced.
    """
    outdated = {path: text for path, text in own.items() if not path.exists() or path.read_bytes() != text.encode()}
    if outdated:
        remove_partial_files(output_dir, OWN_FILES)
    for path, text in outdated.items():
        write_text(path, text)


def check_maker(output_dir: Path) -> None:
    """Raise CannotCreate if the folder has a dataset of another program. Writes nothing."""
    path = output_dir / "dataset_description.json"
    if not path.exists():
        foreign = [one.name for one in output_dir.glob("sub-*")] if output_dir.is_dir() else []
        if foreign:
            raise CannotCreate(
                f"{output_dir.name} has {foreign[0]} but no dataset_description.json; haca3-bids did not write it.",
                "Choose an empty or a new OUTPUT_DIR.",
            )
        return
    old = read_json(path)
    made_by = [one.get("Name") for one in (old or {}).get("GeneratedBy", []) if isinstance(one, dict)]
    if old is None or APP not in made_by:
        raise CannotCreate(f"{output_dir.name} is a dataset that haca3-bids did not write.", "Choose a new OUTPUT_DIR.")


def check_dataset(output_dir: Path, weights: Mapping[str, str]) -> None:
    """Raise CannotCreate if the folder has another dataset, or one made with other weights. Writes nothing."""
    check_maker(output_dir)
    old = read_json(output_dir / "dataset_description.json") or {}
    before = old.get("Haca3", {}).get("Weights", {})
    for key, word in (("sha256", "weights"), ("fusion_sha256", "fusion weights"), ("variant", "variant")):
        if before.get(key, weights.get(key)) != weights.get(key):
            raise CannotCreate(
                f"{output_dir.name} was made with other {word} ({before.get('name')}, {str(before.get(key))[:12]}), "
                f"not with {weights.get('name')} ({str(weights.get(key))[:12]}).",
                "Images made with different weights are not comparable. Choose another OUTPUT_DIR.",
            )


def _description(
    output_dir: Path, bids_dir: Path, version: str, weights: Mapping[str, str], old: Mapping[str, Any]
) -> dict[str, Any]:
    source, _ = read_object(bids_dir / "dataset_description.json")
    link = os.path.relpath(bids_dir.resolve(), output_dir.resolve())
    tool = {"Name": APP, "Version": version, "Description": "Contrast harmonization, following HACA3"}
    return {
        "Name": f"haca3_bids harmonization of {source.get('Name', bids_dir.name)}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [tool, *[one for one in old.get("GeneratedBy", []) if one.get("Name") != APP]],
        "SourceDatasets": [{"URL": link}],
        "DatasetLinks": {"raw": link},
        **({"HowToAcknowledge": source["HowToAcknowledge"]} if "HowToAcknowledge" in source else {}),
        "Haca3": {"Format": FORMAT, "Weights": dict(weights), "Targets": old.get("Haca3", {}).get("Targets", {})},
    }


@dataclass(frozen=True)
class _Own:
    """The entry of this program in dataset_description.json, with keys in the style of BIDS."""

    Targets: Mapping[str, Target] = field(default_factory=dict)
    Format: int = FORMAT

    def __post_init__(self) -> None:
        if self.Format > FORMAT:
            raise ValueError(f"format {self.Format}")


def known_targets(output_dir: Path) -> dict[str, Target]:
    """The targets for which the dataset has images, by key; CannotCreate if this version cannot read them."""
    own = (read_json(output_dir / "dataset_description.json") or {}).get("Haca3", {})
    try:
        return dict(from_values(own, _Own).Targets)
    except (ValueError, UsageError):
        raise CannotCreate(
            f"This version cannot read the targets in {output_dir.name}/dataset_description.json.",
            "The file was changed, or written by a newer version. Choose another OUTPUT_DIR.",
        ) from None


def target_picture(output_dir: Path, target_key: str) -> Path:
    """The path of the slices of a target that are shown in reports, if this is permitted."""
    return output_dir / "figures" / f"target-{target_key}.jpg"


def claim_targets(output_dir: Path, targets: Sequence[Target]) -> None:
    """Add targets to the description of the dataset; CannotCreate if a name is taken by a different target."""
    with locked(output_dir, "dataset"):
        path = output_dir / "dataset_description.json"
        known = known_targets(output_dir)
        for target in targets:
            before = known.setdefault(target.key, target)
            if not before.matches(target):
                raise CannotCreate(
                    f"{output_dir.name} already has images of another target under the name desc-{target.key} "
                    f"({_difference(before, target)}).",
                    "Choose another name for the target (--target NAME=VALUE), or another OUTPUT_DIR.",
                )
            known[target.key] = replace(before, fingerprint=target.fingerprint or before.fingerprint)
        description = read_json(path) or {}
        text = to_readable_json(description | {"Haca3": description.get("Haca3", {}) | {"Targets": known}})
        _update(output_dir, {path: text} | _descriptions(output_dir, known.values()))


def _difference(before: Target, now: Target) -> str:
    """The difference of two targets in words; for tables, the tissue with the largest difference."""
    old, new = before.theta, now.theta
    if is_table(old) and is_table(new):
        tissue = max(range(len(old)), key=lambda index: abs(old[index] - new[index]))
        if not math.isclose(old[tissue], new[tissue], rel_tol=SAME_TARGET, abs_tol=SAME_TARGET):
            return f"{TISSUES[tissue]} {old[tissue]:.4g}, now {new[tissue]:.4g}"
        return f"artifact level {_rounded(before.eta)}, now {_rounded(now.eta)}"
    return f"theta {_rounded(old)}, now {_rounded(new)}"


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _descriptions(output_dir: Path, targets: Iterable[Target]) -> dict[Path, str]:
    """The table of the labels ``desc-``, with those of more targets."""
    path = output_dir / "descriptions.tsv"
    rows = _read_descriptions(path)
    rows["desc-preproc"] = "Bias-corrected, rigidly registered to the template, white-matter peak at 1000"
    for target in targets:
        what = f"target {target.name}" if target.name else "the built-in reference of the image's contrast"
        rows[f"desc-{target.desc}"] = f"Harmonized to {what}"
        rows[f"desc-{target.desc}Std"] = f"Standard deviation of the samples of desc-{target.desc}"
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows([("desc_id", "description"), *sorted(rows.items())])
    return {path: text.getvalue()}


def _read_descriptions(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["desc_id"]: row["description"] for row in csv.DictReader(lines, delimiter="\t")}
