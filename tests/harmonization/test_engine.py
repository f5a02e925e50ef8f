import dataclasses
import sys
import types

import numpy as np
import pytest
import torch

from haca3_bids.errors import BadInput, TemporaryFailure
from haca3_bids.harmonization import engine, slicewise
from haca3_bids.harmonization.engine import harmonize
from haca3_bids.harmonization.prepare import Rim, fit_images, prepare
from haca3_bids.harmonization.target import Target
from haca3_bids.volumes.volume import reorient, reorient_like

TARGET = Target("", "T2w", (-0.4, -0.8), (-1.8, 1.7), 900.0, "numbers")
OTHER = Target("siteB", "T1w", (2.0, 1.0), (0.3, 0.5), 1000.0, "numbers")


@pytest.fixture(scope="module")
def usual(pair, tiny):
    """Both targets at once, with all extras: what the tests below compare with."""
    from haca3_bids.settings import HarmonizationSettings

    settings = HarmonizationSettings(device="cpu", threads=1)
    return harmonize(pair, [TARGET, OTHER], tiny, None, settings, extras=("attention", "beta"))


@pytest.fixture
def settings(settings):
    return dataclasses.replace(settings, threads=1)


def test_the_same_sources_give_the_same_voxels_in_any_order_and_with_any_other_target(pair, tiny, settings, usual):
    turned = dict(reversed(pair.items()))
    (again,) = harmonize(turned, [TARGET], tiny, None, settings)
    assert np.array_equal(again.image.data, usual[0].image.data)
    assert again.sources == usual[0].sources
    assert not np.array_equal(usual[0].image.data, usual[1].image.data)


@pytest.mark.parametrize("size", [1, 3])
def test_the_batch_size_changes_next_to_nothing(pair, tiny, settings, usual, size):
    (found,) = harmonize(pair, [TARGET], tiny, None, dataclasses.replace(settings, batch_size=size))
    wanted = usual[0].image.data
    changed = np.abs(found.image.data - wanted) > 1e-3 * np.percentile(wanted, 95)
    assert changed.mean() < 1e-3


@pytest.mark.gpu
def test_a_gpu_gives_next_to_the_same_image(pair, tiny, settings, usual):
    (found,) = harmonize(pair, [TARGET], tiny, None, dataclasses.replace(settings, device="cuda"))
    wanted = usual[0].image.data
    changed = np.abs(found.image.data - wanted) > 1e-3 * np.percentile(wanted, 95)
    assert changed.mean() < 1e-2  # a pixel between two levels of anatomy may fall to the other side


def test_the_output_lies_on_the_grid_of_the_sources_however_they_are_stored(pair, tiny, settings, usual):
    turned = {name: reorient(volume, ("S", "R", "A")) for name, volume in pair.items()}
    (found,) = harmonize(turned, [TARGET], tiny, None, settings)
    assert found.image.has_grid_of(turned["T1w"])
    assert np.array_equal(reorient_like(found.image, pair["T1w"]).data, usual[0].image.data)
    assert found.image.data.dtype == np.float32


def test_every_source_is_reported_with_theta_eta_and_attention(usual):
    for image in usual:
        assert list(image.sources) == ["T1w", "T2w"]
        assert sum(report.attention for report in image.sources.values()) == pytest.approx(1, abs=1e-5)
        assert np.isfinite([[*report.theta, *report.eta] for report in image.sources.values()]).all()
    assert usual[0].record.scale == 900
    assert usual[0].record.cut_share == 0
    assert usual[0].record.covered_share == 1


def test_attention_maps_add_up_to_one_in_the_head_and_levels_lie_between_one_and_five(usual):
    total = sum(volume.data for volume in usual[0].attention_maps.values())
    inside = usual[0].beta.data > 0
    assert inside.sum() > 500
    np.testing.assert_allclose(total[inside], 1, atol=1e-5)
    assert not total[~inside].any()
    assert usual[0].beta.data.max() <= 5


def test_a_source_has_no_say_where_it_does_not_cover_the_head(pair, tiny, settings):
    half = pair["T2w"].data.copy()
    half[:, :, 8:] = 0
    cover = np.ones_like(half)
    cover[:, :, 8:] = 0
    sources = {"T1w": pair["T1w"], "T2w": pair["T2w"].with_data(half)}
    coverage = {"T2w": pair["T2w"].with_data(cover)}
    (found,) = harmonize(sources, [TARGET], tiny, None, settings, coverage=coverage, extras=["attention"])
    (guessed,) = harmonize(sources, [TARGET], tiny, None, settings)
    assert not found.attention_maps["T2w"].data[:, :, 8:].any()
    assert found.attention_maps["T2w"].data[:, :, :8].any()
    inside = found.attention_maps["T1w"].data[:, :, 8:] > 0
    assert found.image.data[:, :, 8:][inside].min() > 0  # no dark slab
    assert np.array_equal(guessed.image.data, found.image.data)


