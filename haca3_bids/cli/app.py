"""``haca3-bids``: the command line of the BIDS App."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from haca3_bids import __version__
from haca3_bids.cli.configure import settings_from, to_toml
from haca3_bids.cli.options import make_parser
from haca3_bids.errors import BadInput, Haca3Error, InputOutputFailure, UsageError, exit_codes
from haca3_bids.execution.environment import check_current_folder, prepare_environment
from haca3_bids.execution.interrupt import Terminated, stoppable


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:]}.", "See haca3-bids --help.")


class _PrintDescriptor(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from haca3_bids.cli.descriptor import descriptor

        sys.stdout.write(descriptor())
        parser.exit(0)


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``haca3-bids``; wrong usage raises UsageError."""
    parser = _Parser(
        prog="haca3-bids",
        description="Harmonize the contrast of brain MR images in a BIDS dataset with HACA3.",
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
        sys.stderr.write(
            "\nhaca3-bids: interrupted. Finished sessions are kept; run the same command again to resume.\n"
        )
        return interrupt.exit_code if isinstance(interrupt, Terminated) else 130


def _expected(error: OSError) -> Haca3Error | None:
    """The expected error behind an error of the system; None for a bug."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE):
        name = Path(str(error.filename)).name if error.filename else "a file"
        return InputOutputFailure(f"Reading or writing {name} failed: {error.strerror}.", "Is the disk full?")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        sentence = f"No permission to read or write {error.filename or 'a file'} ({error.strerror})."
        return BadInput(sentence, "Check its owner and permissions, and those of its parent folders.")
    return None


def _say(error: Haca3Error) -> int:
    sys.stderr.write(f"haca3-bids: {error.sentence}\n")
    if error.hint:
        sys.stderr.write(f"            {error.hint}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
