"""The record of a session: the source of its report, and the evidence that it is finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from haca3_bids.bids.atomic import make_folder, read_json, write_json
from haca3_bids.bids.describe import same_target, target_key
from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import record_name
from haca3_bids.digest import file_sha256, short_digest
from haca3_bids.errors import Haca3Error


def record_path(output_dir: Path, session: Session) -> Path:
    """Where a session's record stands."""
    return output_dir / session.folder / record_name(session.subject, session.session)


def stamp(path: Path) -> str:
    """A word that changes with name, size or time of a file; it says none of them, for records are shared."""
    found = path.stat()
    text = f"{path.name} {found.st_size} {found.st_mtime_ns}"
    return short_digest(text)


def input_sha256(output_dir: Path, session: Session, contrast: str) -> str:
    """SHA-256 of an input; taken from the session's record where the file's size and time are what they were then."""
    done = (read_json(record_path(output_dir, session)) or {}).get("completion") or {}
    return _as_recorded(session.images[contrast].path, contrast, done)


def _as_recorded(path: Path, contrast: str, done: Mapping[str, Any]) -> str:
    before, now = done.get("inputs", {}).get(contrast), stamp(path)
    if before and done.get("stamps", {}).get(contrast) == now:
        return str(before)
    return _hashed(path, now)


@lru_cache(maxsize=4096)
def _hashed(path: Path, as_of: str) -> str:  # noqa: ARG001
    return file_sha256(path)


def images_found(session: Session, bids_dir: Path) -> dict[str, Any]:
    """The part of a record that discovery knows: images used, images left out, and why."""
    return {
        "images": [
            {"contrast": image.contrast, "path": str(image.path.relative_to(bids_dir)), "reason": image.reason}
            for image in session.images.values()
        ],
        "left_out": [{"path": str(one.path.relative_to(bids_dir)), "reason": one.reason} for one in session.left_out],
    }


def stamps(session: Session) -> dict[str, str]:
    """The stamp of each input, by contrast."""
    return {contrast: stamp(image.path) for contrast, image in session.images.items()}


def completion(
    session: Session, fingerprint: str, targets: Sequence[Mapping[str, Any]], outputs: Mapping[str, int]
) -> dict[str, Any]:
    """What must match for a session to count as finished; ``outputs`` maps paths in the dataset to bytes."""
    return {
        "fingerprint": fingerprint,
        "stamps": stamps(session),
        "inputs": {contrast: file_sha256(image.path) for contrast, image in session.images.items()},
        "targets": {target_key(target): dict(target) for target in targets},
        "outputs": dict(sorted(outputs.items())),
    }


def is_finished(output_dir: Path, session: Session, fingerprint: str, targets: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an earlier run made all of this from the same inputs, and its files are all there at their sizes."""
    record = read_json(record_path(output_dir, session))
    if record is None or record.get("status") != "done":
        return False
    done = record.get("completion", {})
    if done.get("fingerprint") != fingerprint or set(done.get("inputs", {})) != set(session.images):
        return False
    for target in targets:
        before = done.get("targets", {}).get(target_key(target))
        if before is None or not same_target(before, target):
            return False
    if any(not _has_size(output_dir / name, size) for name, size in done.get("outputs", {}).items()):
        return False
    return all(
        _as_recorded(image.path, contrast, done) == done["inputs"][contrast]
        for contrast, image in session.images.items()
    )


def keep_stamps(output_dir: Path, session: Session) -> None:
    """Enter the stamps of a finished session's inputs where they changed, so that they are hashed only once more."""
    path = record_path(output_dir, session)
    record, now = read_json(path), stamps(session)
    if record is not None and record["completion"].get("stamps") != now:
        record["completion"]["stamps"] = now
        write_json(path, record)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def merge_records(new: dict[str, Any], old: Mapping[str, Any] | None, output_dir: Path) -> dict[str, Any]:
    """The new record with what an earlier run made for other targets and which is still there."""
    if old is None or old.get("status") != "done":
        return new
    made = {target_key(image["target"]) for image in new["harmonization"]["images"]}
    kept = [
        image
        for image in old.get("harmonization", {}).get("images", [])
        if target_key(image["target"]) not in made and (output_dir / image["file"]).is_file()
    ]
    new["harmonization"]["images"] += kept
    keys = {target_key(image["target"]) for image in kept}
    new["figures"] += [figure for figure in old.get("figures", []) if figure.get("target") in keys]
    same = old.get("completion", {}).get("fingerprint") == new["completion"]["fingerprint"]
    if same and old["completion"].get("inputs") == new["completion"]["inputs"]:
        before = old["completion"]
        new["completion"]["targets"] = before["targets"] | new["completion"]["targets"]
        new["completion"]["outputs"] = before["outputs"] | new["completion"]["outputs"]
    elif kept:
        new["notes"].append("Images of earlier targets were made with other settings; their sidecars say which.")
    return new


def write_failure(
    output_dir: Path, bids_dir: Path, session: Session, *, error: Haca3Error, step: str, version: str, command: str
) -> bool:
    """Leave a record of a failure for the page, unless an earlier run finished the session: its record stays."""
    path = record_path(output_dir, session)
    if (read_json(path) or {}).get("status") == "done":
        return False
    make_folder(path.parent)
    write_json(path, failed_record(bids_dir, session, error=error, step=step, version=version, command=command))
    return True


def failed_record(
    bids_dir: Path, session: Session, *, error: Haca3Error, step: str, version: str, command: str
) -> dict[str, Any]:
    """The record of a session that failed."""
    described = {"class": type(error).__name__, "sentence": error.sentence, "hint": error.hint, "step": step}
    record: dict[str, Any] = {
        "subject": session.subject,
        "session": session.session,
        "version": version,
        "command": command,
    }
    record |= {"status": "failed", "error": described, **images_found(session, bids_dir)}
    record |= {
        "quality": {"verdict": "fail", "reasons": [{"measure": "error", "grade": "fail", "sentence": error.sentence}]}
    }
    record |= {"preprocessing": {}, "harmonization": {}, "figures": [], "seconds": {}}
    return record | {"notes": list(session.warnings)}
