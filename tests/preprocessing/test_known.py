"""Masks that are given: only those of the scan itself are used."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from nipype.interfaces.base import Undefined

from haca3_bids.errors import BadInput
from haca3_bids.interfaces import longitudinal, preprocess
from haca3_bids.preprocessing.known import check_brain, check_mask
from haca3_bids.preprocessing.resampling import isotropic_grid
from haca3_bids.preprocessing.transforms import similarity_matrix
from haca3_bids.volumes.volume import Volume, save_volume

BESIDE = similarity_matrix((0, 0, 0), (400.0, 400.0, 400.0))
ABOVE = similarity_matrix((0, 0, 0), (0.0, 0.0, 60.0))


@pytest.fixture
def brain(phantom) -> Volume:
    return phantom.image("T1w").with_data(phantom.mask(3, 4, 5))


def test_masks_of_the_scan_fit_on_any_grid(phantom, brain) -> None:
    scan, head = phantom.scan("T1w"), brain.with_data(phantom.labels > 0)
    for kind, mask in (("brain", brain), ("head", head)):
        check_mask(mask, kind, scan, phantom.template(), "mask.nii.gz")
        half = Volume(mask.data[:, :, 20:], mask.affine @ similarity_matrix((0, 0, 0), (0, 0, 20)))
        check_mask(half, kind, scan, phantom.template(), "mask.nii.gz")


def test_the_brain_of_a_skull_stripped_scan_or_of_a_slab_fits(phantom, brain) -> None:
    stripped = phantom.scan("T1w", noise=0.0)
    stripped = stripped.with_data(stripped.data * brain.data)
    part = slice(30, 45)
    place = brain.affine @ similarity_matrix((0, 0, 0), (0, 0, part.start))
    slab, in_slab = (Volume(whole.data[:, :, part], place) for whole in (phantom.scan("T2w"), brain))
    for scan, mask in ((stripped, brain), (slab, in_slab)):
        check_mask(mask, "brain", scan, phantom.template(), "mask.nii.gz")


@pytest.mark.parametrize("kind", ["brain", "head"])
@pytest.mark.parametrize(
    "change",
    [
        lambda mask: mask.with_data(0 * mask.data),
        lambda mask: mask.with_data(1 - mask.data),
        lambda mask: Volume(mask.data, BESIDE @ mask.affine),
        lambda mask: Volume(mask.data, mask.affine @ np.diag([0.4, 0.4, 0.4, 1])),
    ],
    ids=["empty", "inverted", "in another place", "in other units"],
)
def test_a_mask_that_does_not_fit_is_refused_by_its_name(phantom, brain, kind, change) -> None:
    mask = brain if kind == "brain" else brain.with_data(phantom.labels > 0)
    with pytest.raises(BadInput, match=rf"The {kind} mask x\.nii\.gz does not fit .*(ml|lie in the head)") as caught:
        check_mask(change(mask), kind, phantom.scan("T1w"), phantom.template(), "x.nii.gz")
    assert "--derivatives" in caught.value.hint


def test_a_brain_that_reaches_far_above_the_head_is_refused(phantom, brain) -> None:
    with pytest.raises(BadInput, match="% of it lie in the head"):
        check_mask(Volume(brain.data, ABOVE @ brain.affine), "brain", phantom.scan("T1w"), phantom.template(), "x")


@pytest.mark.parametrize(
    ("module", "more"), [(preprocess, {}), (longitudinal, {"visit": "a"})], ids=["alone", "in a frame"]
)
def test_the_step_that_registers_refuses_it(phantom, brain, tmp_path, monkeypatch, module, more) -> None:
    monkeypatch.setattr(module, "load_template", lambda _: phantom.template())
    save_volume(phantom.scan("T1w"), tmp_path / "scan.nii.gz")
    save_volume(Volume(brain.data, BESIDE @ brain.affine), tmp_path / "brain.nii.gz")
    if more:
        place = np.eye(4).tolist()
        (tmp_path / "frame.json").write_text(f'{{"a": {{"rigid": {place}, "affine": {place}}}}}')
        more = more | {"frame": str(tmp_path / "frame.json")}
    step = longitudinal.PlaceInFrame if more else preprocess.Register
    node = step(reference=str(tmp_path / "scan.nii.gz"), brain_mask=str(tmp_path / "brain.nii.gz"), **more)
    with pytest.raises(BadInput, match=r"brain\.nii\.gz does not fit"):
        node.run()


def test_a_brain_that_is_elsewhere_than_that_of_the_template_is_refused(phantom, brain) -> None:
    scan, template = phantom.scan("T1w"), phantom.template()
    check_brain(brain, np.eye(4), scan, template, "x.nii.gz")
    moved = Volume(brain.data, similarity_matrix((0, 0, 0), (0.0, 0.0, -30.0)) @ brain.affine)
    with pytest.raises(BadInput, match=r"x\.nii\.gz is not where the registration finds the brain"):
        check_brain(moved, np.eye(4), scan, template, "x.nii.gz")


def test_a_mask_of_0_and_255_is_that_of_0_and_1(phantom, brain, tmp_path) -> None:
    """On another grid, it was wider by up to a voxel."""
    masks = []
    for level in (1, 255):
        save_volume(brain.with_data(brain.data * level), tmp_path / f"brain{level}.nii.gz", dtype=np.uint8)
        inputs = SimpleNamespace(brain_mask=str(tmp_path / f"brain{level}.nii.gz"), head_mask=Undefined)
        known = preprocess.known_masks(inputs, phantom.scan("T1w"), phantom.template())
        masks.append(known.on(isotropic_grid(brain, 1.7))[1])
    np.testing.assert_array_equal(*masks)
