"""From what was typed, and a TOML file, to Settings; and from Settings back to TOML."""

from __future__ import annotations

import argparse
import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from haca3_bids.bids.lenient import read_text
from haca3_bids.bids.names import LABEL_RULE, is_label
from haca3_bids.cli.option import Option
from haca3_bids.cli.options import LEVELS, OPTIONS, every_option
from haca3_bids.errors import UnknownLevel, UsageError
from haca3_bids.quality.thresholds import with_changes
from haca3_bids.settings import Settings

LABEL_COLUMNS = ("participant_id", "session_id")
FILE_RULE = "A file of labels is given with a slash or an extension: ./FILE."
LABELS = {"participants": "sub-", "sessions": "ses-"}
NOT_KEPT = ("dry-run", "reports-only", "boilerplate-only", "clean-workdir", "reprocess")  # acts, not settings
TEMPLATE_SPACES = {"MNI152NLin2009cSym": "MNI152NLin2009cSym", "builtin": "MNI152NLin2009aSym"}


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Settings of a parsed command line: typed options first, then the file of ``--config-file``, then defaults."""
    if arguments.level not in LEVELS:
        raise UnknownLevel(
            f"'{arguments.level}' is no analysis level of haca3-bids.", "The levels are 'participant' and 'group'."
        )
    given: dict[str, Any] = {} if arguments.config_file is None else read_config(arguments.config_file)
    given |= {option.dest: _meant(option, arguments) for option in every_option() if _typed(option, arguments)}
    settings = Settings(arguments.bids_dir, arguments.output_dir, arguments.level)
    for option in every_option():
        if option.dest in given:
            settings = _with(settings, option.field, given[option.dest])
            if option.also and not any(other.field == option.also and other.dest in given for other in every_option()):
                settings = _with(settings, option.also, given[option.dest])
    return _checked(settings)


def _typed(option: Option, arguments: argparse.Namespace) -> bool:
    return getattr(arguments, option.dest) is not None


def _meant(option: Option, arguments: argparse.Namespace) -> Any:
    return _frozen(option, getattr(arguments, option.dest))


def _frozen(option: Option, value: Any) -> Any:
    if option.meanings is not None:
        return option.meanings[value]
    if not option.many:
        return value
    prefix = LABELS.get(option.field.rpartition(".")[2])
    return tuple(dict.fromkeys(value)) if prefix is None else read_labels(value, prefix)


def _with(settings: Settings, field: str, value: Any) -> Settings:
    group, _, name = field.rpartition(".")
    if not group:
        return dataclasses.replace(settings, **{name: value})
    part = dataclasses.replace(getattr(settings, group), **{name: value})
    return dataclasses.replace(settings, **{group: part})


def read_labels(words: list[str], prefix: str) -> tuple[str, ...]:
    """Labels without prefix, each once, in order; a word that is a file stands for the labels in it, one a line.

    Only a word with a slash or an extension is looked for as a file: a file called ``01`` hides no label.
    """
    labels: list[str] = []
    for word in words:
        lines = _lines(word) if "/" in word or Path(word).suffix else [word]
        labels += [line.removeprefix(prefix) for line in lines]
    for label in labels:
        if not is_label(label):
            raise UsageError(f"'{label}' is no BIDS label and no file of labels.", f"{LABEL_RULE} {FILE_RULE}")
    return tuple(dict.fromkeys(labels))


def _lines(word: str) -> list[str]:
    """The first word of each line of a file of labels; what was typed where there is no such file."""
    path = Path(word).expanduser()
    try:
        if not path.is_file():
            return [word]
        lines = [re.split(r"[\t,;]", line)[0].strip() for line in read_text(path).splitlines()]
    except OSError as error:
        raise UsageError(f"The file of labels {path} cannot be read ({error.strerror}).") from error
    return [line for line in lines if line and not line.startswith("#") and line.casefold() not in LABEL_COLUMNS]


def read_config(path: Path) -> dict[str, Any]:
    """Values by option from a TOML file: one table a group, one key an option."""
    try:
        tables = tomllib.loads(read_text(path))
    except OSError as error:
        raise UsageError(f"The configuration file {path} cannot be read ({type(error).__name__}).") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}.") from error
    values: dict[str, Any] = {}
    for title, table in tables.items():
        known = {option.name: option for option in OPTIONS.get(title, ())}
        for key, value in table.items() if isinstance(table, Mapping) else [("", table)]:
            if key not in known:
                raise UsageError(f"{path.name} has '{title}.{key}', which is no option of haca3-bids.")
            values[known[key].dest] = _from_toml(known[key], value, path.name)
    return values


def _from_toml(option: Option, value: Any, source: str) -> Any:
    if option.kind is None:
        if not isinstance(value, bool | int):
            raise UsageError(f"{source}: {option.name} is a switch and wants true or false, not {value!r}.")
        return value
    words = [str(word) for word in (value if isinstance(value, list) else [value])]
    wrong = [word for word in words if option.choices and word not in option.choices]
    if wrong or (not option.many and len(words) != 1):
        wanted = ", ".join(option.choices or ("one value",))
        raise UsageError(f"{source}: {option.name} is {value!r}; possible are: {wanted}.")
    try:
        made = [option.kind(word) for word in words]
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UsageError(f"{source}: {option.name}: {error}.") from error
    return _frozen(option, made if option.many else made[0])


def to_toml(settings: Settings) -> str:
    """The options that differ from their defaults, as ``--config-file`` reads them."""
    import tomli_w

    default = Settings(settings.bids_dir, settings.output_dir)
    tables: dict[str, dict[str, Any]] = {}
    for title, options in OPTIONS.items():
        for option in options:
            value = _field(settings, option.field)
            if value != _field(default, option.field) and option.name not in NOT_KEPT:
                tables.setdefault(title, {})[option.name] = _shown(option, value)
    return tomli_w.dumps(tables)


def _field(settings: Settings, field: str) -> Any:
    value: Any = settings
    for name in field.split("."):
        value = getattr(value, name)
    return value


def _shown(option: Option, value: Any) -> Any:
    if option.kind is None:
        return value
    if option.meanings is not None:
        return next(word for word, meaning in option.meanings.items() if meaning == value)
    return [option.show(one) for one in value] if option.many else option.show(value)


def _checked(settings: Settings) -> Settings:
    """The settings with the template's own label read as 'template'; UsageError where options contradict."""
    harmonization, outputs = settings.harmonization, settings.outputs
    with_changes(settings.quality.thresholds)
    if harmonization.samples > 1 and harmonization.beta != "sample":
        raise UsageError("--samples needs --beta sample: without drawing, all samples are the same image.")
    if "std" in outputs.extras and harmonization.samples < 2:
        raise UsageError("--extra-outputs std needs --beta sample and --samples 2 or more.")
    space = TEMPLATE_SPACES[settings.preprocessing.template]
    spaces = tuple("template" if word == space else word for word in outputs.spaces)
    for word in spaces:
        if word not in ("template", "native"):
            raise UsageError(
                f"--output-spaces {word} does not go with --template {settings.preprocessing.template}, "
                f"whose space is {space}."
            )
    ordered = ("template",) + (("native",) if "native" in spaces else ())
    return dataclasses.replace(settings, outputs=dataclasses.replace(outputs, spaces=ordered))
