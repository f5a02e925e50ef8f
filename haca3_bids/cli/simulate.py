"""``haca3 simulate``: a BIDS dataset of simulated people at simulated sites, and the truth behind it."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haca3_bids.cli.command import add_number, check_least
from haca3_bids.errors import CannotCreate, UsageError
from haca3_bids.settings import CONTRASTS

if TYPE_CHECKING:
    from haca3_bids.physics.anatomy import Anatomy
    from haca3_bids.physics.cohort import Course

HELP = "Simulate a BIDS dataset of several subjects and scanners, with the ground truth."
BUILTIN_NOTE = (
    "Simulated from the built-in head (ICBM 2009a brain with skull and scalp added), which the built-in weights "
    "were not trained on: a demonstration, not a measure of quality."
)
LIFE_STREAM, BAD_STREAM = 1, 2  # generators of their own: ages, lesions and artifacts leave everything else as it was


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``haca3 simulate``."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to create; must be empty if it exists")
    add_number(parser, "--sites", 2, "number of sites")
    add_number(parser, "--subjects", 1, "number of subjects")
    parser.add_argument("--contrasts", nargs="+", choices=CONTRASTS, default=["T1w", "T2w"], help="default: T1w T2w")
    parser.add_argument("--travelling", action="store_true", help="scan each subject at every site (default: at one)")
    add_number(parser, "--sessions", 1, "sessions per subject and site")
    parser.add_argument("--years", type=float, default=1.0, help="time between sessions in years (default: 1)")
    parser.add_argument(
        "--ages",
        type=float,
        nargs=2,
        metavar=("YOUNGEST", "OLDEST"),
        default=(30.0, 80.0),
        help="range of ages at the first session (default: 30 80); label maps are assumed to show 30-year-olds",
    )
    parser.add_argument("--lesions", action="store_true", help="add lesions as in multiple sclerosis to every subject")
    parser.add_argument(
        "--artifacts",
        action="store_true",
        help="add strong noise, motion, ghosting or a cropped field of view to some scans",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--labels", type=Path, help="folder of head label maps (BrainWeb, FreeSurfer or SynthSeg)")
    source.add_argument("--builtin-head", action="store_true", help="head based on nilearn's ICBM brain (default)")
    add_number(parser, "--seed", 0, "random seed")


def main(args: argparse.Namespace) -> int:
    """Write the dataset; 0 when done."""
    course = _checked(args)
    import numpy as np

    from haca3_bids.bids.simulated import describe_dataset, write_people, write_rows, write_session
    from haca3_bids.physics.cohort import draw_sites, scans, sessions
    from haca3_bids.physics.people import draw_life, draw_person

    rng = np.random.default_rng(args.seed)
    sites = draw_sites(args.sites, args.contrasts, rng)
    anatomies = _anatomies(args, rng)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreate(f"{args.out} cannot be created ({error.strerror}).", "Choose a new folder.") from error
    describe_dataset(args.out, "Simulated images." if args.labels else BUILTIN_NOTE, _command(args))
    rows, people = [], []
    for index, anatomy in enumerate(anatomies):
        life_rng = np.random.default_rng((args.seed, index, LIFE_STREAM))
        bad_rng = np.random.default_rng((args.seed, index, BAD_STREAM)) if course.artifacts else None
        life = draw_life(anatomy, tuple(args.ages), args.lesions, life_rng)
        person = draw_person(f"{index + 1:02d}", anatomy, life, rng)
        visited = sites if args.travelling else [sites[index % len(sites)]]
        people.append((person, "+".join(site.name for site in visited)))
        for session in sessions(person, visited, rng, course):
            rows.append(write_session(session, scans(session, rng, bad_rng), args.out))
            print(f"sub-{person.label} ses-{session.label}: {' '.join(args.contrasts)}", flush=True)
    write_people(people, args.out)
    write_rows(rows, args.out)
    return 0


def _checked(args: argparse.Namespace) -> Course:
    """When each subject is scanned; impossible options are rejected before anything is written."""
    from haca3_bids.physics.ageing import AGE_OF_MAPS
    from haca3_bids.physics.cohort import Course
    from haca3_bids.physics.people import OLDEST

    check_least(args, sites=1, subjects=1, sessions=1, seed=0)
    youngest, oldest = args.ages
    if not AGE_OF_MAPS <= youngest <= oldest <= OLDEST:
        raise UsageError(
            f"--ages {youngest:g} {oldest:g} is invalid.",
            f"Two ages between {AGE_OF_MAPS:g} and {OLDEST:g} are needed, the younger one first.",
        )
    if not 0 < args.years < float("inf"):
        raise UsageError(f"--years {args.years:g} is not above zero.", "Give the time between two sessions in years.")
    if (last := oldest + args.years * (args.sessions - 1)) > OLDEST:
        raise UsageError(
            f"The oldest subjects could be {last:g} years old at their last session; the limit is {OLDEST:g}.",
            f"Lower the second age of --ages ({oldest:g}), --sessions ({args.sessions}) or --years ({args.years:g}).",
        )
    if args.out.exists() and not args.out.is_dir():
        raise CannotCreate(f"{args.out} is a file.", "Choose a new folder.")
    if args.out.exists() and any(args.out.iterdir()):
        raise CannotCreate(f"{args.out} is not empty.", "Choose a new folder.")
    return Course(tuple(args.years * visit for visit in range(args.sessions)), args.artifacts)


def _command(args: argparse.Namespace) -> str:
    """The command line without paths, so that the dataset can be shared and made again."""
    flags = [f"--{name}" for name in ("travelling", "lesions", "artifacts") if getattr(args, name)]
    numbers = [
        f"--{name} {_exactly(getattr(args, name))}" for name in ("sites", "subjects", "sessions", "years", "seed")
    ]
    ages = "--ages " + " ".join(map(_exactly, args.ages))
    labels = ["--labels LABELS"] if args.labels else []
    return " ".join(["haca3 simulate OUT", *numbers, ages, "--contrasts", *args.contrasts, *flags, *labels])


def _exactly(number: float) -> str:
    """The shortest text that gives the same number when it is read."""
    return repr(number).removesuffix(".0")


def _anatomies(args: argparse.Namespace, rng: Any) -> list[Anatomy]:
    """As many anatomies as subjects: the first as they are, then deformed ones."""
    from haca3_bids.physics.anatomy import builtin_head
    from haca3_bids.physics.people import another_person
    from haca3_bids.training.heads import find_label_maps, head_from_labels
    from haca3_bids.volumes.builtin import load_icbm2009a

    builtin = builtin_head(load_icbm2009a())
    maps = islice(find_label_maps(args.labels).items(), args.subjects) if args.labels else ()
    heads = [head_from_labels(path, builtin, name) for name, path in maps] or [builtin]
    return [
        h if i < len(heads) else another_person(h, rng) for i in range(args.subjects) for h in [heads[i % len(heads)]]
    ]
