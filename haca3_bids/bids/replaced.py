"""Files of an earlier run on the same session: those that stay, and those that no longer belong to its inputs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from haca3_bids.bids.discover import Session
from haca3_bids.bids.names import session_folder, session_name
from haca3_bids.bids.origin import dataset_identity
from haca3_bids.bids.record import has_size, is_of_another_dataset, left_out_by_option, read_session, record_path
from haca3_bids.errors import CannotCreate, Failure
from haca3_bids.quality.verdict import judged_again
from haca3_bids.records.session import Completion, SessionRecord

# the record while files are being replaced: other processes read it, so that it must never be missing
BEING_REPLACED = Failure(
    "The run stopped while the files of this session were replaced.",
    "Run the same command again.",
    step="writing the outputs",
)


def check_origin(output_dir: Path, bids_dir: Path, sessions: Iterable[Session]) -> None:
    """Raise CannotCreate if files of a session were made from another dataset: they are those of another person."""
    for session in sessions:
        record = read_session(record_path(output_dir, session))
        if record is not None and is_of_another_dataset(record, output_dir, bids_dir, session):
            before, now = (" ".join(one.values()) for one in (record.dataset, dataset_identity(bids_dir)))
            raise CannotCreate(
                f"{output_dir.name} has another {session.name}, of the dataset '{before}': none of its scans is in "
                f"'{now}'.",
                f"Choose another OUTPUT_DIR. If it is the same person, first remove {session.folder} and "
                f"sub-{session.subject}/figures/{session.name}_* from OUTPUT_DIR.",
            )


def is_outdated(new: SessionRecord, old: SessionRecord) -> bool:
    """Whether a scan from which the old files were made has other content, or is not used any more.

    Scans that were added do not matter, nor those that --modalities or --bids-filter-file leave out of the new run.
    """
    now, by_option = _scans(new), left_out_by_option(new.left_out)
    used = {(_suffix(path), sha) for path, sha in now.items()}  # a scan may have been renamed
    before = _scans(old)
    return not before or any((_suffix(path), sha) not in used and path not in by_option for path, sha in before.items())


def _suffix(path: str) -> str:
    return path.rpartition("_")[2].partition(".")[0]


def _scans(record: SessionRecord) -> Mapping[str, str]:
    """The SHA-256 of the scans from which the files of a record were made, by path."""
    done = record.completion or Completion()
    return done.scans or {one.path: done.inputs[one.contrast] for one in record.images if one.contrast in done.inputs}


def merged(new: SessionRecord, old: SessionRecord | None, output_dir: Path) -> SessionRecord:
    """The new record with the existing images of other targets that an earlier run made, unless they are outdated.

    The verdict is on all of them.
    """
    before, now = old.completion if old is not None else None, new.completion
    if old is None or before is None or now is None or is_outdated(new, old):
        return new
    made = {image.target.key for image in new.harmonization.images}
    kept = [
        image
        for image in (old.harmonization.images if old.is_done else ())
        if image.target.key not in made and (output_dir / image.file).is_file()
    ]
    keys = {image.target.key for image in kept}
    completion = _with_earlier(now, before, output_dir, is_done=old.is_done)
    completion = replace(completion, scans={**_scans(old), **now.scans})
    numbers = {key: own for key, own in old.quality.images.items() if key in keys}
    quality = replace(new.quality, images={**new.quality.images, **numbers})
    return replace(
        new,
        quality=judged_again(quality, quality.thresholds_changed),
        harmonization=replace(new.harmonization, images=(*new.harmonization.images, *kept)),
        figures=(*new.figures, *(figure for figure in old.figures if figure.target in keys)),
        notes=(*new.notes, *_notes(completion.older)),
        completion=completion,
    )


def _with_earlier(now: Completion, before: Completion, output_dir: Path, *, is_done: bool) -> Completion:
    """The completion with the earlier targets, or with the earlier files alone if settings or inputs differ."""
    intact = all(name in now.outputs or has_size(output_dir / name, size) for name, size in before.outputs.items())
    if is_done and intact and (before.fingerprint, before.inputs) == (now.fingerprint, now.inputs):
        now = replace(now, targets={**before.targets, **now.targets}, outputs={**before.outputs, **now.outputs})
    older = {name for name in _files(before) if name not in now.outputs and (output_dir / name).is_file()}
    return replace(now, older=tuple(sorted(older)))


def _notes(older: Iterable[str]) -> list[str]:
    images = [PurePosixPath(name).name for name in older if name.endswith(".nii.gz")]
    if not images:
        return []
    return [f"Images of earlier runs, which this run did not make again, were kept: {', '.join(images)}."]


def being_replaced(failed: SessionRecord, new: SessionRecord, old: SessionRecord | None) -> SessionRecord:
    """The record ``failed`` with the files of both runs, so that a later run can remove them.

    It has inputs only if the old files are not outdated: else no later run can tell from which a file was made.
    """
    before, now = (old.completion if old is not None else None) or Completion(), new.completion or Completion()
    lasting = old is not None and not is_outdated(new, old)
    inputs = {**before.inputs, **now.inputs} if lasting else {}
    scans = {**_scans(old), **now.scans} if old is not None and lasting else {}
    older = tuple(sorted(_files(before) | _files(now)))
    return replace(failed, completion=Completion(inputs=inputs, scans=scans, older=older))


def remove_outdated(new: SessionRecord, old: SessionRecord | None, output_dir: Path) -> None:
    """Remove the files of an earlier run that are outdated, unless the new run writes them itself."""
    before, now = old.completion if old is not None else None, new.completion
    if old is None or before is None or now is None or not is_outdated(new, old):
        return
    anat, figures = session_folder(new.subject, new.session), f"sub-{new.subject}/figures"
    for name in _files(before) - now.outputs.keys():
        path = PurePosixPath(name)
        own = path.name.startswith(f"{session_name(new.subject, new.session)}_")  # records may be edited
        if own and str(path.parent) in (anat, figures) and not (output_dir / name).is_dir():
            (output_dir / name).unlink(missing_ok=True)


def _files(completion: Completion) -> set[str]:
    return {*completion.outputs, *completion.older}
