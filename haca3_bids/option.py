"""One declaration per option: a field of ``Settings`` that says how it is typed, what it changes, where it is reported.

Command lines, configuration files, the Boutiques descriptor, fingerprints, sidecars, pages and the reference page read
it from here.
"""

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from haca3_bids.errors import UsageError
from haca3_bids.parse import path, positive

Shaped = Literal["images", "targets"]
PARSERS: Mapping[Any, Callable[[str], Any] | None] = {bool: None, int: int, float: float, Path: path}


def as_typed(value: Any) -> Any:
    """A value as it is typed: numbers as they are, all else as text."""
    return value if isinstance(value, int | float) else str(value)


LARGEST = 2**31 - 2  # whole number: ANTs takes signed 32-bit numbers, and gets one more than the seed


@dataclass(frozen=True)
class Option:
    """One option. What the declaration leaves out comes from the field: its name, its type, its group."""

    help: str = ""  # without it the field is not an option: the program fills it
    flags: tuple[str, ...] = ()
    field: str = ""  # "group.name" in Settings, or "name"
    group: str = ""  # heading in the help, table in a configuration file
    kind: Callable[[str], Any] | None = str  # parses one word; None: a switch
    show: Callable[[Any], Any] = as_typed  # the inverse of kind
    many: bool = False
    allowed: tuple[str, ...] = ()  # the values of a Literal
    choices: tuple[str, ...] = ()  # what the command lines offer
    meanings: Mapping[str, Any] | None = None  # the value that each choice stands for, where it is not the word itself
    metavar: str | None = None
    least: int | None = None
    default: Any = None
    also: str = ""  # another field that gets the same value unless it is given itself
    exists: bool = False  # a path that must exist
    act: bool = False  # a request for this run only, not kept in its configuration file
    shapes: tuple[Shaped, ...] = ("images", "targets")  # what it can change: whose fingerprints hold it
    label: str = ""  # its key in the sidecars of harmonized images and its row on their pages; "": not reported

    @property
    def name(self) -> str:
        """The long flag without dashes: the key in a configuration file."""
        return next(flag for flag in self.flags if flag.startswith("--"))[2:]

    @property
    def dest(self) -> str:
        """The attribute in argparse's namespace."""
        return self.name.replace("-", "_")

    @property
    def text(self) -> str:
        """The help with the default."""
        if self.kind is None or self.default in (None, "", ()):
            return self.help
        shown = self.shown(self.default)
        return f"{self.help} (default: {' '.join(map(str, shown)) if self.many else shown})"

    def shown(self, value: Any) -> Any:
        """The value as it is typed and as it stands in a configuration file."""
        if self.kind is None:
            return value
        if self.meanings is not None:
            return next(word for word, meaning in self.meanings.items() if meaning == value)
        return [self.show(one) for one in value] if self.many else self.show(value)

    def value(self, typed: Any) -> Any:
        """The value that is meant by parsed words."""
        if self.meanings is not None:
            return self.meanings[typed]
        return tuple(dict.fromkeys(typed)) if self.many else typed

    def check(self, value: Any) -> None:
        """UsageError where a value is not allowed."""
        wrong = [one for one in (value if self.many else (value,)) if self.allowed and one not in self.allowed]
        if wrong:
            raise UsageError(f"--{self.name} {wrong[0]} is invalid.", f"Choose from {', '.join(self.allowed)}.")
        if self.least is not None and value is not None and value < self.least:
            raise UsageError(f"--{self.name} {value} is invalid.", f"Give {self.least} or more.")
        if isinstance(value, int) and value > LARGEST:
            raise UsageError(f"--{self.name} {value} is invalid.", f"Give {LARGEST} or less.")


def setting(default: Any, text: str = "", flags: str = "", **more: Any) -> Any:
    """A field with its default value; with a text it is an option, and ``more`` are attributes of ``Option``."""
    return field(default=default, metadata={"option": Option(text, tuple(flags.split()), default=default, **more)})


class Checked:
    """Settings whose values are checked when they are made."""

    def __post_init__(self) -> None:
        for option in options_of(type(self)):
            option.check(getattr(self, option.field))


def options_of(settings: type) -> tuple[Option, ...]:
    """The options among the fields of a class of settings, and of the groups within it."""
    return tuple(option for option in _walk(settings) if option.help)


def _walk(settings: type, group: str = "") -> Iterator[Option]:
    hints = get_type_hints(settings)
    for one in fields(settings):
        if is_dataclass(hints[one.name]):
            yield from _walk(hints[one.name], one.name)
        elif "option" in one.metadata:
            yield _completed(one.metadata["option"], one.name, hints[one.name], group)


def _completed(declared: Option, name: str, hint: Any, group: str) -> Option:
    """The option, completed from the type of its field."""
    kind, many = _one_of(hint)
    allowed = get_args(kind) if get_origin(kind) is Literal else ()
    own = positive if declared.least == 1 else PARSERS.get(kind, str)
    return replace(
        declared,
        field=f"{group}.{name}" if group else name,
        flags=declared.flags or (f"--{name.replace('_', '-')}",),
        group=declared.group or group,
        kind=declared.kind if declared.kind is not str or declared.meanings else own,
        many=many,
        allowed=allowed,
        choices=declared.choices or tuple(declared.meanings or ()) or allowed,
        metavar=declared.metavar or {int: "N", float: "X"}.get(kind),
    )


def _one_of(hint: Any) -> tuple[Any, bool]:
    """The type of one word of ``X``, ``X | None`` or ``tuple[X, ...]``, and whether there may be many."""
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return arguments[0], False
    if get_origin(hint) is tuple and arguments[-1] is Ellipsis:
        return arguments[0], True
    return hint, False


def shaping(settings: Any, what: Shaped) -> dict[str, Any]:
    """The values of one group that can change ``what``."""
    declared = {one.name: one.metadata.get("option", Option()) for one in fields(settings)}
    return {name: getattr(settings, name) for name, option in declared.items() if what in option.shapes}


def labels(settings: type) -> dict[str, str]:
    """The fields of one group that are reported, each with its label."""
    return {option.field: option.label for option in options_of(settings) if option.label}
