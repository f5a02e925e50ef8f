"""Harmonize single images, evaluate harmonization, train the networks, and simulate datasets."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from haca3_bids import __version__
from haca3_bids.cli import harmonize, weights
from haca3_bids.cli.command import Parser, exit_code_of
from haca3_bids.execution.environment import check_current_folder

LATE = {  # commands whose parsers need slow imports: built only when they are called
    "evaluate": ("haca3_bids.cli.evaluate", "measure the effect of harmonization"),
    "train": ("haca3_bids.cli.train", "train the networks"),
    "simulate": ("haca3_bids.cli.simulate", "simulate a BIDS dataset of several scanners"),
}
EARLY = {
    "harmonize": (harmonize, "harmonize coregistered images of one session"),
    "weights": (weights, "list, download, inspect and convert weights"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an expected failure is two lines on standard error and its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code_of("haca3", lambda: _run(given))


def _run(given: list[str]) -> int:
    parser = _parser(given[0] if given else "")
    check_current_folder()
    options = parser.parse_args(given)
    options.words = given  # reports show the command
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _parser(command: str) -> argparse.ArgumentParser:
    parser = Parser(prog="haca3", description=__doc__)
    parser.add_argument("--version", action="version", version=f"haca3 {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for name, (module, line) in EARLY.items():
        one = commands.add_parser(name, help=line, description=module.__doc__)
        module.add_arguments(one)
        one.set_defaults(run=module.main)
    for name, (path, line) in LATE.items():
        one = commands.add_parser(name, help=line)
        if name == command:
            late = importlib.import_module(path)
            one.description = late.HELP
            late.add_arguments(one)
            one.set_defaults(run=late.main)
    return parser


if __name__ == "__main__":
    sys.exit(main())
