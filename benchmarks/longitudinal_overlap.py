"""Alignment of visits in the common frame of ``--longitudinal``: ``longitudinal_overlap.py [VISITS]``.

The built-in head is scanned in different positions with different noise. Prints the distance (mm) between the positions
of the same point of the brain in two visits. About a minute on one core for two visits.
"""

from __future__ import annotations

import argparse
from itertools import combinations

import numpy as np
from simulated_scans import BRAIN_CENTRE_MM, Case, scan_of

from haca3_bids.physics.anatomy import builtin_head
from haca3_bids.preprocessing.longitudinal import common_frame
from haca3_bids.preprocessing.session import for_registration
from haca3_bids.preprocessing.template import DEFAULT, load_template
from haca3_bids.preprocessing.transforms import apply, inverse
from haca3_bids.settings import PreprocessingSettings
from haca3_bids.volumes.builtin import load_icbm2009a

POSITIONS = ((0.0, 0.0), (25.0, 30.0), (12.0, 20.0), (40.0, 10.0))  # degrees, mm
POINTS = 500
REACH_MM = 70.0  # largest distance of points from the centre of the brain along each axis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("visits", nargs="?", type=int, default=2)
    given = parser.parse_args()
    head, settings = builtin_head(load_icbm2009a()), PreprocessingSettings()
    references, poses = {}, {}
    for number, (tilt, offset) in enumerate(POSITIONS[: given.visits], 1):
        scan, poses[f"ses-{number}"] = scan_of(head, Case("whole", "T1w", 2, tilt, offset, 0, number))
        references[f"ses-{number}"] = for_registration(scan, settings)
    frame = common_frame(references, load_template(DEFAULT), settings)
    points = BRAIN_CENTRE_MM + np.random.default_rng(0).uniform(-REACH_MM, REACH_MM, (POINTS, 3))
    where = {visit: apply(inverse(frame.pulls[visit]) @ poses[visit], points) for visit in references}
    for one, other in combinations(where, 2):
        apart = np.linalg.norm(where[one] - where[other], axis=1)
        print(f"{one}, {other}: {apart.mean():.2f} mm apart on average, {apart.max():.2f} mm at most")


if __name__ == "__main__":
    main()
