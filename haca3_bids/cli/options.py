"""The options of ``Settings`` as arguments of a parser."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from haca3_bids.option import Option, options_of
from haca3_bids.parse import path
from haca3_bids.settings import Settings

LEVELS = ("participant", "group")


GROUPS = [one.name for one in fields(Settings) if is_dataclass(one.default)]
OPTIONS: Mapping[str, tuple[Option, ...]] = {  # by heading of the help text
    group: tuple(option for option in options_of(Settings) if option.group == group) for group in GROUPS
}


def every_option() -> tuple[Option, ...]:
    """All options in the order of the help text."""
    return tuple(option for group in OPTIONS.values() for option in group)


def make_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the three positional arguments and all options of ``Settings`` to ``parser``."""
    parser.add_argument("bids_dir", type=path, metavar="BIDS_DIR", help="input BIDS dataset")
    parser.add_argument("output_dir", type=path, metavar="OUTPUT_DIR", help="output folder, a BIDS derivatives dataset")
    parser.add_argument("level", metavar="{participant,group}", help="analysis level")
    for title, options in OPTIONS.items():
        add_options(parser.add_argument_group(title), options)
    rest = parser.add_argument_group("other")
    rest.add_argument(
        "--config-file", type=path, metavar="FILE", help="TOML file of options, as saved in the logs of each run"
    )
    rest.add_argument("--notrack", action="store_true", help="accepted for compatibility; haca3-bids sends no data")
    return parser


def add_options(group: argparse._ArgumentGroup, options: Iterable[Option]) -> None:
    """Add options to a parser's group; options that are not given are None, so that other defaults can apply."""
    for option in options:
        how: dict[str, Any] = {"type": option.kind, "choices": option.choices or None, "metavar": option.metavar}
        if option.kind is None:
            how = {"action": "store_true" if option.default is False else "count"}
        elif option.many:
            how |= {"nargs": "+", "action": "extend"}
        group.add_argument(*option.flags, dest=option.dest, default=None, help=option.text.replace("%", "%%"), **how)


def typed(options: Iterable[Option], arguments: argparse.Namespace) -> dict[str, Any]:
    """The values that were given, by field."""
    words = ((option, getattr(arguments, option.dest)) for option in options)
    return {option.field: option.value(word) for option, word in words if word is not None}
