"""``--target [NAME=]VALUE``: from the typed text to Targets."""

from __future__ import annotations

import fnmatch
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from haca3_bids import __version__
from haca3_bids.bids.discover import Session, check_session, discover_subject
from haca3_bids.bids.names import IMAGE_EXTENSIONS, as_label, check_target_name, parse_entities, some_of
from haca3_bids.digest import file_sha256, short_digest
from haca3_bids.errors import BadInput, NothingSelected, UsageError
from haca3_bids.execution.described_targets import from_numbers, from_protocol
from haca3_bids.option import shaping
from haca3_bids.physics.signal import SEQUENCES
from haca3_bids.records.engine import Weights
from haca3_bids.records.target import Target, target_key
from haca3_bids.settings import CONTRASTS, SelectionSettings, Settings
from haca3_bids.volumes.header import check_geometry

LOGGER = logging.getLogger("haca3_bids")
NUMBERS_NAME = "custom"
DESCRIBED = (  # T1w=MPRAGE:field=3,tr=2300 or siteB=T1w=sidecar.json
    rf"(?:(?P<name>\w+)=)?(?P<contrast>{'|'.join(CONTRASTS)})="
    rf"(?P<protocol>(?:{'|'.join(SEQUENCES)})(?::.*)?|.*\.json)$"
)


@dataclass(frozen=True)
class TargetRequest:
    """One VALUE of ``--target``: known values, or images that must be encoded."""

    name: str  # "" only for built-in references
    typed: str
    values: tuple[Target, ...] = ()
    images: Mapping[str, Path] = field(default_factory=dict)  # by contrast
    members: tuple[TargetRequest, ...] = ()  # sessions of which the target is the mean

    @property
    def parts(self) -> tuple[TargetRequest, ...]:
        """The requests whose images are encoded: the members, or this one."""
        return self.members or (self,)

    @property
    def contrasts(self) -> list[str]:
        """The contrasts of its values."""
        known = [value.contrast for value in self.values] or list(self.images)
        return known or [c for c in CONTRASTS if any(c in member.images for member in self.members)]


def parse_targets(settings: Settings, weights: Weights) -> list[TargetRequest]:
    """The requests of the command line; UsageError if one is invalid or two have the same name."""
    requests = [_parse(typed, settings, weights) for typed in settings.targets]
    names: dict[str, str] = {}
    for request in requests:
        for contrast in request.contrasts:
            key = f"{request.name}_{contrast}"
            if key in names:
                raise UsageError(
                    f"--target {names[key]} and --target {request.typed} would write files of the same name.",
                    "Give one of them a name: --target NAME=VALUE.",
                )
            names[key] = request.typed
    return requests


def default_targets(session: Session, weights: Weights) -> list[Target]:
    """The built-in reference of each contrast of the session; UsageError if the weights have none of them."""
    found = [contrast for contrast in CONTRASTS if contrast in session.images and contrast in weights.references]
    return [reference_target(contrast, weights) for contrast in found or [session.reference]]


def reference_target(contrast: str, weights: Weights) -> Target:
    """The built-in reference of a contrast; UsageError if the weights have none."""
    if contrast not in weights.references:
        has = ", ".join(weights.references) or "none"
        raise UsageError(
            f"The weights '{weights.name}' have no reference for {contrast} (only: {has}).",
            "Give --target an image, a subject (sub-X), or numbers (T2w:theta0,theta1).",
        )
    return weights.references[contrast]


def _parse(typed: str, settings: Settings, weights: Weights) -> TargetRequest:
    described = re.match(DESCRIBED, typed)
    if described:
        target = from_protocol(described["name"] or "", described["contrast"], described["protocol"], typed, weights)
        return TargetRequest(target.name, typed, (target,))
    name, value = _split_name(typed)
    if value in CONTRASTS:
        reference = reference_target(value, weights)
        return TargetRequest(name, typed, (replace(reference, name=name),))
    if re.match(rf"({'|'.join(CONTRASTS)}):", value):
        return TargetRequest(name or NUMBERS_NAME, typed, (from_numbers(name or NUMBERS_NAME, value, typed, weights),))
    if re.fullmatch(r"sub-[A-Za-z0-9+]+(_ses-[A-Za-z0-9+]+)?", value) and not Path(value).is_file():
        return _subject(name, value, typed, settings)
    if names_sessions(value):
        return mean_of(name, value, typed, settings)
    return _image(name, value, typed, settings)


def _split_name(typed: str) -> tuple[str, str]:
    name, sign, value = typed.partition("=")
    if not sign or not value or "/" in name or ":" in name:
        return "", typed
    if name in CONTRASTS:  # else a T2w, or all images of a session, would silently be targets called T1w
        raise UsageError(
            f"--target {typed}: '{value}' is neither a sequence nor a sidecar (.json), as {name}=... requires.",
            f"Sequences are {', '.join(SEQUENCES)}. An image or session needs no contrast; a name must differ from all "
            "contrasts.",
        )
    return check_target_name(name), value


def _subject(name: str, value: str, typed: str, settings: Settings) -> TargetRequest:
    sessions = _sessions(value, typed, settings)
    if len(sessions) != 1:
        found = ", ".join(one.name for one in sessions) or "none"
        raise UsageError(
            f"--target {typed} requires a single session of {value} with images; found: {found}.",
            "Choose one: --target sub-X_ses-Y.",
        )
    check_session(sessions[0], settings.preprocessing.force)
    images = {contrast: image.path for contrast, image in sessions[0].images.items()}
    return TargetRequest(name or check_target_name(as_label(value)), typed, images=images)


