"""Error of the white-matter peak in simulated heads: ``white_matter_peak.py [LABEL_MAP ...]``.

Four contrasts at 1.5 and 3 T, 40 % bias (peak to peak), 3 % noise, every head as it is and forty years older with
lesions. Scans are upright in template space, so that the rigid transform is known; the affine prior is estimated as in
the App. The error is that of the median of the output in voxels of pure white matter, which should be 1000. Images have
voxels of 2 mm; about 12 s on one core per case.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from simulated_scans import halved

from haca3_bids.physics.ageing import Ageing, aged
from haca3_bids.physics.anatomy import AFFINE, FULL, Anatomy
from haca3_bids.physics.lesions import draw_lesions, with_lesions
from haca3_bids.physics.protocols import draw_protocol
from haca3_bids.physics.render import render, texture, tissue_weights
from haca3_bids.physics.scanner import rician, smooth_field
from haca3_bids.physics.tissues import TISSUES, person_deviations
from haca3_bids.preprocessing import session
from haca3_bids.preprocessing.prior import white_matter_core
from haca3_bids.preprocessing.resampling import resample_mask
from haca3_bids.preprocessing.template import DEFAULT, Template, load_template
from haca3_bids.settings import CONTRASTS, PreprocessingSettings
from haca3_bids.training.heads import load_heads
from haca3_bids.volumes.volume import Volume

FIELDS_T = (1.5, 3.0)
BIAS, NOISE = 0.4, 0.03  # peak to peak; relative to white matter
YEARS = 40.0
LESION_YEARS = 15.0  # of growth: about 20 ml
AGEING = Ageing(0.05, 0.007)  # mm per year
LIMIT = 0.02
SETTINGS = PreprocessingSettings(force=("registration",))
UPRIGHT = np.eye(4)


def scan_of(head: Anatomy, contrast: str, field_t: float, seed: int) -> tuple[Volume, Volume]:
    """A scan with voxels of 2 mm, and a mask of pure white matter."""
    rng = np.random.default_rng(seed)
    shares = halved(head.shares)
    weights = tissue_weights(draw_protocol(contrast, field_t, rng), person_deviations(rng))
    image = render(shares, weights, texture(shares.shape[1:], rng))
    slope = smooth_field(image.shape, 2, rng)
    slope = (slope - slope.min()) / (slope.max() - slope.min()) - 0.5
    affine = AFFINE @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (AFFINE @ [0.5, 0.5, 0.5, 1.0])[:3]
    pure = (shares[TISSUES.index("white")] == FULL).astype(np.float32)
    return Volume(400 * rician(image * (1 + BIAS * slope), NOISE, rng), affine), Volume(pure, affine)


def error(scan: Volume, pure: Volume, template: Template) -> float:
    """The relative deviation of white matter in the output from 1000."""
    coarse = session.for_registration(scan, SETTINGS)
    place, _ = session.registered(coarse, template, SETTINGS, given=UPRIGHT)
    field = session.field_in_brain(scan, template, place, UPRIGHT, SETTINGS)
    image, covered = session.on_template_grid(scan, field, template.head, UPRIGHT, SETTINGS)
    core = white_matter_core(template, place) & (covered.data > 0.5)
    written, _, _ = session.scaled(image, core, None)
    white = resample_mask(pure, template.head, UPRIGHT, threshold=0.999)
    return float(np.median(written.data[white]) / 1000 - 1)


def variants(heads: list[Anatomy]) -> Iterator[tuple[str, Anatomy]]:
    """Every head, young and old."""
    for head in heads:
        yield head.name, head
        old = aged(head, AGEING, YEARS)
        lesions = draw_lesions(old, np.random.default_rng(1))
        yield f"{head.name}, {YEARS:.0f} years older, lesions", with_lesions(old, lesions, LESION_YEARS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="*", type=Path, metavar="LABEL_MAP")
    heads = load_heads({path.name.split(".")[0]: path for path in parser.parse_args().labels}, Path("heads"))
    template, errors = load_template(DEFAULT), []
    for name, head in variants(heads):
        for number, (contrast, field_t) in enumerate(product(CONTRASTS, FIELDS_T)):
            errors.append(error(*scan_of(head, contrast, field_t, number), template))
            print(f"{name}: {contrast} at {field_t:g} T: {100 * errors[-1]:+.2f} %", flush=True)
    sizes = 100 * np.abs(errors)
    within = 100 * np.mean(sizes <= 100 * LIMIT)
    print(f"{len(errors)} scans; within {100 * LIMIT:.0f} %: {within:.0f} %; worst {sizes.max():.2f} %")


if __name__ == "__main__":
    main()
