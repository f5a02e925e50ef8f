"""Reading and writing of session records, and the check whether a session is finished."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from haca3_bids import __version__
from haca3_bids.bids.atomic import make_folder, write_json
from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import file_name
from haca3_bids.bids.origin import dataset_identity, may_be_same
from haca3_bids.bids.usable import FILTERED, NOT_REQUESTED
from haca3_bids.digest import file_sha256, short_digest
from haca3_bids.errors import BadInput, Failure
from haca3_bids.quality.verdict import record_judged_again
from haca3_bids.records.files import read_record
from haca3_bids.records.session import FORMAT, Completion, ImageLeftOut, ImageUsed, Quality, SessionRecord
from haca3_bids.records.target import Target
from haca3_bids.settings import OutputSettings

AGAIN = "Run the same command again when the dataset is complete."


@dataclass(frozen=True)
class Context:
    """A session to be processed, with its datasets and settings."""

    session: Session
    bids_dir: Path
    output_dir: Path
    space: str
    command: str
    methods: tuple[str, ...] = ()
    outputs: OutputSettings = field(default_factory=OutputSettings)
    fingerprint: str = ""  # of everything that can change an output; not used for failures
    stamps: Mapping[str, str] = field(default_factory=dict)  # of its inputs at planning, by contrast


def record_path(output_dir: Path, session: Session) -> Path:
    """The path of the record of a session."""
    name = file_name(session.subject, session.session, "qc", ".json", desc="haca3")
    return output_dir / session.folder / name


def stamp(path: Path) -> str:
    """A hash of name, size and modification time of a file; a hash, since records may be shared."""
    found = path.stat()
    text = f"{path.name} {found.st_size} {found.st_mtime_ns}"
    return short_digest(text)


def read_session(path: Path) -> SessionRecord | None:
    """The record in a file; None if there is none of a supported format."""
    record = read_record(path, SessionRecord)
    return record if record is not None and record.format <= FORMAT else None


def _completed(output_dir: Path, session: Session) -> Completion | None:
    record = read_session(record_path(output_dir, session))
    return record.completion if record is not None and record.is_done else None


def input_sha256(output_dir: Path, session: Session, contrast: str) -> str:
    """SHA-256 of an input, from the session's record if the file has not changed since."""
    return _as_recorded(session.images[contrast].path, contrast, _completed(output_dir, session))


def _as_recorded(path: Path, contrast: str, done: Completion | None) -> str:
    now = stamp(path)
    if done is not None and contrast in done.inputs and done.stamps.get(contrast) == now:
        return done.inputs[contrast]
    return _hashed(path, now)


@lru_cache(maxsize=4096)
def _hashed(path: Path, as_of: str) -> str:  # noqa: ARG001
    return file_sha256(path)


def found(context: Context) -> SessionRecord:
    """The record of a session before processing: images used, images left out, and why."""
    session, bids_dir = context.session, context.bids_dir
    return SessionRecord(
        session.subject,
        session.session,
        version=__version__,
        command=context.command,
        dataset=dataset_identity(bids_dir),
        images=tuple(
            ImageUsed(image.contrast, str(image.path.relative_to(bids_dir)), image.reason)
            for image in session.images.values()
        ),
        left_out=session.left_out,
        notes=session.warnings,
        methods=context.methods,
    )


def stamps(session: Session) -> dict[str, str]:
    """The stamp of each input, by contrast."""
    return {contrast: stamp(image.path) for contrast, image in session.images.items()}


def completion(context: Context, targets: Sequence[Target], outputs: Mapping[str, int]) -> Completion:
    """What must match for a session to count as finished; ``outputs`` maps paths in the dataset to bytes.

    Raises BadInput if an input has changed since the session was planned.
    """
    unchanged, images = _unchanged(context), context.session.images
    sha = {contrast: file_sha256(image.path) for contrast, image in images.items()}
    return Completion(
        context.fingerprint,
        unchanged,
        sha,
        {target.key: target for target in targets},
        dict(sorted(outputs.items())),
        {str(image.path.relative_to(context.bids_dir)): sha[contrast] for contrast, image in images.items()},
    )


def _unchanged(context: Context) -> dict[str, str]:
    try:
        now = stamps(context.session)
    except OSError as error:
        raise BadInput(f"An input was removed while it was processed ({error.strerror}).", AGAIN) from error
    changed = [context.session.images[key].path.name for key, then in context.stamps.items() if now[key] != then]
    if changed:
        raise BadInput(f"{', '.join(changed)} changed while being processed.", AGAIN)
    return now


def is_finished(context: Context, targets: Sequence[Target]) -> bool:
    """Whether an earlier run produced all targets from the same inputs, and its files exist with their sizes."""
    session, output_dir = context.session, context.output_dir
    done = _completed(output_dir, session)
    if done is None or done.fingerprint != context.fingerprint or set(done.inputs) != set(session.images):
        return False
    for target in targets:
        before = done.targets.get(target.key)
        if before is None or not before.matches(target):
            return False
    if any(not has_size(output_dir / name, size) for name, size in done.outputs.items()):
        return False
    known = {str(image.path.relative_to(context.bids_dir)) for image in session.images.values()}
    if not done.scans.keys() <= known | left_out_by_option(session.left_out):  # a scan has left the dataset
        return False
    return all(
        _as_recorded(image.path, contrast, done) == done.inputs[contrast] for contrast, image in session.images.items()
    )


def left_out_by_option(left_out: Iterable[ImageLeftOut]) -> set[str]:
    """The paths of the scans that --modalities or --bids-filter-file leave out."""
    return {one.path for one in left_out if one.reason.endswith(NOT_REQUESTED) or one.reason == FILTERED}


def has_size(path: Path, size: int) -> bool:
    """Whether there is a file of this size in bytes."""
    return path.is_file() and path.stat().st_size == size


def is_of_another_dataset(record: SessionRecord, output_dir: Path, bids_dir: Path, session: Session) -> bool:
    """Whether a session of this name was processed from another dataset: its files are those of another person.

    The dataset is another one if its name and DOI are (see ``may_be_same``) and no scan of the session is the same.
    """
    if record.completion is None or may_be_same(record.dataset, dataset_identity(bids_dir)):
        return False
    known = {*record.completion.inputs.values(), *record.completion.scans.values()}
    return not any(input_sha256(output_dir, session, contrast) in known for contrast in session.images)


def write_failure(context: Context, failure: Failure) -> None:
    """Write the record of a failure; if an earlier run finished the session, add the failure to its record."""
    path = record_path(context.output_dir, context.session)
    before = read_session(path)
    if before is not None and is_of_another_dataset(before, context.output_dir, context.bids_dir, context.session):
        return
    if before is not None and before.is_done:
        known = replace(before, error=failure, dataset=dataset_identity(context.bids_dir))
        write_json(path, record_judged_again(known, before.quality.thresholds_changed))
        return
    make_folder(path.parent)
    listed = before.completion if before is not None else None
    write_json(path, replace(failed(context, failure), completion=listed))


def failed(context: Context, failure: Failure) -> SessionRecord:
    """The record of a session that ended with an error."""
    return replace(found(context), error=failure, quality=Quality.failed(failure.sentence), methods=())