def test_slices_without_head_never_reach_the_networks(pair, tiny, settings, monkeypatch):
    seen = []
    forward = tiny.model.beta_encoder.forward
    monkeypatch.setattr(tiny.model.beta_encoder, "forward", lambda x: (seen.append(len(x)), forward(x))[1])
    harmonize({"T1w": pair["T1w"]}, [TARGET, OTHER], tiny, None, settings)
    assert 30 < sum(seen) <= 3 * 12  # of 3 * 224


def test_an_anatomy_drawn_at_random_is_reproducible_and_comes_with_its_deviation(pair, tiny, settings):
    drawn = dataclasses.replace(settings, beta="sample", samples=4, seed=3)
    one = {"T1w": pair["T1w"]}
    (first,) = harmonize(one, [TARGET], tiny, None, drawn)
    (again,) = harmonize(one, [TARGET], tiny, None, dataclasses.replace(drawn, batch_size=3))
    (other,) = harmonize(one, [TARGET], tiny, None, dataclasses.replace(drawn, seed=4))
    limit = 1e-3 * np.percentile(first.image.data, 95)
    assert (np.abs(first.image.data - again.image.data) > limit).mean() < 1e-3
    assert (np.abs(first.std.data - again.std.data) > limit).mean() < 1e-3
    assert (np.abs(first.image.data - other.image.data) > limit).mean() > 0.05
    assert first.std.data.max() > 0


def test_a_single_draw_has_no_deviation(pair, tiny, settings, usual):
    assert usual[0].std is None


def test_the_output_is_brought_back_to_a_white_matter_peak_of_1000(pair, tiny, settings, usual, monkeypatch):
    peak = types.ModuleType("haca3_bids.intensity.white_matter")
    peak.white_matter_peak = lambda image, mask: float(np.median(image[mask]))
    monkeypatch.setitem(sys.modules, "haca3_bids.intensity.white_matter", peak)
    white = usual[0].beta.with_data(usual[0].beta.data > 0)
    (found,) = harmonize(pair, [TARGET], tiny, None, settings, white_matter=white)
    assert np.median(found.image.data[white.data > 0]) == pytest.approx(1000, rel=1e-5)
    assert found.record.scale * found.record.white_matter_peak == pytest.approx(900 * 1000)
    peak.white_matter_peak = lambda image, mask: 0.0
    with pytest.raises(BadInput, match="no white-matter peak"):
        harmonize(pair, [TARGET], tiny, None, settings, white_matter=white)


def test_nothing_is_written_outside_the_head_mask(pair, tiny, settings):
    inside = np.zeros(pair["T1w"].shape, np.float32)
    inside[:, :9] = 1
    (found,) = harmonize(pair, [TARGET], tiny, None, settings, head_mask=pair["T1w"].with_data(inside))
    assert not found.image.data[:, 9:].any()
    assert found.image.data[:, :9].any()


def test_the_fusion_network_and_the_median_are_both_at_hand(pair, tiny, fusion_net, settings, usual, monkeypatch):
    monkeypatch.setattr(slicewise, "fuse_in_slabs", lambda net, stacks, device, slab: stacks[0] * 0 + 2)
    (found,) = harmonize({"T1w": pair["T1w"]}, [TARGET], tiny, fusion_net, settings)
    assert set(np.unique(found.image.data)) == {0, np.float32(1800)}
    canvas, prepared = _prepared({"T1w": pair["T1w"]}, settings, tiny)
    mask = (
        canvas.restore(prepared["T1w"].votes.astype(np.float32)).data > 0.5
    )  # the head as the networks see it, closed
    assert np.array_equal(found.image.data > 0, mask)


def _prepared(sources, settings, checkpoint):
    canvas, seen_from = fit_images(sources, Rim({}), settings), checkpoint.model.config.seen_from
    return canvas, {n: prepare(n, volume, canvas, Rim({}), settings, seen_from) for n, volume in sources.items()}


def test_the_plus_variant_smooths_attention(pair, tiny_plus, settings, monkeypatch):
    half, cover = pair["T2w"].data.copy(), np.ones_like(pair["T2w"].data)
    half[:, :, 8:] = cover[:, :, 8:] = 0
    sources = {"T1w": pair["T1w"], "T2w": pair["T2w"].with_data(half)}

    def attention():
        seen = {"T2w": pair["T2w"].with_data(cover)}
        (found,) = harmonize(sources, [TARGET], tiny_plus, None, settings, coverage=seen, extras=["attention"])
        maps = {name: volume.data for name, volume in found.attention_maps.items()}
        assert sum(maps.values()).max() == pytest.approx(1, abs=1e-5)
        return maps["T2w"]

    smooth = attention()[9, 9]  # along the axis in which the T2w ends
    monkeypatch.setattr("haca3_bids.networks.haca3.smooth_maps", lambda maps: maps)
    sharp = attention()[9, 9]
    assert sharp[7] > 0.4
    assert sharp[8] == 0
    assert 0 < smooth[8] < smooth[7] < sharp[7]
    np.testing.assert_allclose(smooth[4:7], sharp[4:7], atol=1e-6)  # where there is no step


