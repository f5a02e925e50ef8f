"""One option of the command line: how it is typed, what it fills, how it is added to a parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option: how it is typed, and which field of ``Settings`` it fills."""

    flags: tuple[str, ...]
    field: str  # "group.field" of Settings, "field" of Settings itself, or "" for what the parser answers alone
    help: str
    kind: Callable[[str], Any] | None = str  # turns one word into a value; None: a switch
    many: bool = False
    choices: tuple[str, ...] | None = None
    meanings: Mapping[str, Any] | None = None  # what each choice stands for in Settings, where not itself
    metavar: str | None = None
    show: Callable[[Any], Any] = str  # turns a value back into what was typed
    also: str = ""  # a second field that follows this one unless it is given itself

    @property
    def name(self) -> str:
        """The long flag without dashes: the key in the TOML file."""
        return next(flag for flag in self.flags if flag.startswith("--"))[2:]

    @property
    def dest(self) -> str:
        """The attribute in argparse's namespace."""
        return self.name.replace("-", "_")


def switch(flag: str, field: str, text: str) -> Option:
    """An option without a value."""
    return Option((flag,), field, text, kind=None)


def add_option(group: argparse._ArgumentGroup, option: Option) -> None:
    """Add the option to a parser's group; not typed, it stays None."""
    if option.kind is None:
        action = "count" if option.field.endswith("verbosity") else "store_true"
        group.add_argument(*option.flags, dest=option.dest, action=action, default=None, help=option.help)
        return
    arguments: dict[str, Any] = {"type": option.kind, "choices": option.choices, "metavar": option.metavar}
    if option.many:
        arguments |= {"nargs": "+", "action": "extend"}
    group.add_argument(*option.flags, dest=option.dest, default=None, help=option.help, **arguments)
