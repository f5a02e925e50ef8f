"""``haca3-bids``: the command line of the BIDS App."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from haca3_bids import __version__
from haca3_bids.cli.command import Parser, exit_code_of
from haca3_bids.cli.configure import settings_from, to_toml
from haca3_bids.cli.options import make_parser
from haca3_bids.errors import exit_codes
from haca3_bids.execution.environment import check_current_folder, prepare_environment
from haca3_bids.execution.interrupt import stoppable


class _PrintDescriptor(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from haca3_bids.cli.descriptor import descriptor

        sys.stdout.write(descriptor())
        parser.exit(0)


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``haca3-bids``; wrong usage raises UsageError."""
    parser = Parser(
        prog="haca3-bids",
        description="Harmonize the contrast of brain MR images in a BIDS dataset, following HACA3.",
        epilog=f"exit codes: {' '.join(f'{code}: {text}' for code, text in exit_codes().items())}",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"haca3-bids {__version__}")
    parser.add_argument(
        "--bids-exec-spec", action=_PrintDescriptor, nargs=0, help="print the Boutiques descriptor and exit"
    )
    return make_parser(parser)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the App and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    kept = "Finished sessions are kept; run the same command again to resume."
    return exit_code_of("haca3-bids", lambda: _run(words), kept)


def _run(words: list[str]) -> int:
    check_current_folder()
    settings = settings_from(build_parser().parse_args(words))
    prepare_environment(settings)
    from haca3_bids.execution.run import run

    with stoppable():
        return run(settings, words=words, config=to_toml(settings))


if __name__ == "__main__":
    sys.exit(main())
