"""Quality measure of co-registration for correct and displaced positions.

``coregistration_distinctness.py [--labels FOLDER --cache FOLDER] [--sessions 14]`` simulates sessions of all contrasts,
which are aligned exactly, and prints the distinctness of four pairs in each: aligned, aligned with much noise in the
moving image, and displaced by 12 mm or 15 degrees. About half a minute on one core per session.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from planted_trouble import AGES, make_heads

from haca3_bids.physics.cohort import draw_sites, scans, sessions
from haca3_bids.physics.people import draw_life, draw_person
from haca3_bids.physics.scanner import rician
from haca3_bids.preprocessing.head import head_mask
from haca3_bids.preprocessing.quality import coregistration_quality
from haca3_bids.preprocessing.registration import centre_of
from haca3_bids.preprocessing.session import for_registration
from haca3_bids.preprocessing.transforms import Matrix, similarity_matrix
from haca3_bids.settings import CONTRASTS, PreprocessingSettings

PAIRS = (("T1w", "T2w"), ("T1w", "PDw"), ("T1w", "FLAIR"), ("T2w", "T1w"))  # reference, moving
SHIFT_MM, TURN_DEG, DISPLACED = 12.0, 15.0, 4
NOISE = 0.2  # of the 95th percentile, in voxels of 2 mm
SEED = 31


def displaced(centre: np.ndarray, rng: np.random.Generator) -> list[Matrix]:
    """Displacements from the correct position, alternately shifts and rotations."""
    made = []
    for number in range(DISPLACED):
        along, axis = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
        turned = number % 2
        made.append(
            similarity_matrix(np.radians(TURN_DEG) * turned * axis, SHIFT_MM * (1 - turned) * along, 0.0, centre)
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, help="folder of head label maps")
    parser.add_argument("--cache", type=Path, help="where heads made of label maps are kept; needed with --labels")
    parser.add_argument("--sessions", type=int, default=14)
    args = parser.parse_args()
    heads = make_heads(args.labels, args.cache, 5)
    right, noisy, wrong = [], [], []
    for number in range(args.sessions):
        rng = np.random.default_rng([SEED, number])
        head = heads[int(rng.integers(len(heads)))]
        site = draw_sites(1, CONTRASTS, rng)[0]
        person = draw_person("01", head, draw_life(head, AGES, False, rng), rng)
        (session,) = sessions(person, [site], rng)
        images = {scan.contrast: for_registration(scan.image, PreprocessingSettings()) for scan in scans(session, rng)}
        for first, second in PAIRS:
            reference, moving = images[first], images[second]
            right.append(coregistration_quality(moving, reference, np.eye(4))[1])
            worse = moving.with_data(rician(moving.data, float(NOISE * np.percentile(moving.data, 95)), rng))
            noisy.append(coregistration_quality(worse, reference, np.eye(4))[1])
            centre = centre_of(reference, head_mask(reference))
            wrong += [coregistration_quality(moving, reference, pull)[1] for pull in displaced(centre, rng)]
        print(f"{number}: {head.name}: {np.round(right[-len(PAIRS) :], 3)}", flush=True)
    for name, values in (("right", right), ("noisy", noisy), ("displaced", wrong)):
        print(f"{name}: {len(values)}, {min(values):.3f} to {max(values):.3f}, median {np.median(values):.3f}")


if __name__ == "__main__":
    main()