def _sessions(value: str, typed: str, settings: Settings) -> list[Session]:
    """The sessions with images of a subject, or of one of its sessions; NothingSelected if there is no such subject."""
    subject, _, session = value.removeprefix("sub-").partition("_ses-")
    selection = SelectionSettings(sessions=(session,) if session else (), filter_file=settings.selection.filter_file)
    if not (settings.bids_dir / f"sub-{subject}").is_dir():
        raise NothingSelected(f"{settings.bids_dir.name} has no participant {subject}, named by --target {typed}.")
    return [one for one in discover_subject(settings.bids_dir, subject, selection) if one.images or one.problem]


def names_sessions(value: str) -> bool:
    """Whether a value specifies several sessions: by a pattern or a text file of names."""
    return (value.startswith("sub-") and any(sign in value for sign in "*?[")) or value.endswith(".txt")


def mean_of(name: str, value: str, typed: str, settings: Settings) -> TargetRequest:
    """The mean of several sessions; BadInput or UsageError if there is none or one has no image."""
    if value.endswith(".txt"):
        try:
            words = Path(value).expanduser().read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            sentence = f"--target {typed}: {Path(value).name} cannot be read ({why})."
            raise BadInput(sentence, "It must list one sub-X or sub-X_ses-Y per line.") from error
    else:
        words = _with_images(sorted(fnmatch.filter(_session_names(settings.bids_dir), value)), typed, settings)
    if not words:
        raise NothingSelected(f"--target {typed} matches no session of {settings.bids_dir.name}.")
    label = name or check_target_name(as_label(Path(value).name.removesuffix(".txt")))
    words = list(dict.fromkeys(words))  # a session that is listed twice counts once
    members = [_subject(f"{label}Member{number + 1}", word, typed, settings) for number, word in enumerate(words)]
    return TargetRequest(label, typed, members=tuple(members))


def _with_images(words: Sequence[str], typed: str, settings: Settings) -> list[str]:
    """The names that match a pattern, without the sessions that have no image."""
    empty = [word for word in words if not _sessions(word, typed, settings)]
    if empty:
        LOGGER.warning("--target %s: sessions without an image are left out (%s).", typed, some_of(empty))
    return [word for word in words if word not in empty]


def _session_names(bids_dir: Path) -> list[str]:
    """``sub-01_ses-1``, or ``sub-01`` for a subject without session folders."""
    found = []
    for subject in sorted(folder for folder in bids_dir.glob("sub-*") if folder.is_dir()):
        sessions = sorted(folder.name for folder in subject.glob("ses-*") if folder.is_dir())
        found += [f"{subject.name}_{session}" for session in sessions] or [subject.name]
    return found


def mean_target(request: TargetRequest, found: Sequence[Sequence[Target]]) -> list[Target]:
    """The mean of the members' values for each contrast; ``found`` contains the values of each member."""
    means = []
    for contrast in request.contrasts:
        own = [one for values in found for one in values if one.contrast == contrast]
        theta, eta = (tuple(np.mean([getattr(one, key) for one in own], axis=0)) for key in ("theta", "eta"))
        scale = float(np.mean([one.scale for one in own]))
        origin = f"mean of {len(own)} sessions ({request.typed})"
        means.append(Target(request.name, contrast, theta, eta, scale, origin))
    return means


def _image(name: str, value: str, typed: str, settings: Settings) -> TargetRequest:
    path = Path(value).expanduser().absolute()
    if not path.name.endswith(IMAGE_EXTENSIONS):
        raise UsageError(
            f"--target {typed} is not a contrast, an image, sub-X[_ses-Y], a protocol or numbers.",
            f"Contrasts are {', '.join(CONTRASTS)}. Others are written T1w=MPRAGE, T1w=SIDECAR.json, T1w:grey=0.75 or "
            "T1w:theta0,theta1.",
        )
    if not path.is_file():
        raise BadInput(f"The target image {path.name} does not exist.", "A symbolic link may point nowhere.")
    entities, suffix, _ = parse_entities(path.name)
    contrast = suffix if suffix in CONTRASTS else ""
    if not contrast:
        raise UsageError(
            f"The name of the target image {path.name} does not contain its contrast.",
            f"It must end in one of {', '.join('_' + one + '.nii.gz' for one in CONTRASTS)}.",
        )
    check_geometry(path, forced="orientation" in settings.preprocessing.force)
    made = as_label("".join(f"{key}{entities[key]}" for key in ("sub", "ses") if key in entities))
    made = made or as_label(path.name.partition(".")[0].removesuffix(contrast))
    if not name and not made:
        raise UsageError(f"--target {typed} needs a name: --target NAME={value}.")
    return TargetRequest(name or check_target_name(made), typed, images={contrast: path})


def image_fingerprint(request: TargetRequest, settings: Settings, weights: Weights) -> str:
    """A fingerprint of the images and of everything that can change their encoded values."""
    parts = [shaping(group, "targets") for group in (settings.preprocessing, settings.harmonization)]
    made_by = [__version__, weights.sha256, weights.variant, parts]
    files = [{contrast: file_sha256(path) for contrast, path in part.images.items()} for part in request.parts]
    return short_digest(json.dumps([made_by, files], sort_keys=True))


def take_over(request: TargetRequest, known: Mapping[str, Target], fingerprint: str) -> tuple[Target, ...]:
    """The values of a request from an earlier run with the same fingerprint; empty if any is missing."""
    keys = [target_key(request.name, contrast) for contrast in request.contrasts]
    found = [known[key] for key in keys if key in known and known[key].fingerprint == fingerprint]
    return tuple(found) if len(found) == len(keys) else ()
