"""``haca3-bids``: the command line of the BIDS App."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from haca3_bids import __version__
from haca3_bids.cli.configure import settings_from, to_toml
from haca3_bids.cli.options import make_parser
from haca3_bids.errors import BadInput, Haca3Error, InputOutputFailure, Unavailable, UsageError
from haca3_bids.execution.environment import check_current_folder, prepare_environment
from haca3_bids.execution.interrupt import Terminated, stoppable

EPILOG = """exit codes: 0 all done; 1 at least one session failed, the others are done; 16 invalid BIDS; 17 unknown
analysis level; 18 nothing selected; 64 usage; 65 bad input data; 66 no T1w, T2w, PDw or FLAIR; 69 weights, template or
GPU not to be had; 73 cannot create output; 74 input/output error; 75 temporary, try again."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:]}.", "See haca3-bids --help.")


class _PrintDescriptor(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        sys.stdout.write(boutiques_descriptor())
        parser.exit(0)


def boutiques_descriptor() -> str:
    """The Boutiques descriptor that comes with the package."""
    here = files("haca3_bids")
    for place in (here / "boutiques.json", here / ".." / "boutiques.json"):
        if place.is_file():
            return place.read_text()
    raise Unavailable("This installation has no Boutiques descriptor.", "It stands in the project's source tree.")


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``haca3-bids``; wrong usage raises UsageError."""
    parser = _Parser(
        prog="haca3-bids",
        description="Harmonize the contrasts of the MR images of a BIDS dataset with HACA3.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"haca3-bids {__version__}")
    parser.add_argument("--bids-exec-spec", action=_PrintDescriptor, nargs=0, help="print the Boutiques descriptor")
    return make_parser(parser)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the App and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        check_current_folder()
        settings = settings_from(build_parser().parse_args(words))
        prepare_environment(settings)
        from haca3_bids.execution.run import run

        with stoppable():
            return run(settings, words=words, config=to_toml(settings))
    except Haca3Error as error:
        return _say(error)
    except OSError as error:
        expected = _expected(error)
        if expected is None:
            raise
        return _say(expected)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write("\nhaca3-bids: interrupted; finished sessions are kept, run the same command to go on.\n")
        return 143 if isinstance(interrupt, Terminated) else 130


def _expected(error: OSError) -> Haca3Error | None:
    """What an error of the system that nothing else took for its own amounts to; None for a bug."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE):
        name = Path(str(error.filename)).name if error.filename else "a file"
        return InputOutputFailure(f"Reading or writing {name} failed: {error.strerror}.", "Is the disk full?")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        sentence = f"There is no permission to read or write {error.filename or 'a file'} ({error.strerror})."
        return BadInput(sentence, "Check its owner and permissions, and those of the folders above it.")
    return None


def _say(error: Haca3Error) -> int:
    sys.stderr.write(f"haca3-bids: {error.sentence}\n")
    if error.hint:
        sys.stderr.write(f"            {error.hint}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
