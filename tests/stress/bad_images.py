"""What is no scan of a head, by kind: what is written in the place of a T1w, and a part of what is said of it."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

Make = Callable[[Path], Any]
HUGE = (2000, 2000, 2000)  # 0.15 mm: a head by its size, and 32 GB
AFFINE = np.array([[8.0, 0, 0, -92], [0, 8, 0, -124], [0, 0, 8, -78], [0, 0, 0, 1]])
SHAPE = (24, 28, 24)


def head(dtype: str = "<f4", kind: type[Any] = nib.Nifti1Image, **fields: Any) -> bytes:
    """A NIfTI file of a bright ball; ``fields`` of its header are set afterwards, whatever sense they make."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    data = 100 * ((grid**2).sum(axis=0) < 0.7) + np.abs(np.random.default_rng(0).normal(size=SHAPE))
    image = kind(data.astype(dtype), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    content = bytearray(image.to_bytes())
    header = np.frombuffer(content, image.header.template_dtype, count=1)
    for name, value in fields.items():
        header[name][0] = value
    return bytes(content)


def voxels(change: Callable[[Any], Any]) -> Make:
    """A head with other voxels."""
    content = bytearray(head())
    data = np.frombuffer(content, "<f4", offset=352).reshape(SHAPE, order="F")
    data[...] = change(data.copy())
    return packed(bytes(content))


def packed(content: bytes, change: Callable[[bytes], bytes] = bytes) -> Make:
    return lambda path: path.write_bytes(change(gzip.compress(content)))


def plain(content: bytes) -> Make:
    """An uncompressed file."""
    return lambda path: path.with_suffix("").write_bytes(content)


def dims(*shape: int, mm: float = 8.0) -> dict[str, Any]:
    return {
        "dim": [len(shape), *shape, *[1] * (7 - len(shape))],
        "pixdim": [1, mm, mm, mm, 0, 0, 0, 0],
        "sform_code": 0,
    }


def link(to: str) -> Make:
    return lambda path: path.symlink_to(to)


def loop(path: Path) -> None:
    path.symlink_to("other.nii.gz")
    path.with_name("other.nii.gz").symlink_to(path.name)


def annexed(path: Path) -> None:
    path.symlink_to("../../.git/annex/objects/zq/W1/MD5E-s9--d4/MD5E-s9--d4.nii.gz")


def pair(path: Path) -> None:
    """The header of a pair of files, without the other."""
    packed(head(magic=b"ni1", vox_offset=0)[:348])(path)


def spread(path: Path) -> None:
    """A file of a terabyte that takes no place on the disk, and is cut off there."""
    path = path.with_suffix("")
    path.write_bytes(head(**dims(*HUGE, mm=0.15)))
    os.truncate(path, 2**30)


LAST = struct.pack("<II", 0, 9)  # checksum and size of other data, in place of a gzip file's own
SMALL = {"pixdim": [1, 1e-3, 1e-3, 1e-3, 0, 0, 0, 0], "sform_code": 0}
KINDS: dict[str, dict[str, tuple[Make, str]]] = {
    "truncated gzip": {
        "nothing": (lambda path: path.write_bytes(b""), "empty"),
        "magic number only": (packed(head(), lambda content: content[:2]), "cannot be read"),
        "within its header": (packed(head(), lambda content: content[:60]), "cannot be read"),
        "within its voxels": (packed(head(), lambda content: content[: len(content) // 2]), "cannot be read"),
        "last byte": (packed(head(), lambda content: content[:-9]), "cannot be read"),
    },
    "damaged gzip": {
        "other checksum": (packed(head(), lambda content: content[:-8] + LAST), "cannot be read"),
        "zeros within": (packed(head(), lambda content: content[:900] + bytes(400) + content[1300:]), "cannot be read"),
        "packed twice": (packed(gzip.compress(head())), "cannot be read"),
        "of nothing": (packed(b""), "cannot be read"),
        "a bomb": (
            lambda path: path.write_bytes(gzip.compress(head(**dims(*HUGE, mm=0.15))[:352] + bytes(2**26), 1)),
            "at most",
        ),
    },
    "wrong extension": {
        "not packed": (lambda path: path.write_bytes(head()), "its name ends in .gz, but it is not compressed"),
        "packed all the same": (plain(gzip.compress(head())), "it is compressed (gzip), but its name does not end"),
        "a picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500)), "it is not a NIfTI file"),
        "text": (lambda path: path.write_text("a scan\n"), "it is not a NIfTI file"),
        "DICOM": (lambda path: path.write_bytes(bytes(128) + b"DICM" + bytes(500)), "it is a DICOM file"),
        "MGH": (packed(nib.MGHImage(np.ones((9, 9, 9), "f4"), AFFINE).to_bytes()), "it is not a NIfTI file"),
        "one of a pair": (pair, "cannot be read"),
    },
    "huge dimensions": {
        "packed": (packed(head(**dims(*HUGE, mm=0.15))), "at most"),
        "not packed": (plain(head(**dims(*HUGE, mm=0.15))), "at most"),
        "the largest": (packed(head(**dims(32767, 32767, 32767, mm=0.01))), "at most"),
        "NIfTI-2": (packed(head(kind=nib.Nifti2Image, **dims(2**40, 2, 2))), "at most"),
        "NIfTI-2 overflows": (packed(head(kind=nib.Nifti2Image, **dims(2**62, 2**62, 2**62))), "at most"),
        "more than the file": (plain(head(**dims(240, 280, 240, mm=0.8))), "too few for its shape"),
        "more than it unpacks to": (packed(head(**dims(900, 900, 900, mm=0.3))), "too few for its shape"),
        "on a disk of holes": (spread, "at most"),
    },
    "dimensions that are none": {
        "zero": (packed(head(**dims(24, 0, 24))), "has shape"),
        "negative": (packed(head(**dims(24, -28, 24))), "has shape"),
        "one slice": (packed(head(**dims(24, 28, 1))), "has shape"),
        "two axes": (packed(head(**dims(24, 672))), "has shape"),
        "no axis": (packed(head(dim=[0] * 8)), "has shape"),
        "eight axes": (packed(head(dim=[8, 24, 28, 24, 1, 1, 1, 1])), "cannot be read"),
        "four axes": (packed(head(**dims(24, 28, 12, 2))), "is 4D"),
        "seven axes": (packed(head(**dims(6, 7, 6, 2, 2, 2, 8))), "is 7D"),
    },
    "voxel sizes": {
        "zero": (packed(head(pixdim=[1, 8, 0, 8, 0, 0, 0, 0])), "three finite lengths"),
        "NaN": (packed(head(pixdim=[1, 8, np.nan, 8, 0, 0, 0, 0])), "three finite lengths"),
        "infinite": (packed(head(pixdim=[1, np.inf, 8, 8, 0, 0, 0, 0])), "three finite lengths"),
        "micrometres": (packed(head(**SMALL)), "field of view"),
        "metres": (packed(head(pixdim=[1, 800, 800, 800, 0, 0, 0, 0], sform_code=0)), "field of view"),
    },
    "position": {
        "nowhere": (packed(head(sform_code=0, qform_code=0)), "left and right"),
        "a plane": (packed(head(srow_x=[0] * 4)), "zero determinant"),
        "NaN": (packed(head(srow_y=[np.nan] * 4)), "not finite"),
        "at infinity": (packed(head(qoffset_x=np.inf, sform_code=0)), "not finite"),
        "beyond the moon": (packed(head(srow_z=[0, 0, 8, 3e38])), "not finite"),
        "another size": (packed(head(srow_z=[0, 0, 9, -78])), "contradictory"),
    },
    "types": {
        "unknown": (packed(head(datatype=999)), "its header is invalid (data code 999 not recognized)"),
        "binary": (packed(head(datatype=1, bitpix=1)), "cannot be read"),
        "complex": (packed(head("<c8")), "complex"),
        "colour": (packed(head(datatype=128, bitpix=24)), "colour"),
        "longer than the file": (packed(head(datatype=64, bitpix=64)), "cannot be read"),
        "offset behind the end": (packed(head(vox_offset=1e9)), "cannot be read"),
        "offset of NaN": (packed(head(vox_offset=np.nan)), "cannot be read"),
        "no magic number": (packed(head(magic=b"xx")), "cannot be read"),
    },
    "intensities": {
        "NaN": (voxels(lambda data: np.full_like(data, np.nan)), "not finite"),
        "infinite": (voxels(lambda data: np.full_like(data, np.inf)), "not finite"),
        "half of both": (voxels(lambda data: np.where(data > 50, np.inf, -np.inf)), "not finite"),
        "zero": (voxels(lambda data: 0 * data), "constant"),
        "one value": (voxels(lambda data: 0 * data + 7), "constant"),
        "too large by their slope": (packed(head(scl_slope=3e38, scl_inter=0)), "too large"),
        "standardized": (voxels(lambda data: (data - data.mean()) / data.std()), "standardized"),
        "a mask": (voxels(lambda data: 255 * (data > 50)), "a mask or a segmentation"),
        "a segmentation": (voxels(lambda data: np.digitize(data, [20, 50, 90])), "a mask or a segmentation"),
    },
    "links": {
        "to itself": (lambda path: path.symlink_to(path.name), "does not exist"),
        "in a circle": (loop, "does not exist"),
        "to nowhere": (link("/nowhere/x.nii.gz"), "does not exist"),
        "to a folder": (link(".."), "is a folder"),
        "without end": (link("/dev/zero"), "is a folder, a pipe or a device"),
    },
    "content elsewhere": {
        "git-annex": (annexed, "managed by git-annex"),
        "git-annex, unlocked": (lambda path: path.write_text("/annex/objects/MD5E-s9--d4.nii.gz\n"), "git-annex"),
        "git LFS": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "managed by git LFS"),
    },
    "no files": {
        "a folder": (lambda path: path.mkdir(), "is a folder"),
        "a pipe": (lambda path: os.mkfifo(path), "is a folder, a pipe or a device"),
    },
}
BAD = {(kind, name): made for kind, table in KINDS.items() for name, made in table.items()}


def make_bad(anat: Path, subject: str, kind: str, name: str) -> Path:
    """The file of a subject in its folder ``anat``."""
    anat.mkdir(parents=True, exist_ok=True)
    path = anat / f"{subject}_T1w.nii.gz"
    BAD[kind, name][0](path)
    return path if os.path.lexists(path) else path.with_suffix("")
