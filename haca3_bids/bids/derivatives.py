"""The files of one session: written to a temporary folder, then moved into the dataset together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from haca3_bids.bids.atomic import make_folder, read_json, write_json
from haca3_bids.bids.discover import Session
from haca3_bids.bids.metadata import read_metadata
from haca3_bids.bids.names import bids_uri, file_name, record_name, target_desc, transform_name
from haca3_bids.bids.record import completion, failed_record, images_found, merge_records, record_path
from haca3_bids.bids.sidecars import harmonized_sidecar, native_sidecar, preproc_sidecar, template_sidecar
from haca3_bids.errors import Haca3Error

RAW = "raw"  # the input's name in DatasetLinks
RES = "1"


@dataclass(frozen=True)
class Context:
    """What is known of a session before it is processed."""

    session: Session
    bids_dir: Path
    output_dir: Path
    space: str
    version: str
    fingerprint: str
    command: str
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Products:
    """What processing left in the scratch folder; transforms by contrast, native images by index of the result's."""

    preproc: Mapping[str, Path]
    to_reference: Mapping[str, Path]
    to_template: Path
    from_template: Path
    preprocessing: Mapping[str, Any]  # the record of preprocessing
    result: Mapping[str, Any]  # the engine's result.json, files absolute
    native: Sequence[Path] = ()
    figures: Sequence[Mapping[str, Any]] = ()  # kind, contrast, target, title, file (absolute)
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    quality: Mapping[str, Any] = field(default_factory=dict)


