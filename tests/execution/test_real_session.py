"""One small session with nothing faked: real nodes, ANTs, the engine in a process of its own, real figures and pages.

A small head of ellipsoids is its own template. The encoder's weights are random but for those of two channels: all
anatomy is air, which shows nothing, and the carry is open. So each image has to come out as it was preprocessed,
whatever the target, once it has gone through slices, maps, attention, decoder and canvas.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from head_phantom import head_phantom

from haca3_bids.bids.validate import run_validator
from haca3_bids.checkpoints.formats import save_checkpoint
from haca3_bids.cli.app import main
from haca3_bids.networks.mixture import CARRY, Mixture, MixtureConfig
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.preprocessing.transforms import displacement_mm, inverse, read_itk, similarity_matrix
from haca3_bids.training.mixture_export import priors, references
from haca3_bids.training.tables import draw_tables
from haca3_bids.volumes.volume import Volume, load_volume, save_volume

PHANTOM = head_phantom(voxel_mm=2.2)  # the networks, which want 1 mm, get 2.5 million voxels
BRAIN = PHANTOM.mask(3, 4, 5)
CENTRE = (0.0, -13.0, 4.0)
HEAD_AT = similarity_matrix((0.1, -0.1, 0.1), (5.0, -6.0, 3.0), 0.0, CENTRE)  # template mm to the scanner's
TRANSFORM = "sub-01_from-T1w_to-MNI152NLin2009aSym_mode-image_xfm.txt"


def make_dataset(root: Path) -> Path:
    anat = root / "sub-01/anat"
    anat.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "ellipsoids", "BIDSVersion": "1.9.0"}))
    (root / "README").write_text("A head of ellipsoids, for a test that runs everything on a dataset of its own.\n")
    for seed, contrast in enumerate(("T1w", "T2w")):
        scan, head = (PHANTOM.scan(contrast, HEAD_AT, noise, seed) for noise in (0.02, 0.0))
        zeroed = scan.with_data(scan.data * (head.data > 3))  # air is nothing that the networks look at
        save_volume(zeroed, anat / f"sub-01_{contrast}.nii.gz")
    return root


def make_weights(file: Path) -> Path:
    torch.manual_seed(0)
    config = MixtureConfig(TISSUES, widths=(8, 8, 8, 8), hidden=8, keys=4)
    model = Mixture(config).eval().requires_grad_(False)
    air, deviations = len(TISSUES), slice(config.classes, config.classes + config.deviations)
    weight, bias = (part.unflatten(0, (-1, 4)) for part in (model.encoder.out.weight, model.encoder.out.bias))
    for channel, value in ((air, 30.0), (deviations, 0.0), (CARRY, 30.0)):
        weight[channel], bias[channel] = 0.0, value
    tables = draw_tables(torch.rand(len(TISSUES), 500) / len(TISSUES), seed=0, sites=60)
    save_checkpoint(file, model, references=references(), card={}, priors=priors(tables))
    return file


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    words = [str(make_dataset(folder / "raw")), str(folder / "out"), "participant", "--template", "builtin"]
    words += ["--weights", str(make_weights(folder / "tiny.safetensors")), "--device", "cpu", "--sloppy"]
    words += ["--nprocs", "1", "--omp-nthreads", "1", "--target", "T2w", "--extra-outputs", "attention"]
    template = PHANTOM.template(has_skull=False)
    with pytest.MonkeyPatch.context() as patch:
        maps = {"brain": template.head, "white": template.white_matter}
        patch.setattr("haca3_bids.preprocessing.template.load_icbm2009a", lambda: maps)
        assert main(words) == 0
    return folder / "out"


def image(out: Path, desc: str) -> Volume:
    return load_volume(out / f"sub-01/anat/sub-01_space-MNI152NLin2009aSym_res-1_desc-{desc}.nii.gz")


def test_an_image_whose_detail_is_all_carried_over_comes_out_as_it_was(out: Path) -> None:
    before, after = image(out, "preproc_T2w"), image(out, "haca3_T2w")
    assert after.has_grid_of(before)
    np.testing.assert_allclose(after.data[BRAIN], before.data[BRAIN], rtol=0, atol=20)  # of 1000
    assert np.abs(after.data - before.data)[BRAIN].mean() < 2


@pytest.mark.parametrize("contrast", ["T1w", "T2w"])
def test_the_head_lies_on_the_template_in_the_units_of_its_white_matter(out: Path, contrast: str) -> None:
    found, true = image(out, f"preproc_{contrast}").data, PHANTOM.image(contrast).data
    assert np.corrcoef(found[BRAIN], true[BRAIN])[0, 1] > 0.9
    assert np.median(found[PHANTOM.mask(5)]) == pytest.approx(1000, rel=0.04)
    to_template = read_itk(out / "sub-01/anat" / TRANSFORM)
    assert displacement_mm(inverse(HEAD_AT) @ to_template, CENTRE) < 2


def test_attention_of_both_sources_adds_up_to_one_in_the_brain(out: Path) -> None:
    maps = [image(out, f"attention{source}ToT2w_probseg").data for source in ("T1w", "T2w")]
    np.testing.assert_allclose(sum(maps)[BRAIN], 1, atol=0.01)
    assert all(one[BRAIN].std() > 0 for one in maps)


def test_the_record_holds_what_was_measured(out: Path) -> None:
    record = json.loads((out / "sub-01/anat/sub-01_desc-haca3_qc.json").read_text())
    assert record["status"] == "done"
    assert record["preprocessing"]["registration"]["passed"]
    images = record["quality"]["images"]
    assert list(images) == ["haca3_T2w"]
    assert images["haca3_T2w"]["ssim"] > 0.99
    assert images["haca3_T2w"]["nan_count"] == 0


def test_the_page_shows_pictures_and_says_what_was_done(out: Path) -> None:
    page = (out / "sub-01.html").read_text()
    assert page.count("data:image/") >= 6
    assert "mixture model" in page
    assert "[@" not in page


def test_the_output_is_a_valid_dataset(out: Path) -> None:
    issues = run_validator(out)
    assert issues is not None
    assert [issue for issue in issues if issue["severity"] == "error"] == []
