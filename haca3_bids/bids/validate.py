"""Validation of the input with the official BIDS validator, and a minimal check without it."""

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from haca3_bids.bids.lenient import read_text
from haca3_bids.errors import InvalidBids

LOGGER = logging.getLogger("haca3_bids")
VALIDATOR = "bids-validator-deno"
ABOUT_SCANS = ("EMPTY_FILE", "SYMLINK_BROKEN", "NIFTI_")  # a broken scan only fails its session
ABOUT_SIDECARS = ("JSON_", "INVALID_JSON", "SIDECAR_")  # a broken sidecar only gives a warning
ENCODING = "INVALID_JSON_ENCODING"  # such a file is read all the same, but the validator finds no key in it
SHOWN = 5


def check_description(bids_dir: Path) -> dict[str, Any]:
    """The dataset_description.json of the input; InvalidBids if it is missing or incomplete."""
    path = bids_dir / "dataset_description.json"
    if not path.is_file():
        raise InvalidBids(
            f"{bids_dir.name} has no dataset_description.json, so it is not a BIDS dataset.",
            "BIDS_DIR must be the top folder of the dataset. The file must have at least Name and BIDSVersion.",
        )
    try:
        description = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InvalidBids(f"The dataset_description.json of {bids_dir.name} is not valid JSON ({error}).") from error
    missing = [key for key in ("Name", "BIDSVersion") if not isinstance(description, dict) or key not in description]
    if missing:
        raise InvalidBids(f"The dataset_description.json of {bids_dir.name} lacks {' and '.join(missing)}.")
    return dict(description)


def validate_bids(bids_dir: Path, folders: Collection[str]) -> None:
    """Raise InvalidBids if the validator finds errors in files that will be read.

    These are files of the dataset itself, at the top level of each subject, and in ``folders`` such as
    ``sub-01/ses-1/anat``. Errors elsewhere, in sidecars and tables, and in files with another encoding, are logged.
    """
    issues = run_validator(bids_dir)
    if issues is None:
        LOGGER.warning("The BIDS validator could not be run; the dataset is used without validation.")
        return
    errors = [issue for issue in issues if issue.get("severity") == "error" and not _begins(issue, ABOUT_SCANS)]
    concern = [issue for issue in errors if _concerns(_location(issue), folders)]
    encoded = {_location(issue) for issue in concern if issue.get("code") == ENCODING}
    mild = [
        issue
        for issue in concern
        if (_begins(issue, ABOUT_SIDECARS) and _location(issue).startswith("sub-"))
        or _location(issue).endswith(".tsv")
        or _location(issue) in encoded
    ]
    ours = [issue for issue in concern if issue not in mild]
    if len(errors) > len(concern):
        LOGGER.warning("The BIDS validator found %d errors in files that are not read.", len(errors) - len(concern))
    if mild:
        LOGGER.warning("Some JSON files or tables contain errors; only their valid parts are used:\n  %s", _shown(mild))
    if ours:
        shown = _shown(ours)
        raise InvalidBids(
            f"{bids_dir.name} is not valid BIDS ({len(ours)} errors):\n  {shown}",
            "Correct the dataset, or continue at your own risk with --skip-bids-validation.",
        )


def run_validator(dataset: Path) -> list[dict[str, Any]] | None:
    """All issues that bids-validator-deno reports; None if it is not installed or fails."""
    beside = Path(sys.executable).with_name(VALIDATOR)
    program = str(beside) if beside.exists() else shutil.which(VALIDATOR)
    if program is None:
        return None
    command = [program, "--format", "json", "--ignoreNiftiHeaders", "--ignoreWarnings", str(dataset)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return list(json.loads(done.stdout)["issues"]["issues"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shown(issues: Sequence[dict[str, Any]]) -> str:
    lines = [f"{issue.get('location', '')}: {issue.get('code')} {issue.get('issueMessage', '')}" for issue in issues]
    return "\n  ".join(line.strip() for line in lines[:SHOWN])


def _begins(issue: dict[str, Any], codes: tuple[str, ...]) -> bool:
    return str(issue.get("code", "")).startswith(codes)


def _location(issue: dict[str, Any]) -> str:
    return str(issue.get("location", "")).strip("/")


def _concerns(location: str, folders: Collection[str]) -> bool:
    """Whether a file belongs to the dataset itself, is in one of the folders, or at the top level of their subjects."""
    subject, *rest = location.split("/")
    if not subject.startswith("sub-"):
        return True
    if len(rest) < 2:
        return any(folder.startswith(f"{subject}/") for folder in folders)
    return any(f"{location}/".startswith(f"{folder}/") for folder in folders)
