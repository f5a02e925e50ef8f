from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
from mixture_records import TABLES

from haca3_bids.reports.theta import HEIGHT, WIDTH, Point, axes_of, place_labels, position, theta_plane


@pytest.mark.parametrize("seed", range(5))
def test_no_name_lies_over_another_or_outside(seed: int) -> None:
    places = np.random.default_rng(seed).uniform((60, 60), (WIDTH - 60, HEIGHT - 80), (14, 2)).tolist()
    boxes = place_labels([(f"target T{index} (built-in)", (x, y)) for index, (x, y) in enumerate(places)])
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= WIDTH and box[3] <= HEIGHT for box in boxes)


def test_points_at_one_place_still_have_names_apart() -> None:
    first, second, third = place_labels([(name, (200.0, 200.0)) for name in "abc"])
    assert len({first, second, third}) == 3


def test_the_plane_is_xml_that_says_its_points_in_words() -> None:
    text = theta_plane([Point("a<b", (1.0, -2.0), kind, "T1w") for kind in ("source", "target", "reference")])
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img"
    assert "a<b 1.00, -2.00" in root.attrib["aria-label"]


def test_one_point_alone_and_none_at_all_can_be_drawn() -> None:
    assert "circle" in theta_plane([Point("T1w", (0.0, 0.0), "source", "T1w")])
    assert theta_plane([]) == ""


def test_a_table_lies_where_its_grey_matter_and_fluid_are_and_the_axes_say_so() -> None:
    assert position(TABLES["T2w"]) == (1.5, 3.4)
    assert axes_of(TABLES["T2w"]) == ("grey matter", "cerebrospinal fluid")
    assert position([1.0, -2.0]) == (1.0, -2.0)
    assert axes_of([1.0, -2.0]) == ("theta 1", "theta 2")


def test_the_axes_are_named_and_intensities_do_not_become_negative() -> None:
    points = [Point(contrast, position(table), "source", contrast) for contrast, table in TABLES.items()]
    text = theta_plane(points, axes_of(TABLES["T1w"]))
    ticks = [element.text for element in ElementTree.fromstring(text).iter() if element.get("class") == "tick"]
    assert {"grey matter", "cerebrospinal fluid", "0.00"} <= set(ticks)
    assert not [tick for tick in ticks if tick and tick.startswith("-")]