def test_bfloat16_gives_nearly_the_same_image(pair, tiny, settings, usual):
    (found,) = harmonize({"T1w": pair["T1w"]}, [TARGET], tiny, None, dataclasses.replace(settings, precision="bf16"))
    (wanted,) = harmonize({"T1w": pair["T1w"]}, [TARGET], tiny, None, settings)
    assert found.precision == "bf16"
    assert np.corrcoef(found.image.data.ravel(), wanted.image.data.ravel())[0, 1] > 0.95


def _failing(tiny, monkeypatch, limit, times):
    left = [times]
    forward = tiny.model.beta_encoder.forward

    def fail_when_large(x):
        if len(x) > limit and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError
        return forward(x)

    monkeypatch.setattr(tiny.model.beta_encoder, "forward", fail_when_large)


def test_out_of_memory_is_answered_with_smaller_batches(pair, tiny, settings, usual, monkeypatch):
    _failing(tiny, monkeypatch, limit=2, times=-1)
    (found,) = harmonize(pair, [TARGET], tiny, None, settings)
    changed = np.abs(found.image.data - usual[0].image.data) > 0.9
    assert changed.mean() < 1e-3


def test_a_full_gpu_is_left_for_the_cpu_only_if_auto(pair, tiny, settings, usual, monkeypatch):
    one = dataclasses.replace(settings, batch_size=1)
    _failing(tiny, monkeypatch, limit=0, times=1)
    (found,) = harmonize(pair, [TARGET], tiny, None, dataclasses.replace(one, device="auto"))
    assert found.device == "cpu"
    monkeypatch.undo()
    _failing(tiny, monkeypatch, limit=0, times=1)
    with pytest.raises(TemporaryFailure, match="memory of cpu ran out"):
        harmonize(pair, [TARGET], tiny, None, one)


def test_like_the_authors_the_first_source_given_sets_the_mask(phantoms, tiny, tiny_plus, settings):
    sources = {"T2w": phantoms["T2w"], "T1w": phantoms["T1w"]}
    authors = dataclasses.replace(settings, like_authors=True, background="none")
    _, seen = _prepared(sources, authors, tiny)
    method = engine.method_for(tiny, None, authors, torch.device("cpu"))
    assert np.array_equal(method.mask(seen), seen["T2w"].values > 1e-6)
    _, seen = _prepared(sources, authors, tiny_plus)
    plus = engine.method_for(tiny_plus, None, authors, torch.device("cpu"))
    assert np.array_equal(plus.mask(seen), seen["T2w"].votes | seen["T1w"].votes)


def test_it_is_told_which_share_of_the_brain_rests_on_which_source_and_what_none_covers(pair, tiny, settings):
    shape = pair["T1w"].shape
    lower, middle = np.zeros(shape), np.zeros(shape)
    lower[:, :, : shape[2] // 2] = 1
    middle[:, :, shape[2] // 4 : 3 * shape[2] // 4 + 1] = 1
    coverage = {"T1w": pair["T1w"].with_data(lower), "T2w": pair["T2w"].with_data(lower * middle)}
    brain = pair["T1w"].with_data(middle * (pair["T1w"].data > 0))
    (found,) = harmonize(pair, [TARGET], tiny, None, settings, coverage=coverage, brain=brain)
    inside = brain.data > 0.5
    empty = float((inside & (lower == 0)).sum() / inside.sum())
    assert found.record.brain_without_source == pytest.approx(empty)
    assert found.sources["T1w"].brain_covered == pytest.approx(1 - empty)
    assert sum(report.attention for report in found.sources.values()) == pytest.approx(1)
    assert (found.image.data[lower == 0] == 0).all()


def test_a_common_mask_decides_what_a_grid_that_is_too_large_is_cropped_to(pair, tiny, settings):
    grid = np.zeros((8, 240, 8), np.float32)
    image, content = grid.copy(), grid.copy()
    image[2:6, 20:60, 2:6] = 100 + np.arange(40)[:, None]
    content[2:6, 180:230, 2:6] = 1
    volume = pair["T1w"].with_data(image)
    assert engine.fit_images({"T1w": volume}, engine.Rim({}), settings).start[1] == 0
    common = engine.Rim({}, content=volume.with_data(content))
    assert engine.fit_images({"T1w": volume}, common, settings).start[1] == -16


def test_the_crop_of_a_grid_that_is_too_large_does_not_depend_on_the_unit(pair, settings):
    """From 1e15 on, the squares in Otsu's threshold overflowed, and all of the grid counted as head."""
    image = np.random.default_rng(0).uniform(0, 5, (40, 260, 40)).astype(np.float32)
    image[10:30, 180:240, 10:30] += 100
    volume, large = (pair["T1w"].with_data(image * np.float32(unit)) for unit in (1, 1e30))
    assert engine.fit_images({"T1w": large}, engine.Rim({}), settings) == engine.fit_images(
        {"T1w": volume}, engine.Rim({}), settings
    )
