"""Feeds the readers of images and of weights with valid files that were damaged at random.

``python tests/stress/fuzz.py images --seconds 300``: what is read must be whole, and what is not must be refused with
the error of its kind. Everything else is printed, with the number that ``--only`` repeats, and makes the exit code 1.
A crash of the interpreter ends the program; the file that did it is the one that is named last in the folder.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import json
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from haca3_bids.checkpoints.formats import load_checkpoint, load_fusion, save_checkpoint, save_fusion
from haca3_bids.errors import BadInput, Haca3Error, Unavailable
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.networks.table import Prior
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.training.mixture_export import references
from haca3_bids.volumes.header import check_geometry
from haca3_bids.volumes.scan import check_intensities, load_scan

MEMORY_BYTES = 6 * 2**30  # of addresses: nothing that is read here is near
LONGEST_S = 20.0  # a file that takes longer hangs
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 1024, 32767, -1, -32768, 2**31 - 1, -(2**31), 2**62)
FLOATS = (0.0, -0.0, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), float("-inf"), -1.0, 0.2)
Case = Callable[[random.Random, Path], Path]


def image_files() -> list[tuple[str, bytes]]:
    """Valid heads by the extension of their file: NIfTI-1 and 2, both orders of bytes, several types."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (20, 24, 22)], indexing="ij"))
    head = 500 * ((grid**2).sum(axis=0) < 0.7) + np.abs(np.random.default_rng(0).normal(size=grid.shape[1:]))
    affine = np.diag([9.0, 9, 9, 1])
    found = []
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        for dtype in ("<f4", ">f4", "<i2", "u1"):
            header = kind.header_class(endianness=">" if dtype[0] == ">" else "<")
            image = kind(np.clip(head, 0, 255).astype(dtype), affine, header=header)
            image.set_sform(affine, 1)
            image.set_qform(affine, 1)
            image.header.set_xyzt_units("mm")
            content = image.to_bytes()
            found += [(".nii", content), (".nii.gz", gzip.compress(content, 1))]
    return found


def damaged_bytes(content: bytes, chance: random.Random, where: int) -> bytes:
    """Some bytes changed, cut off, left out, doubled or added; most of them among the first ``where``."""
    out = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        end = min(where, len(out)) if chance.random() < 0.8 else len(out)
        place = chance.randrange(max(end, 1))
        kind = chance.random()
        if kind < 0.5 and out:
            out[place % len(out)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        elif kind < 0.7 and out:
            size = chance.choice((1, 2, 4, 8))
            out[place : place + size] = (chance.choice(INTERESTING) % 256**size).to_bytes(size, chance.choice(ORDERS))
        elif kind < 0.8:
            del out[chance.randrange(len(out) + 1) :]
        elif kind < 0.9:
            del out[place : place + chance.randrange(64)]
        else:
            out[place:place] = chance.randbytes(chance.randrange(64))
    return bytes(out)


ORDERS = ("little", "big")


def damaged_header(content: bytes, chance: random.Random) -> bytes:
    """One to three fields of a NIfTI header with values that make sense or none."""
    kind = nib.Nifti1Header if content[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") else nib.Nifti2Header
    header = kind(content[: kind.sizeof_hdr], check=False)
    values = header._structarr
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(("dim", "pixdim", "srow_x", "srow_y", *values.dtype.names))
        field = values[name]
        flat = field.reshape(-1)
        with suppress(OverflowError, ValueError, TypeError), np.errstate(all="ignore"):
            new = chance.choice(FLOATS) if field.dtype.kind == "f" else chance.choice(INTERESTING)
            place = chance.randrange(flat.size)
            if name == "dim" and chance.random() < 0.5:  # as large as can be without being longer than a head
                flat[1:4] = new = chance.choice((1, 300, 2000, 30000))
                values["pixdim"][1:4] = chance.choice((1.0, 300 / new))
                values["sform_code"] = 0
            flat[place] = chance.randbytes(4) if field.dtype.kind == "S" else np.array(new).astype(field.dtype)
            values[name] = flat.reshape(field.shape)
    return values.tobytes() + content[kind.sizeof_hdr :]


def image_case(files: list[tuple[str, bytes]]) -> Case:
    def case(chance: random.Random, folder: Path) -> Path:
        extension, content = chance.choice(files)
        packed = extension.endswith("gz")
        if packed and chance.random() < 0.3:
            content = damaged_bytes(content, chance, 64)
        else:
            content = gzip.decompress(content) if packed else content
            fields = chance.random() < 0.6
            content = damaged_header(content, chance) if fields else damaged_bytes(content, chance, 600)
            content = gzip.compress(content, 1) if packed else content
        path = folder / f"sub-01_T1w{extension}"
        path.write_bytes(content)
        return path

    return case


def read_image(path: Path) -> None:
    """What the App does with a scan first; AssertionError where it takes what is no image for one."""
    geometry = check_geometry(path)
    scan = load_scan(path, forced=False)
    check_intensities(scan, path.name)
    image = scan.image
    assert image.data.ndim == 3
    assert image.shape == geometry.shape, f"{image.shape} is not {geometry.shape}"
    assert np.isfinite(image.data).all(), "voxels that are not finite"
    assert np.isfinite(image.affine).all(), "an affine that is not finite"
    assert abs(np.linalg.det(image.affine[:3, :3])) > 0, "voxels without volume"
    assert 50 <= max(geometry.extent_mm) <= 1000, f"a head of {geometry.extent_mm} mm"


def weight_files(folder: Path) -> list[tuple[str, bytes]]:
    """Small valid weights of every format."""
    torch.manual_seed(0)
    model = Mixture(MixtureConfig(TISSUES, widths=(4, 4, 4, 4), hidden=4, keys=4))
    prior = Prior(torch.zeros(len(TISSUES)), torch.eye(len(TISSUES)), 1.0)
    save_checkpoint(folder / "own.safetensors", model, references=references(), card={"a": "b"}, priors={"T1w": prior})
    save_fusion(folder / "fusion.safetensors", FusionNet(), card={})
    state = {"fusion_net": FusionNet().state_dict(), "epoch": 3}
    torch.save(state, folder / "fusion.pt")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"beta_encoder": {"a": torch.ones(3)}, "decoder": {}}, folder / "parts.pt")
    names = ("own.safetensors", "own.safetensors", "fusion.safetensors", "fusion.pt", "old.pt", "parts.pt")
    return [(name, (folder / name).read_bytes()) for name in names]


