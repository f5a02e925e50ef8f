import dataclasses

import numpy as np
import pytest

from haca3_bids.checkpoints.formats import load_checkpoint, save_checkpoint
from haca3_bids.errors import UsageError
from haca3_bids.harmonization.engine import encode_target, harmonize
from haca3_bids.harmonization.target import Target, target_from_reference
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.volume import reorient, reorient_like


@pytest.fixture(scope="module")
def targets(mixture):
    return [target_from_reference(contrast, mixture) for contrast in ("T2w", "FLAIR")]


@pytest.fixture(scope="module")
def usual(pair, mixture, targets):
    settings = HarmonizationSettings(device="cpu", threads=1)
    return harmonize(pair, targets, mixture, None, settings, white=800.0, extras=("attention", "beta"))


@pytest.fixture
def settings(settings):
    return dataclasses.replace(settings, threads=1)


def test_the_same_sources_give_the_same_voxels_in_any_order_and_with_any_other_target(
    pair, mixture, targets, settings, usual
):
    turned = dict(reversed(pair.items()))
    (again,) = harmonize(turned, targets[:1], mixture, None, settings, white=800.0)
    assert np.array_equal(again.image.data, usual[0].image.data)
    assert again.sources == usual[0].sources
    assert not np.array_equal(usual[0].image.data, usual[1].image.data)


def test_the_batch_size_changes_next_to_nothing(pair, mixture, targets, settings, usual):
    (found,) = harmonize(pair, targets[:1], mixture, None, dataclasses.replace(settings, batch_size=3), white=800.0)
    np.testing.assert_allclose(found.image.data, usual[0].image.data, rtol=0, atol=3.0)


def test_the_output_lies_on_the_grid_of_the_sources_however_they_are_stored(pair, mixture, targets, settings, usual):
    turned = {name: reorient(volume, ("S", "R", "A")) for name, volume in pair.items()}
    (found,) = harmonize(turned, targets[:1], mixture, None, settings, white=800.0)
    assert found.image.has_grid_of(turned["T1w"])
    assert np.array_equal(reorient_like(found.image, pair["T1w"]).data, usual[0].image.data)


def test_every_source_is_reported_with_its_table(usual):
    for image in usual:
        assert list(image.sources) == ["T1w", "T2w"]
        assert sum(report.attention for report in image.sources.values()) == pytest.approx(1, abs=1e-5)
        for report in image.sources.values():
            assert len(report.theta) == len(TISSUES)
            assert report.theta[TISSUES.index("white")] == 1
            assert report.scale == pytest.approx(800)
            assert report.residual > 0
            assert report.looks_like in ("T1w", "T2w", "PDw", "FLAIR")


def test_attention_maps_add_up_to_one_in_the_head_and_classes_are_numbered_from_one(usual):
    total = sum(volume.data for volume in usual[0].attention_maps.values())
    inside = usual[0].beta.data > 0
    assert inside.sum() > 500
    np.testing.assert_allclose(total[inside], 1, atol=1e-5)
    assert not total[~inside].any()
    assert not usual[0].image.data[~inside].any()
    assert usual[0].beta.data.max() <= len(TISSUES) + 3


def test_the_table_of_a_protocol_is_used_only_if_the_image_agrees(pair, mixture, targets, settings, usual, caplog):
    usual_theta = usual[0].sources["T2w"].theta
    near = {"T2w": tuple(1.02 * value for value in usual_theta)}
    (agreeing,) = harmonize(pair, targets[:1], mixture, None, settings, white=800.0, protocols=near)
    reports = agreeing.sources
    assert (reports["T2w"].by_protocol, reports["T1w"].by_protocol) == (True, None)
    assert reports["T2w"].theta != usual_theta
    far = {"T2w": (1475.0, *usual_theta[1:])}  # fluid in a T2w whose echo train has variable flip angles
    (disagreeing,) = harmonize(pair, targets[:1], mixture, None, settings, white=800.0, protocols=far)
    assert disagreeing.sources["T2w"].by_protocol is False
    assert disagreeing.sources["T2w"].theta == usual_theta
    assert np.array_equal(disagreeing.image.data, usual[0].image.data)
    assert "The T2w does not agree with the protocol in its sidecar" in caplog.text


def test_twice_the_intensities_give_the_same_image_where_white_matter_is_not_known(pair, mixture, targets, settings):
    twice = {name: volume.with_data(2 * volume.data) for name, volume in pair.items()}
    (one,), (other,) = (harmonize(sources, targets[:1], mixture, None, settings) for sources in (pair, twice))
    np.testing.assert_allclose(one.image.data, other.image.data, rtol=0, atol=1.0)
    assert other.sources["T1w"].scale == pytest.approx(2 * one.sources["T1w"].scale, rel=1e-3)


def test_an_image_as_target_gives_the_table_that_it_has_as_a_source(pair, mixture, settings, usual):
    target = encode_target(pair["T1w"], "T1w", mixture, settings, white=800.0)
    assert target.theta == pytest.approx(usual[0].sources["T1w"].theta, rel=1e-4)
    assert len(target.eta) == 1


def test_a_target_of_other_weights_is_refused(pair, mixture, tiny, settings, targets):
    with pytest.raises(UsageError, match="has 2 numbers; the weights tiny mixture need 13"):
        harmonize(pair, [Target("", "T2w", (1.0, 2.0), (0.0, 0.0), 1.0, "numbers")], mixture, None, settings)
    with pytest.raises(UsageError, match="has 13 numbers; the weights tiny need 2"):
        harmonize(pair, targets, tiny, None, settings)


def test_the_model_survives_its_file(mixture, tmp_path):
    file = tmp_path / "mixture.safetensors"
    save_checkpoint(
        file, mixture.model, references=mixture.references, card={"a": "b"}, priors=mixture.priors, half=False
    )
    again = load_checkpoint(file)
    assert (again.variant, again.model.config, again.card) == ("mixture", mixture.model.config, {"a": "b"})
    assert again.references == mixture.references
    assert set(again.priors) == set(mixture.priors)
    state = again.model.state_dict()
    assert all(np.array_equal(value, state[key]) for key, value in mixture.model.state_dict().items())