def write_session(context: Context, products: Products) -> Path:
    """Write all files of a session and return the path of its record; nothing appears before all are complete."""
    partial = context.output_dir / f".partial-{context.session.name}"
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial / context.session.folder)
    try:
        record = _stage(context, products, partial)
        _publish(context, record, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return record_path(context.output_dir, context.session)


def _stage(context: Context, products: Products, partial: Path) -> dict[str, Any]:
    _stage_preproc(context, products, partial)
    _stage_transforms(context, products, partial)
    images = [_stage_harmonized(context, products, partial, index) for index in range(len(products.result["images"]))]
    figures = [_stage_figure(context, figure, partial) for figure in products.figures]
    result = {key: value for key, value in products.result.items() if key != "images"}
    outputs = {str(path.relative_to(partial)): path.stat().st_size for path in _files(partial)}
    targets = [image["target"] for image in images]
    session = context.session
    record = {"subject": session.subject, "session": session.session, "version": context.version}
    record |= {"command": context.command, "status": "done", "error": None, **images_found(session, context.bids_dir)}
    return record | {
        "preprocessing": dict(products.preprocessing) | {"reference": session.reference},
        "harmonization": {"images": images, **result},
        "quality": dict(products.quality),
        "figures": figures,
        "seconds": dict(products.seconds),
        "memory_mb": dict(products.memory_mb),
        "notes": [*session.warnings, *products.notes],
        "methods": list(context.methods),
        "completion": completion(session, context.fingerprint, targets, outputs),
    }


def _stage_preproc(context: Context, products: Products, partial: Path) -> None:
    for contrast, path in products.preproc.items():
        target = partial / _relative(context, contrast, space=context.space, res=RES, desc="preproc")
        _copy(path, target)
        source = context.session.images[contrast].path
        raw = read_metadata(source, context.bids_dir).values
        content = template_sidecar(context.space, [_raw_uri(context, source)])
        write_json(_sidecar(target), content | preproc_sidecar(contrast, products.preprocessing, raw))


def _stage_transforms(context: Context, products: Products, partial: Path) -> None:
    session, space = context.session, context.space
    folder, reference = partial / session.folder, session.reference
    _copy(products.to_template, folder / transform_name(session.subject, session.session, reference, space))
    _copy(products.from_template, folder / transform_name(session.subject, session.session, space, reference))
    for contrast, path in products.to_reference.items():
        if contrast != reference:
            _copy(path, folder / transform_name(session.subject, session.session, contrast, reference))


def _stage_harmonized(context: Context, products: Products, partial: Path, index: int) -> dict[str, Any]:
    """Place one harmonized image and what belongs to it; the engine's entry with files relative to the dataset."""
    image = dict(products.result["images"][index])
    target = image["target"]
    desc, suffix = target_desc(str(target["name"])), str(target["contrast"])
    sources = [_own_uri(context, contrast) for contrast in products.preproc]
    common = template_sidecar(context.space, sources)
    added = harmonized_sidecar(image, products.result, context.version)
    image["file"] = _place(context, partial, image["file"], common | added, suffix, desc=desc)
    if image.get("std"):
        words = {"Description": f"Standard deviation of the samples of desc-{desc}"}
        image["std"] = _place(context, partial, image["std"], common | added | words, suffix, desc=f"{desc}Std")
    place = f"To{suffix}{target['name']}"
    if image.get("beta"):
        words = {"Description": f"Anatomy (beta), the likeliest level, as used for desc-{desc} {suffix}"}
        image["beta"] = _place(context, partial, image["beta"], common | words, "dseg", desc=f"beta{place}")
    maps = image.get("attention_maps") or {}
    image["attention_maps"] = {
        contrast: _place(
            context,
            partial,
            path,
            common | {"Description": f"Attention to the {contrast} for desc-{desc} {suffix}"},
            "probseg",
            desc=f"attention{contrast}{place}",
        )
        for contrast, path in maps.items()
    }
    if index < len(products.native):
        _stage_native(context, products.native[index], sources, added, partial, desc, suffix)
    return image


def _stage_native(
    context: Context,
    path: Path,
    sources: Sequence[str],
    added: Mapping[str, Any],
    partial: Path,
    desc: str,
    suffix: str,
) -> None:
    reference = context.session.images[context.session.reference]
    target = partial / _relative(context, suffix, space=context.session.reference, desc=desc)
    _copy(path, target)
    write_json(_sidecar(target), native_sidecar(_raw_uri(context, reference.path), sources) | dict(added))


def _stage_figure(context: Context, figure: Mapping[str, Any], partial: Path) -> dict[str, Any]:
    source = Path(figure["file"])
    relative = f"sub-{context.session.subject}/figures/{context.session.name}_{source.name}"
    _copy(source, partial / relative)
    return dict(figure) | {"file": relative}


def _place(context: Context, partial: Path, path: str, content: Mapping[str, Any], suffix: str, *, desc: str) -> str:
    relative = _relative(context, suffix, space=context.space, res=RES, desc=desc)
    _copy(Path(path), partial / relative)
    write_json(_sidecar(partial / relative), content)
    return relative


def _publish(context: Context, record: dict[str, Any], partial: Path) -> None:
    """Move the files to their places, the record last: a session without record is not finished."""
    final = record_path(context.output_dir, context.session)
    record = merge_records(record, read_json(final), context.output_dir)
    for path in sorted(_files(partial), key=lambda one: "anat" in one.parts):
        if "figures" in path.relative_to(partial).parts:
            _move(path, context.output_dir / path.relative_to(partial))
    folder, staged = final.parent, partial / context.session.folder
    if not folder.exists():
        write_json(staged / record_name(context.session.subject, context.session.session), record)
        make_folder(folder.parent)
        staged.rename(folder)
        return
    if final.exists():
        write_json(final, _being_replaced(context))
    for path in _files(staged):
        _move(path, folder / path.relative_to(staged))
    write_json(final, record)


def _being_replaced(context: Context) -> dict[str, Any]:
    """What the record says until all files are in their places: other processes read it, so it is never missing."""
    error = Haca3Error("The run stopped while the files of this session were replaced.", "Run the same command again.")
    return failed_record(
        context.bids_dir,
        context.session,
        error=error,
        step="writing the outputs",
        version=context.version,
        command=context.command,
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _move(source: Path, target: Path) -> None:
    make_folder(target.parent)
    os.replace(source, target)


def _copy(source: Path, target: Path) -> None:
    make_folder(target.parent)
    shutil.copyfile(source, target)


def _relative(context: Context, suffix: str, *, space: str, desc: str, res: str | None = None) -> str:
    session = context.session
    name = file_name(session.subject, session.session, suffix, ".nii.gz", space=space, res=res, desc=desc)
    return f"{session.folder}/{name}"


def _sidecar(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def _raw_uri(context: Context, path: Path) -> str:
    return bids_uri(RAW, str(path.relative_to(context.bids_dir)))


def _own_uri(context: Context, contrast: str) -> str:
    return bids_uri("", _relative(context, contrast, space=context.space, res=RES, desc="preproc"))
