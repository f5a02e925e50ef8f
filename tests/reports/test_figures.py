from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from haca3_bids.reports import figures
from haca3_bids.reports.flicker import draw_flicker
from haca3_bids.reports.pixels import COOL, PAINTERS, WARM, jpeg, picture_size, save_jpeg, slice_rows, three_planes
from haca3_bids.volumes.volume import Volume

Draw = Callable[[Volume, Path], None]
WHITES = (1000.0, 1000.0)


def brain(head: Volume) -> Volume:
    return head.with_data(head.data > 0)


DRAWN: dict[str, Draw] = {
    "registration": lambda head, path: figures.draw_registration(head, brain(head), path),
    "histogram": lambda head, path: figures.draw_histogram(head, brain(head), 1000.0, path),
    "flicker": lambda head, path: draw_flicker(head, head, ("before", "after"), path, WHITES),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_the_same_volumes_give_the_same_bytes_of_one_whole_svg(head: Volume, tmp_path: Path, kind: str) -> None:
    DRAWN[kind](head, tmp_path / "one" / "figure.svg")
    DRAWN[kind](head, tmp_path / "two" / "figure.svg")
    first = (tmp_path / "one" / "figure.svg").read_bytes()
    assert first == (tmp_path / "two" / "figure.svg").read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["figure.svg"]


@pytest.mark.parametrize("kind", DRAWN)
def test_figures_load_nothing_and_tell_no_time(head: Volume, tmp_path: Path, kind: str) -> None:
    DRAWN[kind](head, tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text()
    assert "dc:date" not in text
    assert 'href="http' not in text


def test_drawing_leaves_the_global_settings_of_matplotlib_alone(head: Volume, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figures.draw_registration(head, brain(head), tmp_path / "figure.svg")
    assert dict(mpl.rcParams) == before


def test_the_outline_of_the_brain_is_drawn_where_the_brain_is(head: Volume, tmp_path: Path) -> None:
    figures.draw_registration(head, brain(head), tmp_path / "with.svg")
    figures.draw_registration(head, head.with_data(np.zeros(head.shape)), tmp_path / "without.svg")
    assert figures.CONTOUR in (tmp_path / "with.svg").read_text()
    assert figures.CONTOUR not in (tmp_path / "without.svg").read_text()


def test_an_oblique_scan_of_thick_slices_can_be_drawn(head: Volume, tmp_path: Path) -> None:
    turn = np.array([[0.9, -0.4, 0, 0], [0.4, 0.9, 0, 0], [0, 0, 6, 0], [0, 0, 0, 1.0]])
    raw = Volume(np.random.default_rng(0).random((40, 30, 9)).astype(np.float32), turn)
    draw_flicker(raw, head, ("found", "after"), tmp_path / "figure.svg", WHITES)
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_an_empty_image_can_be_drawn(head: Volume, tmp_path: Path) -> None:
    empty = head.with_data(np.zeros(head.shape))
    draw_flicker(empty, empty, ("found", "after"), tmp_path / "images.svg", WHITES)
    figures.draw_histogram(empty, empty, 1000.0, tmp_path / "histogram.svg")


def test_a_flicker_moves_without_a_script_and_rests_where_motion_is_unwanted(head: Volume, tmp_path: Path) -> None:
    draw_flicker(head, head, ("<before>", "after"), tmp_path / "figure.svg", WHITES)
    text = (tmp_path / "figure.svg").read_text()
    assert "animation:" in text
    assert "prefers-reduced-motion" in text
    assert "<script" not in text
    assert "&lt;before&gt;" in text


def test_a_difference_is_black_where_nothing_changed_and_has_two_colours() -> None:
    values = np.array([[-500.0, 0.0, 500.0]])
    np.testing.assert_array_equal(PAINTERS["difference"](values, 500.0)[0], [COOL, [0, 0, 0], WARM])


def test_voxels_that_are_no_numbers_are_drawn_black(head: Volume) -> None:
    for painter in PAINTERS.values():
        assert painter(np.array([[np.nan]]), 1.0).max() == 0


def test_slices_stand_below_each_other_and_their_size_can_be_read(head: Volume, tmp_path: Path) -> None:
    rows = slice_rows(head, "grey", 1000.0)
    one = three_planes(head, (0.0, 0.0, 0.0), "grey", 1000.0)
    assert rows.shape[0] == 7 * one.shape[0]
    save_jpeg(rows, tmp_path / "rows.jpg")
    assert picture_size(tmp_path / "rows.jpg") == (rows.shape[1], rows.shape[0])
    assert jpeg(rows) == (tmp_path / "rows.jpg").read_bytes()
