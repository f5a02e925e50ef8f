"""Sensitivity and specificity of the verdict: ``planted_trouble.py [--labels FOLDER --cache FOLDER]``.

Simulates sessions (heads of all ``--labels``, else the built-in head and deformed ones) with one problem in each of
``--cases`` of them, runs the preprocessing and the quality step with their defaults, and prints verdicts and reasons.
Heads, protocols and problems are drawn with fixed seeds. About half a minute on one core per session.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from stage import TEST_HEADS

from haca3_bids.errors import BadInput
from haca3_bids.intensity.blank import blank_mask
from haca3_bids.interfaces.quality import as_scanned
from haca3_bids.physics.anatomy import Anatomy, builtin_head
from haca3_bids.physics.cohort import draw_sites, scans, sessions
from haca3_bids.physics.people import another_person, draw_life, draw_person
from haca3_bids.physics.scanner import moved, rician
from haca3_bids.preprocessing import session as steps
from haca3_bids.preprocessing.prior import brain_on_template_grid, tissue_regions, white_matter_core
from haca3_bids.preprocessing.registration import centre_of
from haca3_bids.preprocessing.template import Template, load_template
from haca3_bids.preprocessing.transforms import Matrix, similarity_matrix
from haca3_bids.quality.scan import AsScanned, Regions, air_above, measure_scan
from haca3_bids.quality.verdict import judge
from haca3_bids.records.files import to_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts, gathered
from haca3_bids.records.session import Quality
from haca3_bids.settings import REFERENCE_ORDER, PreprocessingSettings
from haca3_bids.training.heads import find_label_maps, load_heads
from haca3_bids.volumes.builtin import load_icbm2009a
from haca3_bids.volumes.volume import Volume

SEED = 7  # used when the limits were chosen
TROUBLES = ("noise", "motion", "registration", "half", "swap")
ONE_OF = (("T1w",), ("T2w",), ("T1w",), ("FLAIR",), ("T1w",), ("PDw",))  # contrasts of sessions, in turn
AGES = (30.0, 75.0)  # years
NOISE = (0.12, 0.25)  # standard deviation per channel relative to white matter; 0.12: the scan would be repeated
MOTION_VOXELS, MOTION_EVENTS = (4.0, 10.0), (3, 6)  # severity of 1 and more on the scale of the simulator
SHIFT_MM, TURN_DEG = (12.0, 30.0), (15.0, 35.0)
RIGHT_REASONS: Mapping[str, tuple[str, ...]] = {  # measures, or words of the sentence, that identify the problem
    "noise": ("noise", "air"),
    "motion": ("ghosts", "air_unevenness", "noise", "air", "motion or ghosts"),
    "registration": (
        "registration_similarity",
        "registration_distinctness",
        "brain_in_head",
        "rigid_shift_mm",
        "rigid_turn_deg",
        "The registration",
    ),
    "half": ("brain_seen", "brain_covered", "reaches", "is black", "are black", "spans only"),
    "swap": ("name_margin",),
}


@dataclass(frozen=True)
class Case:
    """One session to be simulated."""

    trouble: str  # one of TROUBLES, or "clean"
    number: int
    contrasts: tuple[str, ...]
    seed: int = SEED

    @property
    def rng(self) -> np.random.Generator:
        """The random generator of the case."""
        return np.random.default_rng([self.seed, (*TROUBLES, "clean").index(self.trouble), self.number])


def draw_cases(count: int, clean: int, seed: int = SEED) -> list[Case]:
    """Cases with alternating problems, then clean ones; swapped names require two contrasts."""
    planted = [
        Case(trouble, index, ("T1w", "T2w") if trouble == "swap" else ONE_OF[(index // len(TROUBLES)) % len(ONE_OF)])
        for index in range(count)
        for trouble in [TROUBLES[index % len(TROUBLES)]]
    ]
    cases = planted + [Case("clean", index, ONE_OF[index % len(ONE_OF)]) for index in range(clean)]
    return [replace(case, seed=seed) for case in cases]


def simulate(case: Case, heads: Sequence[Anatomy]) -> dict[str, Volume]:
    """The raw images of a session with its problem, unless that is one of registration."""
    rng = case.rng
    head = heads[int(rng.integers(len(heads)))]
    site = draw_sites(1, case.contrasts, rng)[0]
    person = draw_person("01", head, draw_life(head, AGES, False, rng), rng)
    (session,) = sessions(person, [site], rng)
    images = {scan.contrast: scan.image for scan in scans(session, rng)}
    if case.trouble == "swap":
        return {"T1w": images["T2w"], "T2w": images["T1w"]}
    contrast = case.contrasts[0]
    images[contrast] = troubled(images[contrast], site.scale, case, rng)
    return images


def troubled(image: Volume, white: float, case: Case, rng: np.random.Generator) -> Volume:
    """The image with the problem of the case; ``white`` is the intensity of white matter."""
    if case.trouble == "noise":
        return image.with_data(rician(image.data, float(white * rng.uniform(*NOISE)), rng))
    if case.trouble == "motion":
        voxels, events = rng.uniform(*MOTION_VOXELS), int(rng.integers(MOTION_EVENTS[0], MOTION_EVENTS[1] + 1))
        return image.with_data(moved(image.data, voxels, events, int(rng.integers(2)), rng))
    if case.trouble == "half":
        axis = int(rng.integers(3))
        middle = image.shape[axis] // 2
        if case.number // len(TROUBLES) % 2:  # half of the image is black
            data = image.data.copy()
            data[tuple(slice(middle if a == axis else 0, None) for a in range(3))] = 0
            return image.with_data(data)
        return Volume(image.data[tuple(slice(0, middle if a == axis else None) for a in range(3))], image.affine)
    return image


def displaced(rng: np.random.Generator, centre: NDArray[np.float64]) -> Matrix:
    """A random rigid error: a shift, a rotation, or both."""
    which = int(rng.integers(3))
    direction, axis = rng.normal(size=3), rng.normal(size=3)
    shift = direction / np.linalg.norm(direction) * rng.uniform(*SHIFT_MM) * (which != 1)
    turn = axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(*TURN_DEG)) * (which != 0)
    return similarity_matrix(turn, shift, 0.0, centre)


def prepare(
    images: Mapping[str, Volume], template: Template, settings: PreprocessingSettings, wrong: Matrix | None = None
) -> tuple[Preprocessing, dict[str, tuple[Volume, NDArray[np.bool_], AsScanned]], Regions]:
    """Preprocess a session as the App does; return its record, images (scaled, field of view, as scanned) and masks."""
    first = next(contrast for contrast in REFERENCE_ORDER if contrast in images)
    copies = {contrast: steps.for_registration(image, settings) for contrast, image in images.items()}
    alignment, facts = steps.registered(copies[first], template, settings)
    if wrong is not None:
        alignment, facts = steps.registered(copies[first], template, settings, alignment.rigid @ wrong)
    pieces = [Preprocessing(reference=first, registration=facts)]
    placed, pulls = {}, {}
    for contrast, image in images.items():
        pull, own = np.eye(4), ScanFacts()
        if contrast != first:
            pull, own = steps.coregistered(copies[contrast], copies[first], settings, contrast)
        field = steps.field_in_brain(image, template, alignment, pull, settings)
        pulls[contrast] = pull @ alignment.rigid
        placed[contrast] = steps.on_template_grid(image, field, template.head, pulls[contrast], settings)
        pieces.append(Preprocessing(contrasts={contrast: own}))
    head, _ = steps.head(placed[first][0], placed[first][1].data > 0.5, alignment)
    brain = brain_on_template_grid(template, alignment)
    others = tissue_regions(template, alignment) | {"air": air_above(brain)}
    regions = Regions(head, brain, white_matter_core(template, alignment), **others)
    done = {}
    for contrast, (image, covered) in placed.items():
        seen = covered.data > 0.5
        blank = ndimage.binary_dilation(blank_mask(copies[contrast].data))
        raw = as_scanned(copies[contrast], image, pulls[contrast], regions, seen, blank)
        done[contrast] = steps.scaled(image, regions.white & seen, None)[0], seen, raw
    return gathered(pieces), done, regions


def judged(case: Case, heads: Sequence[Anatomy], template: Template) -> tuple[Quality, Preprocessing]:
    """The verdict on a case, and its record; an error is a failure with that reason."""
    settings = PreprocessingSettings(template.name)
    images = simulate(case, heads)
    centre = centre_of(template.brain, template.brain.data > 0.5)
    wrong = displaced(case.rng, centre) if case.trouble == "registration" else None
    try:
        record, done, regions = prepare(images, template, settings, wrong)
    except BadInput as error:
        return Quality.failed(error.sentence), Preprocessing()
    for contrast, (image, seen, raw) in done.items():
        measured = ScanFacts(quality=measure_scan(image.data, seen, regions, contrast, raw))
        record = gathered([record, Preprocessing(contrasts={contrast: measured})])
    return judge(record, {}), record


def is_right(case: Case, verdict: Quality) -> bool:
    """Whether a clean case passes, or a problem is detected and identified."""
    if case.trouble == "clean":
        return verdict.verdict == "pass"
    wanted = RIGHT_REASONS[case.trouble]
    return any(word in (reason.measure, *reason.sentence.split()) or word in reason.sentence
               for reason in verdict.reasons for word in wanted)  # fmt: skip


def make_heads(labels: Path | None, cache: Path | None, strangers: int) -> list[Anatomy]:
    """Anatomies of all label maps outside the test set, else the built-in head and deformations of it."""
    if labels is None or cache is None:
        builtin = builtin_head(load_icbm2009a())
        return [builtin, *(another_person(builtin, np.random.default_rng([SEED, n])) for n in range(strangers))]
    found = {name: path for name, path in find_label_maps(labels).items() if not path.name.startswith(TEST_HEADS)}
    return load_heads(found, cache)[1:]


def main() -> None:
    """Judge all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, help="folder of head label maps")
    parser.add_argument("--cache", type=Path, help="where heads made of label maps are kept; needed with --labels")
    parser.add_argument("--strangers", type=int, default=5, help="heads made from the built-in one, without --labels")
    parser.add_argument("--cases", type=int, default=50, help="planted; 0: none")
    parser.add_argument("--clean", type=int, default=40)
    parser.add_argument(
        "--seed", type=int, default=SEED, help=f"of what is drawn; {SEED}: what the limits were chosen on"
    )
    parser.add_argument("--template", default="builtin")
    parser.add_argument("--records", type=Path, help="file to append the quality numbers to, one JSON object a line")
    args = parser.parse_args()
    if args.labels and not args.cache:
        parser.error("--labels needs --cache")
    template = load_template(args.template)
    heads = make_heads(args.labels, args.cache, args.strangers)
    right: dict[str, list[bool]] = {}
    for case in draw_cases(args.cases, args.clean, args.seed):
        verdict, record = judged(case, heads, template)
        right.setdefault(case.trouble, []).append(is_right(case, verdict))
        why = "; ".join(reason.sentence for reason in verdict.reasons) or "-"
        mark = "ok   " if right[case.trouble][-1] else "WRONG"
        print(f"{mark} {case.trouble:12} {'+'.join(case.contrasts):7} {verdict.verdict:5} {why}", flush=True)
        if args.records:
            with args.records.open("a") as file:
                file.write(to_json({"trouble": case.trouble, "number": case.number, "record": record}) + "\n")
    for trouble, found in right.items():
        print(f"{trouble:12} {sum(found)} of {len(found)} right")


if __name__ == "__main__":
    main()
