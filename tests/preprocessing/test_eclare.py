"""ECLARE itself is never part of the tests: a program of its name, which does as it is told, stands in."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from haca3_bids.errors import BadInput, TemporaryFailure, Unavailable
from haca3_bids.preprocessing.eclare import PROGRAM, find_eclare, run_eclare
from haca3_bids.volumes.volume import Volume, load_volume

SCRIPT = """#!{python}
import os, sys
from pathlib import Path
import nibabel as nib, numpy as np

scan, out = Path(sys.argv[2]), Path(sys.argv[4])
(out / "words").write_text(" ".join(sys.argv[1:]))
(out / "threads").write_text(os.environ["OMP_NUM_THREADS"])
{action}
"""
MAKE = """
# As the program does (1.0.1): thin slices about the scan's centre, a header that keeps the edge of the first slice.
image = nib.load(scan)
thick = image.header.get_zooms()[{axis}]
ratio, n = 1 / thick, image.shape[{axis}]
count = round(n * thick)
at = (np.arange(count) - (count - 1) / 2) * ratio + (n - 1) / 2
low = np.clip(np.floor(at).astype(int), 0, n - 2)
weight = np.expand_dims(at - low, [i for i in range(3) if i != {axis}])
data = image.get_fdata()
thin = data.take(low, {axis}) * (1 - weight) + data.take(low + 1, {axis}) * weight
to_thick = np.eye(4)
to_thick[{axis}, {axis}], to_thick[{axis}, 3] = ratio, ratio / 2 - 0.5
nib.save(nib.Nifti1Image(thin.astype(np.float32), image.affine @ to_thick), out / "scan_thin.nii.gz")
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    def write(action: str) -> None:
        script = tmp_path / "bin" / PROGRAM
        script.parent.mkdir()
        script.write_text(SCRIPT.format(python=sys.executable, action=action))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")

    return write


def ramp(axis: int, thick_mm: float = 3.3, slices: int = 9) -> Volume:
    """A tilted scan whose intensity is the place along the slices' normal, in millimetres."""
    shape, zooms = [8, 8, 8], [1.0, 1.0, 1.0]
    shape[axis], zooms[axis] = slices, thick_mm
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]]) @ np.array([[1, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * zooms, (-20, 13, 5)
    grid = np.indices(shape).reshape(3, -1)
    along = (affine[:3, :3] @ grid + affine[:3, 3:]).T @ turn[:, axis]
    return Volume(along.reshape(shape).astype(np.float32), affine)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thin_slices_lie_where_the_scan_lies(program, tmp_path, axis) -> None:
    program(MAKE.format(axis=axis))
    scan = ramp(axis)  # 9 slices of 3.3 mm: 30 thin ones do not fill the field of view
    thin = run_eclare(scan, axis, tmp_path / "out")
    assert thin.shape[axis] == 30
    assert thin.zooms_mm == pytest.approx([1, 1, 1], abs=1e-4)
    inner = np.moveaxis(np.indices(thin.shape), 0, -1)
    inner = inner[tuple(slice(2, -2) if i == axis else slice(None) for i in range(3))].reshape(-1, 3)
    normal = scan.affine[:3, axis] / np.linalg.norm(scan.affine[:3, axis])
    place = (inner @ thin.affine[:3, :3].T + thin.affine[:3, 3]) @ normal
    assert thin.data[tuple(inner.T)] == pytest.approx(place, abs=0.01)
    as_written = load_volume(tmp_path / "out" / "scan_thin.nii.gz").affine
    assert np.linalg.norm(as_written[:3, 3] - thin.affine[:3, 3]) == pytest.approx(0.15, abs=0.01)  # what was mended


def test_the_program_gets_the_scan_the_device_and_the_threads(program, tmp_path) -> None:
    program(MAKE.format(axis=2))
    out = tmp_path / "out"
    run_eclare(ramp(2), 2, out, "cuda:1", threads=3)
    assert (out / "words").read_text() == f"--in-fpath {out}/scan.nii.gz --out-dir {out} --suffix _thin --gpu-id 1"
    assert (out / "threads").read_text() == "3"
    assert np.array_equal(load_volume(out / "scan.nii.gz").data, ramp(2).data)
    run_eclare(ramp(2), 2, out)
    assert (out / "words").read_text().endswith(" -1")  # the CPU


def test_what_the_program_says_can_be_read_while_it_runs(program, tmp_path) -> None:
    program('print("half done", flush=True); (out / "seen").write_bytes((out / "eclare.log").read_bytes())')
    with pytest.raises(BadInput, match="code 0 and no image: half done"):
        run_eclare(ramp(2), 2, tmp_path / "out")
    assert (tmp_path / "out" / "seen").read_text() == "half done\n"


def test_what_the_program_says_when_it_fails_is_passed_on(program, tmp_path) -> None:
    program('print("no slices here", file=sys.stderr); sys.exit(3)')
    with pytest.raises(BadInput, match="code 3 and no image: no slices here"):
        run_eclare(ramp(2), 2, tmp_path / "out")


def test_a_program_that_was_killed_may_be_tried_again(program, tmp_path) -> None:
    program("os.kill(os.getpid(), 9)")
    with pytest.raises(TemporaryFailure, match="killed .signal 9"):
        run_eclare(ramp(2), 2, tmp_path / "out")


def test_an_image_of_an_earlier_run_is_not_taken_for_a_new_one(program, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan_thin.nii.gz").write_bytes(b"old")
    program("pass")
    with pytest.raises(BadInput, match="no image: no message"):
        run_eclare(ramp(2), 2, tmp_path / "out")


@pytest.mark.parametrize("cut", ["thin[:-1]", "thin[..., :-3]"])
def test_an_image_that_is_not_of_the_scan_is_refused(program, tmp_path, cut) -> None:
    program(MAKE.format(axis=2).replace("thin.astype", f"{cut}.astype"))
    with pytest.raises(BadInput, match="which is another region"):
        run_eclare(ramp(2), 2, tmp_path / "out")


def test_a_program_that_is_not_installed_is_named(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="run-eclare, which is not on the PATH"):
        find_eclare()
