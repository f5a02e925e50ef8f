"""The authors' numbers, through this project's own geometry, scaling and target, in the authors' arithmetic."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from haca3_bids.harmonization.device import Batches
from haca3_bids.harmonization.engine import encode_target, harmonize
from haca3_bids.harmonization.method import Session
from haca3_bids.harmonization.prepare import Rim, fit_images, prepare
from haca3_bids.harmonization.slicewise import Slicewise
from haca3_bids.harmonization.stream import Draw, Stream
from haca3_bids.harmonization.target import Target
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.canvas import CANVAS, authors_window
from haca3_bids.volumes.slices import ORIENTATIONS, cut
from haca3_bids.volumes.volume import Volume, reorient

AUTHORS = HarmonizationSettings(device="cpu", fusion_weights="median", like_authors=True, background="none", threads=1)
CPU = torch.device("cpu")
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def authors(settings):
    return dataclasses.replace(settings, like_authors=True, background="none")


@pytest.fixture(scope="module")
def prepared(phantoms, golden):
    canvas = fit_images(phantoms, Rim({}), AUTHORS)
    return {name: prepare(name, volume, canvas, Rim({}), AUTHORS, 1e-6) for name, volume in phantoms.items()}


def thinned(slices, like):
    step = 224 // like.shape[-1]
    return slices[..., ::step, ::step]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_slices_are_those_of_the_authors(prepared, golden, orientation):
    for number, source in enumerate(prepared.values()):
        slices = cut(source.values, orientation)
        wanted = golden[f"slices_{orientation}"][number]
        np.testing.assert_allclose(thinned(slices[golden["slice_index"]], wanted), wanted, rtol=0, atol=1e-6)
        total = slices[100].sum(dtype=np.float64)
        assert total == pytest.approx(golden[f"slices_{orientation}_sum"][number], rel=1e-6)


@pytest.fixture(scope="module")
def target_image(golden_inputs, phantoms):
    return phantoms["T2w"].with_data(golden_inputs["phantom"]("T2w", seed=1))


def test_the_target_is_that_of_the_authors(target_image, checkpoint, golden, authors):
    target = encode_target(target_image, "T2w", checkpoint, authors)
    np.testing.assert_allclose(target.theta, golden["target_theta"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(target.eta, golden["target_eta"], rtol=0, atol=1e-4)
    assert target.scale == pytest.approx(float(golden["target_p95"]), rel=1e-6)


@pytest.mark.parametrize("axes", [("R", "A", "S"), ("I", "P", "L")])
def test_in_the_default_mode_the_same_target_comes_from_any_storage(target_image, checkpoint, golden, settings, axes):
    turned = reorient(target_image, axes)
    target = encode_target(turned, "T2w", checkpoint, dataclasses.replace(settings, background="none"))
    np.testing.assert_allclose(target.theta, golden["target_theta"], rtol=0, atol=1e-5)
    assert target.scale == pytest.approx(float(golden["target_p95"]), rel=1e-6)


def test_in_the_default_mode_a_wider_grid_does_not_change_the_target(target_image, checkpoint, golden, settings):
    wide = np.pad(target_image.data, 20)
    affine = target_image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ (20, 20, 20)
    target = encode_target(Volume(wide, affine), "T2w", checkpoint, settings)
    np.testing.assert_allclose(target.theta, golden["target_theta"], rtol=0, atol=1e-4)
    assert target.scale == pytest.approx(float(golden["target_p95"]), rel=1e-6)


def test_attention_is_that_of_the_authors(prepared, checkpoint, golden, authors):
    target = Target("", "T2w", tuple(golden["target_theta"]), tuple(golden["target_eta"]), 1000.0, "golden")
    mask = prepared["T1w"].votes
    batches = Batches(2, torch.device("cpu"))
    stream = Stream(Session(prepared, mask), checkpoint.model, authors, torch.device("cpu"), batches)
    with torch.inference_mode():
        encoded = stream._encode(golden["slice_index"], "axial")
        query = torch.tensor([[*target.theta, *target.eta]]).expand(len(encoded.codes), -1)
        alpha = checkpoint.model.attend(encoded.codes, query, stream._votes(encoded))
    np.testing.assert_allclose(alpha[:, :, 0, 0], golden["attention_t5"], rtol=0, atol=1e-5)


FINAL = slice(1, None, 4)  # voxels that golden_final.npz keeps along each axis
PLANES = {"axial_20": (2, 20), "coronal_27": (1, 27), "sagittal_24": (0, 24)}  # axis, index among the voxels kept


@pytest.fixture(scope="module")
def golden_final():
    return np.load(DATA / "golden_final.npz")


def agreement(found, wanted, scale):
    """Share of voxels within 1 % of ``scale``."""
    return (np.abs(found - wanted) < 0.01 * scale).mean()


@pytest.fixture(scope="module")
def final_case(phantoms, golden_inputs, checkpoint):
    """Sources and target of golden_final.npz."""
    sources = {name: phantoms[name] for name in ("T1w", "T2w")}
    image = phantoms["FLAIR"].with_data(golden_inputs["phantom"]("FLAIR", seed=1))
    return sources, encode_target(image, "FLAIR", checkpoint, AUTHORS)


@pytest.mark.parametrize("plane", PLANES)
def test_harmonized_slices_before_fusion_are_those_of_the_authors(
    plane, final_case, prepared, checkpoint, golden_final
):
    sources, target = final_case
    orientation, (axis, index) = plane.split("_")[0], PLANES[plane]
    seen = {name: prepared[name] for name in sources}
    method = Slicewise(checkpoint.model, None, AUTHORS, CPU)
    stream = Stream(Session(seen, method.mask(seen)), checkpoint.model, AUTHORS, CPU, Batches(1, CPU))
    draw = Draw(target, 0)
    draw.stacks = {orientation: np.zeros((CANVAS,) * 3, np.float32)}
    draw.attention = np.zeros((len(ORIENTATIONS), CANVAS, len(seen)))
    place = authors_window()[axis].start + 1 + 4 * index
    with torch.inference_mode():
        stream._step(np.array([place]), orientation, [draw])
    found = draw.stacks[orientation][authors_window()][FINAL, FINAL, FINAL].take(index, axis) * target.scale
    wanted = golden_final[plane]
    assert agreement(found, wanted, np.percentile(wanted, 95)) > 0.99
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9999


@pytest.mark.slow
def test_the_final_volume_is_that_of_the_authors(final_case, checkpoint, fusion_net, golden_final):
    sources, target = final_case
    (image,) = harmonize(sources, [target], checkpoint, fusion_net, AUTHORS)
    found, wanted = image.image.data[FINAL, FINAL, FINAL], golden_final["fusion"]
    assert agreement(found, wanted, np.percentile(wanted, 95)) > 0.99
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9999
