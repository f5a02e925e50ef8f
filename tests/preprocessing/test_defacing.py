from __future__ import annotations

import numpy as np

from haca3_bids.preprocessing.defacing import looks_defaced, without_face
from haca3_bids.preprocessing.head import head_mask


def test_a_head_with_its_face_does_not_look_defaced(phantom) -> None:
    scan = phantom.scan("T1w")
    assert not looks_defaced(head_mask(scan), np.ones(scan.shape, np.bool_), scan, np.eye(4))


def test_a_head_without_its_face_does(phantom) -> None:
    assert looks_defaced(
        head_mask(defaced(phantom)), np.ones(phantom.labels.shape, np.bool_), defaced(phantom), np.eye(4)
    )


def test_a_field_of_view_without_the_face_says_nothing(phantom) -> None:
    scan = defaced(phantom)
    z = np.indices(scan.shape)[2] * scan.affine[2, 2] + scan.affine[2, 3]
    assert not looks_defaced(head_mask(scan), z > -25, scan, np.eye(4))


def test_nothing_is_left_outside_the_head(phantom) -> None:
    scan, head = phantom.scan("T2w"), head_mask(defaced(phantom))
    cut = without_face(scan, head)
    assert (cut.data[~head] == 0).all()
    np.testing.assert_array_equal(cut.data[head], scan.data[head])


def defaced(phantom):
    scan = phantom.scan("T1w")
    y, z = (np.indices(scan.shape)[axis] * scan.affine[axis, axis] + scan.affine[axis, 3] for axis in (1, 2))
    return scan.with_data(np.where((y > 40) & (z < -22), 0, scan.data))
