"""The stage of the measurements: test heads stay closed, people are always the same, whole volumes are harmonized."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import stage as staged
import torch

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.physics.anatomy import AFFINE, FULL, Anatomy
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.training.mixture_export import priors, references
from haca3_bids.training.tables import draw_tables
from haca3_bids.volumes.volume import Volume


def options(**given):
    defaults = vars(staged.parser("").parse_args(["--labels", "none", "--cache", "none", "--out", "none"]))
    return argparse.Namespace(**(defaults | given))


def test_no_head_is_both_test_and_validation():
    assert not set(staged.TEST_HEADS) & set(staged.VALIDATION_HEADS)
    assert len(staged.TEST_HEADS) == 8


@pytest.mark.parametrize("name", ["subject46", "training_seg_13", "subject48_crisp_v"])
def test_a_test_head_is_not_taken_unless_the_test_set_is_opened(name):
    with pytest.raises(SystemExit, match="opened once"):
        staged.stage(options(heads=[name]))


def test_every_site_is_once_source_and_once_target():
    sites = [{"T1w": number} for number in range(8)]
    on = staged.Stage([], None, sites, None, None, None, Path())
    pairs = [on.pair(number) for number in range(8)]
    assert sorted(one["T1w"] for one, _ in pairs) == sorted(other["T1w"] for _, other in pairs) == list(range(8))
    assert all(one is not other for one, other in pairs)


def test_two_processes_share_the_people(monkeypatch):
    monkeypatch.setattr(staged, "someone", lambda head: head)

    def people(part):
        return list(staged.Stage(["a", "b", "c"], None, [], None, None, None, Path(), part).people())

    assert people((1, 2)) + people((2, 2)) == [(0, "a", "b"), (2, "c", "a"), (1, "b", "c")]
    assert sorted(people((1, 2)) + people((2, 2))) == people((1, 1))


@pytest.mark.parametrize("part", ["3/2", "0/2", "half", "1"])
def test_a_part_that_cannot_be_is_refused(part, capsys):
    with pytest.raises(SystemExit):
        staged.parser("").parse_args(["--labels", "none", "--cache", "none", "--out", "none", "--part", part])
    assert "--part" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--every", "--residual", "--consistency"])
def test_single_slices_are_not_measured_any_more(option, capsys):
    with pytest.raises(SystemExit):
        staged.parser("").parse_args(["--labels", "none", "--cache", "none", "--out", "none", option, "1"])
    assert option in capsys.readouterr().err


@pytest.fixture(scope="module")
def small():
    """A stage with a narrow mixture model of random weights, and two scans of a ball of white matter in fluid."""
    torch.manual_seed(0)
    model = Mixture(MixtureConfig(TISSUES, widths=(8, 8, 16, 16), hidden=8, keys=4)).eval().requires_grad_(False)
    tables = draw_tables(torch.rand(len(TISSUES), 500) / len(TISSUES), seed=0, sites=60)
    checkpoint = Checkpoint(model, "tiny", "2" * 64, references(), {}, priors(tables))
    on = staged.Stage([], None, [], checkpoint, None, HarmonizationSettings(device="cpu", threads=1), Path())
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 32)] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    fluid = {"T1w": 0.2, "T2w": 3.0}
    shells = {c: np.where(radius < 0.6, 1, np.where(radius < 0.9, v, 0)) for c, v in fluid.items()}
    scans = {c: (WHITE_MATTER_PEAK * image).astype(np.float32) for c, image in shells.items()}
    return on, {contrast: Volume(image, AFFINE) for contrast, image in scans.items()}


def test_a_target_is_a_table_measured_on_the_scan(small):
    on, scans = small
    darker, brighter = on.encoded(scans["T1w"], "T1w"), on.encoded(scans["T2w"], "T2w")
    assert len(darker.theta) == len(TISSUES)
    assert darker.name == darker.contrast == "T1w"
    assert darker.theta[TISSUES.index("csf")] < brighter.theta[TISSUES.index("csf")]


def test_whole_volumes_go_through_the_engine(small):
    on, scans = small
    brain = scans["T1w"].data > 0.9
    (image,) = on.harmonized(scans, [on.encoded(scans["T2w"], "T2w")], brain)
    assert image.image.has_grid_of(scans["T1w"])
    assert sum(source.attention for source in image.sources.values()) == pytest.approx(1, abs=1e-5)
    assert image.sources["T1w"].brain_covered == pytest.approx(1)
    assert image.record.brain_without_source == pytest.approx(0)


def test_what_is_kept_is_found_again(tmp_path):
    rows = [{"person": "a", "psnr_db": 21.5}, {"person": "b", "psnr_db": 20.0}]
    assert staged.kept(tmp_path / "out" / "rows.jsonl") == []
    for row in rows:
        staged.keep(tmp_path / "out" / "rows.jsonl", [row])
    assert staged.kept(tmp_path / "out" / "rows.jsonl") == rows


def test_a_person_is_drawn_from_the_name_of_the_head(monkeypatch):
    monkeypatch.setattr(staged, "SHAPE", (8, 8, 8))
    shares = np.zeros((len(TISSUES), 8, 8, 8), np.uint8)
    one, same, other = (staged.someone(Anatomy(shares, name)) for name in ("a", "a", "b"))
    np.testing.assert_array_equal(one.local, same.local)
    assert np.abs(one.deviations - other.deviations).max() > 0


def test_another_name_is_another_person_of_the_same_head(monkeypatch):
    monkeypatch.setattr(staged, "SHAPE", (8, 8, 8))
    anatomy = Anatomy(np.zeros((len(TISSUES), 8, 8, 8), np.uint8), "a")
    one, other = staged.someone(anatomy), staged.someone(anatomy, "a 1")
    assert one.anatomy is other.anatomy
    assert np.abs(one.deviations - other.deviations).max() > 0


def test_what_can_be_known_is_this_anatomy_with_the_tissues_of_the_other():
    shares = np.zeros((len(TISSUES), 4, 4, 224), np.uint8)
    for x, tissue in enumerate(("csf", "grey", "white", "fat")):
        shares[TISSUES.index(tissue), x] = FULL
    none, protocol = np.zeros((3, len(TISSUES)), np.float32), REFERENCE_PROTOCOLS["T2w"]
    local = np.random.default_rng(0).normal(0, 0.05, (3, *shares.shape[1:])).astype(np.float32)
    one = staged.Someone("one", Anatomy(shares), none + 0.1, local)
    other = staged.Someone("other", Anatomy(shares), none, local)
    average = staged.Someone("average", Anatomy(shares), none, np.zeros_like(local))
    np.testing.assert_array_equal(one.bound(protocol, other).data, average.truth(protocol).data)
    assert np.abs(one.truth(protocol).data - one.bound(protocol, other).data).max() > 0.01
