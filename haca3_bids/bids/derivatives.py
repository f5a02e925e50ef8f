"""The files of one session: written to a temporary folder, then moved into the dataset together."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from haca3_bids.bids.atomic import make_folder, write_json
from haca3_bids.bids.leftovers import partial_folder
from haca3_bids.bids.names import file_name, transform_name
from haca3_bids.bids.record import Context, completion, failed, found, read_session, record_path
from haca3_bids.bids.replaced import BEING_REPLACED, being_replaced, merged, remove_outdated
from haca3_bids.bids.sidecars import harmonized_sidecar, native_sidecar, preproc_sidecar, template_sidecar
from haca3_bids.records.engine import EngineResult, HarmonizedImage
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.session import DONE, Figure, Quality, SessionRecord
from haca3_bids.settings import CONTRASTS
from haca3_bids.volumes.volume import load_volume, save_volume

RAW = "raw"  # name of the input in DatasetLinks
RES = "1"


@dataclass(frozen=True)
class Products:
    """The products of processing in the scratch folder; ``native`` has the order of the images of ``result``."""

    preproc: Mapping[str, Path]
    to_reference: Mapping[str, Path]
    to_template: Path
    from_template: Path
    preprocessing: Preprocessing
    result: EngineResult  # with absolute paths, as in ``figures``
    quality: Quality
    native: Sequence[Path] = ()
    figures: Sequence[Figure] = ()


def write_session(context: Context, products: Products) -> Path:
    """Write all files of a session, once all are complete, and return the path of its record."""
    partial = partial_folder(context.output_dir, context.session)
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial / context.session.folder)
    try:
        record = _stage(context, products, partial)
        _publish(context, record, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return record_path(context.output_dir, context.session)


def _stage(context: Context, products: Products, partial: Path) -> SessionRecord:
    _stage_preproc(context, products, partial)
    _stage_transforms(context, products, partial)
    images = tuple(_stage_harmonized(context, products, partial, image) for image in products.result.images)
    _stage_native(context, products, partial)
    figures = tuple(_stage_figure(context, figure, partial) for figure in products.figures)
    outputs = {str(path.relative_to(partial)): path.stat().st_size for path in _files(partial)}
    preprocessing, result = products.preprocessing, products.result
    seconds, memory = preprocessing.costs_of_steps()
    peak = {} if result.peak_memory_bytes is None else {"harmonization": round(result.peak_memory_bytes / 1e6)}
    return replace(
        found(context),
        status=DONE,
        preprocessing=preprocessing,
        harmonization=replace(result, images=images),
        quality=products.quality,
        figures=figures,
        seconds=seconds | {"harmonization": result.seconds},
        memory_mb=memory | peak,
        completion=completion(context, [image.target for image in images], outputs),
    )


def _stage_preproc(context: Context, products: Products, partial: Path) -> None:
    for contrast, path in products.preproc.items():
        target = partial / _relative(context, contrast, space=context.space, res=RES, desc="preproc")
        _store(context, path, target)
        source = context.session.images[contrast]
        stripped = products.preprocessing.contrasts[contrast].skull_stripped
        content = template_sidecar(context.space, [_raw_uri(context, source.path)], stripped)
        own = preproc_sidecar(contrast, products.preprocessing, source.metadata.values)
        write_json(_sidecar(target), content | own)


def _stage_transforms(context: Context, products: Products, partial: Path) -> None:
    session, space = context.session, context.space
    folder, reference = partial / session.folder, session.reference
    _copy(products.to_template, folder / transform_name(session.subject, session.session, reference, space))
    _copy(products.from_template, folder / transform_name(session.subject, session.session, space, reference))
    for contrast, path in products.to_reference.items():
        if contrast != reference:
            _copy(path, folder / transform_name(session.subject, session.session, contrast, reference))


def _stage_harmonized(context: Context, products: Products, partial: Path, image: HarmonizedImage) -> HarmonizedImage:
    """Stage a harmonized image and its extra files; return its record with paths relative to the dataset."""
    target, desc, suffix = image.target, image.target.desc, image.target.contrast
    sources = [_own_uri(context, contrast) for contrast in products.preproc]
    common = template_sidecar(context.space, sources, products.preprocessing.all_stripped)
    own = common | harmonized_sidecar(image, products.result)
    spread = own | {"Description": f"Standard deviation of the samples of desc-{desc}"}
    beta = common | {"Description": f"Anatomy (beta), the most likely class, as used for desc-{desc} {suffix}"}
    place = f"To{suffix}{target.name}"
    return replace(
        image,
        file=_place(context, partial, image.file, own, suffix, desc=desc),
        std=image.std and _place(context, partial, image.std, spread, suffix, desc=f"{desc}Std"),
        beta=image.beta and _place(context, partial, image.beta, beta, "dseg", desc=f"beta{place}"),
        attention_maps={
            contrast: _place(
                context,
                partial,
                path,
                common | {"Description": f"Attention to the {contrast} for desc-{desc} {suffix}"},
                "probseg",
                desc=f"attention{contrast}{place}",
            )
            for contrast, path in image.attention_maps.items()
        },
    )


def _stage_native(context: Context, products: Products, partial: Path) -> None:
    """Stage the harmonized images on the grid of the reference, if requested."""
    session = context.session
    common = native_sidecar(
        _raw_uri(context, session.images[session.reference].path),
        [_own_uri(context, contrast) for contrast in products.preproc],
        products.preprocessing.all_stripped,
    )
    for path, image in zip(products.native, products.result.images, strict=False):
        target = partial / _relative(context, image.target.contrast, space=session.reference, desc=image.target.desc)
        _store(context, path, target, in_template=False)
        write_json(_sidecar(target), common | harmonized_sidecar(image, products.result))


def _stage_figure(context: Context, figure: Figure, partial: Path) -> Figure:
    source = Path(figure.file)
    relative = f"sub-{context.session.subject}/figures/{context.session.name}_{source.name}"
    _copy(source, partial / relative)
    return replace(figure, file=relative)


def _place(context: Context, partial: Path, path: str, content: Mapping[str, object], suffix: str, *, desc: str) -> str:
    relative = _relative(context, suffix, space=context.space, res=RES, desc=desc)
    if suffix in CONTRASTS:
        _store(context, Path(path), partial / relative)
    else:
        _copy(Path(path), partial / relative)
    write_json(_sidecar(partial / relative), content)
    return relative


def _publish(context: Context, record: SessionRecord, partial: Path) -> None:
    """Move the files to the dataset, the record last, since a session without a record is not finished."""
    final = record_path(context.output_dir, context.session)
    old = read_session(final)
    record = merged(record, old, context.output_dir)
    for path in _files(partial):
        if "figures" in path.relative_to(partial).parts:
            _move(path, context.output_dir / path.relative_to(partial))
    folder, staged = final.parent, partial / context.session.folder
    if not folder.exists():
        write_json(staged / final.name, record)
        make_folder(folder.parent)
        staged.rename(folder)
        return
    if final.exists():
        write_json(final, being_replaced(failed(context, BEING_REPLACED), record, old))
        remove_outdated(record, old, context.output_dir)
    for path in _files(staged):
        _move(path, folder / path.relative_to(staged))
    write_json(final, record)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _move(source: Path, target: Path) -> None:
    make_folder(target.parent)
    os.replace(source, target)


def _copy(source: Path, target: Path) -> None:
    make_folder(target.parent)
    shutil.copyfile(source, target)


def _store(context: Context, source: Path, target: Path, *, in_template: bool = True) -> None:
    """Copy an image; convert it to the number format of ``--output-dtype`` if this is not that of the scratch files."""
    if context.outputs.dtype == "float32":
        _copy(source, target)
        return
    make_folder(target.parent)
    save_volume(load_volume(source), target, in_template=in_template, dtype=np.int16)


def _relative(context: Context, suffix: str, *, space: str, desc: str, res: str | None = None) -> str:
    session = context.session
    name = file_name(session.subject, session.session, suffix, ".nii.gz", space=space, res=res, desc=desc)
    return f"{session.folder}/{name}"


def _sidecar(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")


def _raw_uri(context: Context, path: Path) -> str:
    return f"bids:{RAW}:{path.relative_to(context.bids_dir)}"


def _own_uri(context: Context, contrast: str) -> str:
    """The URI of a preprocessed image of this dataset, whose name is empty in it."""
    return f"bids::{_relative(context, contrast, space=context.space, res=RES, desc='preproc')}"
