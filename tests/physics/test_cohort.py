"""Cohorts: travellers keep their anatomy, visits change it, artifacts come from a generator of their own."""

from dataclasses import replace

import numpy as np
import pytest

from haca3_bids.bids.simulated import _truth_sidecar
from haca3_bids.physics import cohort
from haca3_bids.physics.ageing import Ageing
from haca3_bids.physics.anatomy import FULL, SHAPE, Anatomy
from haca3_bids.physics.cohort import Course, draw_sites, scans, sessions
from haca3_bids.physics.coverage import FieldOfView
from haca3_bids.physics.people import Life, Person, draw_life, draw_person
from haca3_bids.physics.pose import random_pose
from haca3_bids.physics.tissues import TISSUES


def person_of(anatomy, age=30.0, lesions=()):
    life = Life(age, Ageing(0.05, 0.007), lesions)
    return Person("01", anatomy, np.zeros((3, len(TISSUES)), np.float32), np.zeros((3, *SHAPE), np.float32), life)


@pytest.fixture
def box():
    shares = np.zeros((len(TISSUES), *SHAPE), np.uint8)
    shares[TISSUES.index("white"), 60:130, 60:160, 60:130] = FULL
    return Anatomy(shares, "box")


def test_a_pose_is_rigid():
    pose = random_pose(np.random.default_rng(3))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)


def test_a_traveller_has_the_same_anatomy_at_every_site_and_the_drawn_slice_thickness(box):
    rng = np.random.default_rng(0)
    sites = draw_sites(2, ["T2w"], rng)
    found = list(sessions(person_of(box), sites, rng))
    assert [session.label for session in found] == ["siteA", "siteB"]
    for session in found:
        assert session.anatomy is box
        (scan,) = scans(session, rng)
        assert scan.image.zooms_mm[2] == pytest.approx(session.site.thickness_mm["T2w"])
        inside = scan.truth.data[80:110, 80:140, 80:110]
        assert inside.mean() == pytest.approx(1, abs=0.05)


def test_the_pose_brings_the_truth_to_where_the_scanner_saw_it(box):
    rng = np.random.default_rng(1)
    (session,) = sessions(person_of(box), draw_sites(1, ["T1w"], rng), rng)
    (scan,) = scans(session, rng)
    np.testing.assert_allclose(scan.image.affine, session.pose @ scan.truth.affine, atol=1e-9)


def test_every_visit_is_a_session_and_the_person_is_older(round_head):
    rng = np.random.default_rng(0)
    person = person_of(round_head, age=50.0)
    course = Course(years=(0.0, 10.0))
    first, second = sessions(person, draw_sites(1, ["T1w"], rng), rng, course)
    assert (first.label, second.label) == ("siteA01", "siteA02")
    assert (first.age, second.age) == (50.0, 60.0)
    assert second.anatomy.share_of("csf").sum() > first.anatomy.share_of("csf").sum()
    assert second.anatomy.share_of("grey").sum() < first.anatomy.share_of("grey").sum()


def test_artifacts_leave_everything_else_as_it_was(box, monkeypatch):
    monkeypatch.setattr(cohort, "BAD_SHARE", 0.5)
    monkeypatch.setattr(cohort, "CUT_SHARE", 0.5)
    made = []
    for bad in (None, np.random.default_rng(7)):
        rng = np.random.default_rng(5)
        (session,) = sessions(person_of(box), draw_sites(1, ["T1w", "T2w"], rng), rng)
        made.append(list(scans(session, rng, bad)))
    clean, worse = made
    changed = 0
    for good, poor in zip(clean, worse, strict=True):
        np.testing.assert_array_equal(good.truth.data, poor.truth.data)
        same = (good.how, good.view) == (poor.how, poor.view)
        changed += not same
        if same:
            np.testing.assert_array_equal(good.image.data, poor.image.data)
    assert changed


def test_the_sidecar_of_the_truth_says_what_was_simulated(box, monkeypatch):
    monkeypatch.setattr(cohort, "THICKNESSES_MM", (3,))
    monkeypatch.setattr(cohort, "CUT_SHARE", 1)
    view = FieldOfView(((0, 0), (0, 0), (10, 7)))
    monkeypatch.setattr(cohort, "draw_field_of_view", lambda rng: view)
    rng = np.random.default_rng(0)
    (session,) = sessions(person_of(box), draw_sites(1, ["T1w", "T2w"], rng), rng)
    told = {}
    for scan in scans(session, rng, np.random.default_rng(7)):
        done = told[scan.contrast] = _truth_sidecar(session, scan)["Acquisition"]
        zoom, length = float(scan.image.zooms_mm[2]), scan.image.shape[2]
        assert done["thickness_mm"] == pytest.approx(zoom)
        assert sum(done["missing_mm"][2]) == pytest.approx(SHAPE[2] - length * zoom)
        assert "thickness_voxels" not in done
    assert (told["T1w"]["thick_axis"], told["T2w"]["thick_axis"]) == (None, 2)
    assert (told["T1w"]["missing_mm"][2], told["T2w"]["missing_mm"][2]) == ((10, 7), (9, 6))


def test_lesions_are_those_of_the_day_of_the_visit(round_head):
    rng = np.random.default_rng(2)
    life = draw_life(round_head, (40.0, 40.0), True, rng)
    later = tuple(replace(lesion, onset_years=1.0) for lesion in life.lesions)
    person = replace(person_of(round_head), life=Life(30.0, Ageing(0, 0), later))
    assert person.at(0).share_of("lesion").sum() == 0
    assert person.at(1).share_of("lesion").sum() > 50


def test_people_are_drawn_by_their_generator_alone(box):
    life = Life(30.0, Ageing(0, 0))
    one, other = (draw_person("01", box, life, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.local, other.local)
    assert one.local.std() > 0.02


def test_nobody_is_younger_than_the_maps_or_older_than_bids_allows():
    for age in (29.0, 90.0):
        with pytest.raises(ValueError, match="not between"):
            Life(age, Ageing(0, 0))
