"""Super-resolution compared with a cubic B-spline: ``super_resolution.py CONTRAST [LABEL_MAP]``.

A slab of a simulated head, 180 x 180 mm and 104 mm high, is scanned in slices of 4 mm with 3 % noise. Prints the PSNR
(dB) of a spline and of the built-in network against the noise-free truth of 1 mm, and the processor time of the latter.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from haca3_bids.harmonization.super_resolution import super_resolved
from haca3_bids.physics.anatomy import builtin_head
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.render import render, texture, tissue_weights
from haca3_bids.physics.scanner import rician
from haca3_bids.physics.tissues import person_deviations
from haca3_bids.training.heads import head_from_labels
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume

SLAB = (slice(6, 186), slice(20, 200), slice(60, 164))  # of the anatomy's grid
THICKNESS, NOISE = 4, 0.03


def psnr(image: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.percentile(truth, 99.9) ** 2 / np.mean((image - truth) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contrast", choices=REFERENCE_PROTOCOLS)
    parser.add_argument("label_map", nargs="?", type=Path)
    given = parser.parse_args()
    head = builtin_head(load_icbm2009a())
    if given.label_map:
        head = head_from_labels(given.label_map, head, "")
    shares, rng = head.shares[:, *SLAB], np.random.default_rng(0)
    weights = tissue_weights(REFERENCE_PROTOCOLS[given.contrast], person_deviations(rng))
    truth = render(shares, weights, texture(shares.shape[1:], rng))
    thick = rician(truth.reshape(*truth.shape[:2], -1, THICKNESS).mean(axis=3), NOISE, rng)
    offset = [0, 0, (1 / THICKNESS - 1) / 2]
    matrix = np.diag([1, 1, 1 / THICKNESS])
    spline = ndimage.affine_transform(thick, matrix, offset, truth.shape, order=3, mode="mirror")
    begun = time.process_time()
    found = super_resolved(Volume(thick, np.diag([1.0, 1.0, THICKNESS, 1.0])), axis=2).data
    seconds = time.process_time() - begun
    one, other = psnr(spline, truth), psnr(found, truth)
    words = f"spline {one:.2f} dB, built-in {other:.2f} dB ({other - one:+.2f}), {seconds:.0f} s of processor"
    print(f"{given.contrast}: {words}")


if __name__ == "__main__":
    main()
