from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haca3_bids.bids.names import (
    as_label,
    check_target_name,
    file_name,
    matches_filter,
    node_name,
    parse_entities,
    session_folder,
    session_name,
    session_of_node,
    transform_name,
)
from haca3_bids.errors import UsageError

labels = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)


@given(labels, labels | st.none(), labels, labels)
def test_a_name_is_read_back_as_it_was_written(subject: str, session: str | None, space: str, desc: str) -> None:
    name = file_name(subject, session, "T1w", ".nii.gz", space=space, res="1", desc=desc)
    entities, suffix, extension = parse_entities(name)
    wanted = {"sub": subject, "ses": session, "space": space, "res": "1", "desc": desc}
    assert entities == {key: value for key, value in wanted.items() if value}
    assert (suffix, extension) == ("T1w", ".nii.gz")


def test_names_are_those_of_the_specification() -> None:
    space = "MNI152NLin2009cSym"
    name = file_name("01", "1", "T1w", ".nii.gz", desc="haca3", res="1", space=space)
    assert name == "sub-01_ses-1_space-MNI152NLin2009cSym_res-1_desc-haca3_T1w.nii.gz"
    assert transform_name("01", None, "T1w", space) == "sub-01_from-T1w_to-MNI152NLin2009cSym_mode-image_xfm.txt"
    assert file_name("01", "1", "qc", ".json", desc="haca3") == "sub-01_ses-1_desc-haca3_qc.json"
    assert (session_folder("01", "1"), session_folder("01", None)) == ("sub-01/ses-1/anat", "sub-01/anat")


def test_labels_hold_letters_and_digits_only() -> None:
    assert as_label("sub-01_ses-1") == "sub01ses1"
    for name in ("a-b", "", "Std", "siteStd"):
        with pytest.raises(UsageError):
            check_target_name(name)
    assert check_target_name("site2") == "site2"


@given(st.text(string.ascii_letters + string.digits + "+", min_size=1, max_size=8), labels | st.none())
def test_a_session_is_called_by_its_name_and_not_by_that_of_its_node(subject: str, session: str | None) -> None:
    name = session_name(subject, session)
    assert session_of_node(node_name(name)) == name
    assert node_name(name).isidentifier()


def test_a_filter_knows_null_any_lists_and_numbers() -> None:
    found = {"acq": "a", "run": "01"}
    assert matches_filter(found, {"acq": "a", "run": 1, "rec": None})
    assert matches_filter(found, {"acq": ["b", "a"], "ce": "*"})
    assert matches_filter(found, {"ce": [None, "gadolinium"], "acq": [None, "a"]})
    assert not matches_filter(found, {"acq": [None, "b"]})
    assert not matches_filter(found, {"acq": None})
    assert not matches_filter(found, {"rec": "norm"})
    assert not matches_filter(found, {"acq": "b"})