def damaged_json(content: bytes, chance: random.Random) -> bytes:
    """A safetensors file with other values somewhere in its header."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    own = header["__metadata__"]
    if chance.random() < 0.7:
        key = chance.choice([one for one in own if one != "format"])
        value = _other(json.loads(own[key]), chance)
        own[key] = json.dumps(value) if chance.random() < 0.95 else str(value)
    else:
        header = _other(header, chance)
    new = json.dumps(header).encode()
    return len(new).to_bytes(8, "little") + new + content[8 + size :]


def _other(value: object, chance: random.Random) -> object:
    """The value with one of its parts changed, left out or replaced."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        changed = {**value, key: _other(value[key], chance)}
        if chance.random() < 0.1:
            del changed[key]
        return changed | ({"other": 1} if chance.random() < 0.1 else {})
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return (
            value[:place] + chance.choice(([], [_other(value[place], chance)], [value[place]] * 3)) + value[place + 1 :]
        )
    strange = (None, True, "", "T9w", [], {}, [[]], [1] * 100, "x" * 1000, {"a": {}}, *INTERESTING, *FLOATS)
    return chance.choice(strange)


def weight_case(files: list[tuple[str, bytes]]) -> Case:
    def case(chance: random.Random, folder: Path) -> Path:
        name, content = chance.choice(files)
        if name.endswith(".safetensors") and chance.random() < 0.7:
            content = damaged_json(content, chance)
        else:
            content = damaged_bytes(content, chance, chance.choice((64, 4000, len(content))))
        path = folder / f"damaged-{name}"
        path.write_bytes(content)
        return path

    return case


def read_weights(path: Path) -> None:
    """Read as the option for such files does; AssertionError where the networks could not be used."""
    if "fusion" in path.name or "old" in path.name:
        network, kept = load_fusion(path), {}
    else:
        checkpoint = load_checkpoint(path)
        network, kept = checkpoint.model, checkpoint.references
        for reference in kept.values():
            assert len(reference.theta) == network.config.theta_dim, "a reference of other length"
            assert np.isfinite([*reference.theta, *reference.eta, reference.scale]).all(), "a reference of NaN"
        for prior in checkpoint.priors.values():
            assert np.isfinite(prior.distance(prior.theta)), "a prior that measures nothing"
    assert all(torch.isfinite(value).all() for value in network.state_dict().values()), "weights of NaN"


def try_one(
    number: int, seed: int, case: Case, read: Callable[[Path], None], wanted: type[Haca3Error], at: Path
) -> str:
    """What is wrong with how one file was taken; empty if nothing is."""
    path = case(random.Random(f"{seed} {number}"), at)
    began = time.monotonic()
    try:
        read(path)
    except wanted as error:
        if "MemoryError" in error.sentence or not error.sentence.endswith("."):
            return f"said: {error}"
    except BaseException:
        return traceback.format_exc()
    took = time.monotonic() - began
    return f"took {took:.0f} s" if took > LONGEST_S else ""


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["images", "weights"])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one file")
    asked = parser.parse_args(words)
    faulthandler.enable()
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.what == "images":
            case, read, wanted = image_case(image_files()), read_image, BadInput
        else:
            case, read, wanted = weight_case(weight_files(folder)), read_weights, Unavailable
        number, wrong = asked.only or 0, 0
        end = time.monotonic() + asked.seconds
        while time.monotonic() < end and wrong < 20:
            sys.stderr.write(f"{number}\r")
            found = try_one(number, asked.seed, case, read, wanted, folder)
            if found:
                wrong += 1
                sys.stdout.write(f"{asked.what} {number} of seed {asked.seed}: {found}\n")
            number += 1
            if asked.only is not None:
                break
    sys.stdout.write(f"{number} files, {wrong} taken wrongly.\n")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
