"""The nodes and the graph of haca3_bids/interfaces/preprocess.py and haca3_bids/workflows/preprocess.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.errors import BadInput
from haca3_bids.interfaces.native import ToNative
from haca3_bids.interfaces.preprocess import Register, Resample, Scale
from haca3_bids.preprocessing.bias import log_field
from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.transforms import inverse, read_itk, similarity_matrix, write_itk
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.volume import Volume, load_volume, save_volume
from haca3_bids.workflows.preprocess import METHODS, OUTPUTS, init_preprocess_wf

SETTINGS = PreprocessingSettings(sloppy=True)
CENTRE = (0.0, -18.0, 5.0)
HEAD_AT = similarity_matrix((0.2, -0.1, 0.15), (6.0, -8.0, 4.0), 0.0, CENTRE)  # template mm to T1w mm
T2W_AT = similarity_matrix((0.03, 0.02, 0.0), (3.0, 1.0, -2.0), 0.0, CENTRE)  # T1w mm to T2w mm


def thick(volume: Volume) -> Volume:
    """Every second slice pair joined."""
    data = volume.data.reshape(*volume.shape[:2], -1, 2).mean(axis=3)
    change = np.diag([1.0, 1.0, 2.0, 1.0])
    change[2, 3] = 0.5
    return Volume(data[:, :, 7:27], volume.affine @ change @ similarity_matrix((0, 0, 0), (0, 0, 7)))


@pytest.fixture(scope="module")
def scans(phantom, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scans")
    images = {
        "T1w": phantom.scan("T1w", HEAD_AT, seed=1),
        "T2w": thick(phantom.scan("T2w", T2W_AT @ HEAD_AT, seed=2)),
    }
    for contrast, image in images.items():
        save_volume(image, folder / f"{contrast}.nii.gz")
    return {contrast: folder / f"{contrast}.nii.gz" for contrast in images}


def run(phantom, scans, folder, given=None) -> dict[str, object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("haca3_bids.interfaces.preprocess.load_template", lambda name: phantom.template())
        workflow = init_preprocess_wf(scans, SETTINGS, given=given or {})
        workflow.base_dir = str(folder)
        workflow.config["execution"] = {"crashdump_dir": str(folder), "poll_sleep_duration": "0.1"}
        done = {node.name: node.result.outputs for node in workflow.run().nodes()}
    outputs = {
        "contrasts": list(scans),
        "record": json.loads(Path(done["collect"].record).read_text()),
        "preproc": [load_volume(done[f"white_matter_{contrast}"].out_file) for contrast in scans],
        "coverage": [load_volume(path, may_be_constant=True) for path in done["merge_coverage"].out],
        "to_reference": [read_itk(path) for path in done["merge_to_reference"].out],
    }
    outputs |= {key: read_itk(getattr(done["register"], key)) for key in ("to_template", "from_template")}
    outputs |= {key: load_volume(getattr(done["regions"], key)) for key in ("brain_mask", "white_matter")}
    return outputs | {"head_mask": load_volume(done["head"].head_mask)}


@pytest.fixture(scope="module")
def session(phantom, scans, tmp_path_factory):
    return run(phantom, scans, tmp_path_factory.mktemp("first"))


def test_every_output_lies_on_the_template_grid(phantom, session) -> None:
    grid = phantom.template().head
    volumes = [*session["preproc"], *session["coverage"], session["head_mask"], session["brain_mask"]]
    assert all(volume.has_grid_of(grid) for volume in volumes)


def test_every_contrast_lies_on_the_template_brain(phantom, session) -> None:
    brain = phantom.mask(3, 4, 5)
    for contrast, image, covered in zip(session["contrasts"], session["preproc"], session["coverage"], strict=True):
        inside = brain & (covered.data > 0.5)
        true = phantom.image(contrast).data
        assert np.corrcoef(image.data[inside], true[inside])[0, 1] > 0.9, contrast


def test_the_white_matter_of_every_contrast_is_at_1000(phantom, session) -> None:
    pure = phantom.mask(5)
    for image, covered in zip(session["preproc"], session["coverage"], strict=True):
        assert np.median(image.data[pure & (covered.data > 0.5)]) == pytest.approx(1000, rel=0.04)


def test_scalp_and_background_are_kept_and_what_no_scan_covers_is_zero(phantom, session) -> None:
    for image, covered in zip(session["preproc"], session["coverage"], strict=True):
        seen = covered.data > 0.5
        assert image.data[phantom.mask(2) & seen].mean() > 200
        assert (image.data[phantom.mask(0) & seen] > 0).mean() > 0.9
        assert (image.data[~seen] == 0).all()
    assert session["coverage"][1].data.mean() < session["coverage"][0].data.mean()


def test_transforms_are_those_that_were_put_in_and_their_inverses(session) -> None:
    np.testing.assert_array_equal(session["to_reference"][0], np.eye(4))
    np.testing.assert_allclose(session["to_template"] @ session["from_template"], np.eye(4), atol=1e-9)
    for found, true in ((session["to_template"], HEAD_AT), (session["to_reference"][1], T2W_AT)):
        np.testing.assert_allclose((inverse(true) @ found @ [*CENTRE, 1])[:3], CENTRE, atol=2.0)


def test_the_record_says_what_was_found(session) -> None:
    record = session["record"]
    assert record["reference"] == "T1w"
    assert record["registration"]["passed"]
    assert record["registration"]["rotation_deg"] == pytest.approx(15.4, abs=2)
    assert record["registration"]["similarity"] > record["registration"]["limit"]
    assert record["defaced"] is False
    assert record["template"] == "Phantom"
    assert 0 <= record["cut_share"] < 0.2
    assert list(record["contrasts"]) == session["contrasts"]
    for own in record["contrasts"].values():
        assert own["white_matter_peak"] == pytest.approx(1000, rel=1e-3)
        assert own["white_matter_peak_raw"] == pytest.approx(300, rel=0.1)
        assert set(own["seconds"]) == {"read", "coregister", "n4", "resample", "white_matter", "measure"}
    assert set(record["seconds"]) == {"register", "regions", "head"}


def test_what_is_known_already_is_used_and_twice_the_same_gives_the_same_bits(phantom, scans, tmp_path) -> None:
    write_itk(HEAD_AT, tmp_path / "known.txt")
    scan, brain = load_volume(scans["T1w"]), phantom.template().brain
    inside = resample(brain, scan, inverse(HEAD_AT), order=1).data > 0.5
    save_volume(scan.with_data(inside), tmp_path / "brain.nii.gz", dtype=np.uint8)
    given = {"to_template": tmp_path / "known.txt", "brain_mask": tmp_path / "brain.nii.gz"}
    one, two = (run(phantom, {"T1w": scans["T1w"]}, tmp_path / name, given) for name in ("one", "two"))
    np.testing.assert_array_equal(one["to_template"], HEAD_AT)
    assert one["record"]["registration"]["given"]
    np.testing.assert_array_equal(one["preproc"][0].data, two["preproc"][0].data)


def test_a_known_transform_that_is_not_rigid_is_refused_by_its_name(phantom, scans, tmp_path) -> None:
    write_itk(HEAD_AT @ np.diag([1.15, 1.15, 1.15, 1.0]), tmp_path / "known.txt")
    save_volume(load_volume(scans["T1w"]), tmp_path / "scan.nii.gz")
    node = Register(reference=str(tmp_path / "scan.nii.gz"), to_template=str(tmp_path / "known.txt"))
    with pytest.raises(BadInput, match=r"known\.txt scales or shears"):
        node.run()


def test_of_a_defaced_session_no_other_contrast_shows_the_face(phantom, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    image, head = phantom.scan("T2w"), phantom.labels > 0
    head[:, 50:, :20] = False
    for name, data in (("image", image.data), ("white", phantom.mask(5)), ("head", head), ("all", np.ones_like(head))):
        save_volume(image.with_data(data), tmp_path / f"{name}.nii.gz")
    for is_reference in (False, True):
        node = Scale(
            contrast="T2w",
            in_file=str(tmp_path / "image.nii.gz"),
            coverage=str(tmp_path / "all.nii.gz"),
            white_matter=str(tmp_path / "white.nii.gz"),
            head_mask=str(tmp_path / "head.nii.gz"),
            defaced=True,
            is_reference=is_reference,
        )
        out = load_volume(node.run().outputs.out_file)
        assert bool((out.data[~head] == 0).all()) is not is_reference


def test_a_scan_that_shows_too_little_brain_for_a_bias_field_is_resampled_as_it_is(
    phantom, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("haca3_bids.interfaces.preprocess.load_template", lambda name: phantom.template())
    scan = phantom.scan("T1w")
    save_volume(scan, tmp_path / "scan.nii.gz")
    save_volume(log_field(scan, SETTINGS, np.zeros(scan.shape, np.bool_)), tmp_path / "field.nii.gz")
    write_itk(np.eye(4), tmp_path / "identity.txt")
    files = {key: str(tmp_path / f"{name}.nii.gz") for key, name in (("in_file", "scan"), ("field", "field"))}
    files |= dict.fromkeys(("to_reference", "to_template"), str(tmp_path / "identity.txt"))
    out = load_volume(Resample(**files, sloppy=True).run().outputs.out_file)
    inside = phantom.mask(3, 4, 5)
    np.testing.assert_allclose(out.data[inside], scan.data[inside], rtol=1e-3)


def test_a_node_brings_an_image_back_to_the_scans_own_grid(phantom, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    native = phantom.scan("T1w", HEAD_AT, noise=0.0)
    save_volume(native, tmp_path / "native.nii.gz")
    save_volume(phantom.scan("T1w", noise=0.0), tmp_path / "harmonized.nii.gz")
    write_itk(HEAD_AT, tmp_path / "to_template.txt")
    images, to_template = [str(tmp_path / "harmonized.nii.gz")], str(tmp_path / "to_template.txt")
    node = ToNative(images=images, reference=str(tmp_path / "native.nii.gz"), to_template=to_template)
    out = load_volume(node.run().outputs.out_files[0])
    assert out.has_grid_of(native)
    assert np.corrcoef(out.data[native.data > 30], native.data[native.data > 30])[0, 1] > 0.95


def test_every_step_declares_processors_and_memory(scans) -> None:
    workflow = init_preprocess_wf(scans, PreprocessingSettings(threads=2))  # one each: threads would change bits
    nodes = {node.name: node for node in workflow._get_all_nodes()}
    assert all(node.n_procs == 1 for node in nodes.values())
    assert all(0 < node.mem_gb < 3 for name, node in nodes.items() if name != "outputnode")
    assert set(nodes["outputnode"].inputs.get()) == set(OUTPUTS)


def test_a_scan_with_more_voxels_declares_more_memory(scans, monkeypatch) -> None:
    def declared() -> dict[str, float]:
        workflow = init_preprocess_wf(scans, SETTINGS)
        return {name: workflow.get_node(name).mem_gb for name in workflow.list_node_names() if "n4" in name}

    usual = declared()
    largest = np.prod(load_volume(scans["T1w"]).shape)
    monkeypatch.setattr("haca3_bids.workflows.preprocess.MEASURED_VOXELS", largest / 3)
    assert usual
    assert declared() == {name: pytest.approx(3 * value) for name, value in usual.items()}


def test_the_reference_follows_the_documented_order(scans) -> None:
    for contrasts, reference in ((("FLAIR", "PDw"), "FLAIR"), (("PDw",), "PDw"), (("T2w", "FLAIR", "T1w"), "T1w")):
        workflow = init_preprocess_wf(dict.fromkeys(contrasts, scans["T1w"]), SETTINGS)
        assert workflow.get_node("collect").inputs.reference == reference
        order = workflow.get_node("outputnode").inputs.contrasts
        assert order == sorted(order, key=("T1w", "T2w", "PDw", "FLAIR").index)


def test_the_methods_name_what_is_cited() -> None:
    assert "[@n4]" in METHODS
    assert "[@ants]" in METHODS
