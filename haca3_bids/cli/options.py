"""The command line of ``haca3-bids`` as one table: parser, TOML file and documentation are made from it.

What can change a voxel stands here, what only judges, reports and runs in ``running``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from haca3_bids.cli.kinds import named_folder, path, positive, show_named_folder
from haca3_bids.cli.option import Option, add_option, switch
from haca3_bids.cli.running import RUNNING
from haca3_bids.settings import BETAS, CONTRASTS

LEVELS = ("participant", "group")
PRECISIONS = ("fp32", "bf16")
EXTRAS = ("beta", "attention", "std")


OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "selection": (
        Option(
            ("--participant-label", "--participant_label"),
            "selection.participants",
            "participants to process, with or without 'sub-', or a file of labels, one a line",
            many=True,
            metavar="LABEL",
        ),
        Option(
            ("--session-label", "--session-id"),
            "selection.sessions",
            "sessions to process, with or without 'ses-', or a file of labels, one a line",
            many=True,
            metavar="LABEL",
        ),
        Option(
            ("--modalities",),
            "selection.modalities",
            "contrasts that serve as sources (default: all that are found)",
            many=True,
            choices=CONTRASTS,
        ),
        Option(
            ("--bids-filter-file",),
            "selection.filter_file",
            "JSON with the keys t1w, t2w, pdw, flair, each an object of entities and the values wanted; "
            "null: must be absent, '*': any",
            kind=path,
            metavar="FILE",
        ),
        Option(
            ("--bids-database-dir",),
            "selection.database_dir",
            "folder of a pybids database of the dataset, kept for other tools: made when it is missing, anew when it "
            "is not of the dataset as it is; images are always looked for in the dataset itself",
            kind=path,
            metavar="DIR",
        ),
        switch("--skip-bids-validation", "selection.skip_validation", "do not run the BIDS validator on the input"),
        Option(
            ("-d", "--derivatives"),
            "selection.derivatives",
            "earlier derivatives: their masks of brain and head and their rigid transforms are taken instead of being "
            "computed",
            kind=named_folder,
            many=True,
            metavar="NAME=PATH",
            show=show_named_folder,
        ),
    ),
    "preprocessing": (
        Option(
            ("--template",),
            "preprocessing.template",
            "MNI152NLin2009cSym (of TemplateFlow; the default), or 'builtin': skull-stripped, needs no network",
            metavar="NAME",
            choices=("MNI152NLin2009cSym", "builtin"),
        ),
        Option(
            ("--random-seed",),
            "preprocessing.seed",
            "seed of everything drawn by chance; --seed overrides it for the networks",
            kind=int,
            metavar="N",
            show=int,
            also="harmonization.seed",
        ),
        Option(
            ("--force",),
            "preprocessing.force",
            "go on with a warning where an alignment is too poor to be trusted (registration), or where a header does "
            "not say where left and right are (orientation)",
            many=True,
            choices=("registration", "orientation"),
        ),
        Option(
            ("--super-resolution",),
            "preprocessing.super_resolution",
            "make thin slices of thick ones first: builtin (a network trained on the scan itself) or eclare (the "
            "separate program); default: none, splines",
            choices=("none", "builtin", "eclare"),
        ),
        switch(
            "--longitudinal",
            "preprocessing.longitudinal",
            "all sessions of a subject in one unbiased rigid frame, with the same crop and masks",
        ),
        switch("--sloppy", "preprocessing.sloppy", "coarse and fast preprocessing, for trying things out only"),
    ),
    "harmonization": (
        Option(
            ("--target",),
            "targets",
            "the contrast wanted: a contrast (its built-in reference), an image, sub-X[_ses-Y] of the dataset, several "
            "sessions (sub-*_ses-2 or a text file of names: their mean), a protocol (T1w=MPRAGE:field=3,tr=2300,ti=900 "
            "or T1w=SIDECAR.json), intensities of tissues (T1w:grey=0.75,csf=0.2), or theta of HACA3 weights "
            "(T1w:theta0,theta1[,eta0,eta1]); default: the built-in reference of every contrast a session has",
            many=True,
            metavar="[NAME=]VALUE",
        ),
        Option(("--weights",), "harmonization.weights", "builtin, haca3, haca3plus, or a file", metavar="NAME|FILE"),
        Option(
            ("--fusion-weights",),
            "harmonization.fusion_weights",
            "how HACA3 weights fuse the three orientations: fusion (the authors' network), a file, or 'median'; auto "
            "(default): the authors' network with their weights, else the median",
            metavar="NAME|FILE",
        ),
        Option(
            ("--variant",),
            "harmonization.variant",
            "form of the attention (default: the one the weights were made for)",
            choices=("haca3", "haca3plus"),
        ),
        Option(
            ("--engine",),
            "harmonization.like_authors",
            "haca3 (default), or 'authors': the arithmetic of the released program",
            choices=("haca3", "authors"),
            meanings={"haca3": False, "authors": True},
        ),
        Option(
            ("--background",),
            "harmonization.background",
            "how the background is found before the networks see the image",
            choices=("otsu", "none"),
        ),
        Option(
            ("--precision",),
            "harmonization.precision",
            "arithmetic of the networks; bf16 is faster on GPUs and processors that have it (AVX512-BF16, AMX)",
            choices=PRECISIONS,
        ),
        Option(
            ("--beta",),
            "harmonization.beta",
            "anatomy of HACA3 weights: the likeliest level (argmax), or a level drawn from the probabilities, as the "
            "authors do (sample)",
            choices=BETAS,
        ),
        Option(
            ("--samples",),
            "harmonization.samples",
            "images drawn with --beta sample: the output is their mean",
            kind=positive,
            metavar="K",
            show=int,
        ),
        Option(
            ("--seed",),
            "harmonization.seed",
            "seed of the networks' draws with --beta sample",
            kind=int,
            metavar="N",
            show=int,
        ),
    ),
    "outputs": (
        Option(
            ("--output-spaces",),
            "outputs.spaces",
            "grids of the harmonized images: the template's (always written), and 'native', that of the "
            "session's reference scan",
            many=True,
            choices=("template", "native", "MNI152NLin2009cSym", "MNI152NLin2009aSym"),
        ),
        Option(
            ("--extra-outputs",),
            "outputs.extras",
            "further images: the anatomy (beta), attention maps, standard deviation of the samples (std)",
            many=True,
            choices=EXTRAS,
        ),
    ),
    **RUNNING,
}


def every_option() -> tuple[Option, ...]:
    """All options in the order of the help text."""
    return tuple(option for group in OPTIONS.values() for option in group)


def make_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Give ``parser`` the three positional arguments and every option of the table.

    Options that are not typed stay None, so that a configuration file or the defaults of Settings can fill them.
    """
    parser.add_argument("bids_dir", type=path, metavar="BIDS_DIR", help="the input dataset")
    parser.add_argument("output_dir", type=path, metavar="OUTPUT_DIR", help="the derivatives dataset to write")
    parser.add_argument("level", metavar="{participant,group}", help="the level of the analysis")
    for title, options in OPTIONS.items():
        group = parser.add_argument_group(title)
        for option in options:
            add_option(group, option)
    rest = parser.add_argument_group("other")
    rest.add_argument(
        "--config-file", type=path, metavar="FILE", help="TOML of options, as a run writes it in its logs"
    )
    rest.add_argument("--notrack", action="store_true", help="accepted for compatibility; nothing is ever sent")
    return parser
