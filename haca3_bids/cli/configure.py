"""Settings from a command line and a TOML file, and back to TOML."""

import argparse
import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from haca3_bids.bids.lenient import read_text
from haca3_bids.bids.names import LABEL_RULE, is_label
from haca3_bids.cli.options import LEVELS, OPTIONS, every_option, typed
from haca3_bids.errors import UnknownLevel, UsageError
from haca3_bids.option import Option
from haca3_bids.quality.thresholds import with_changes
from haca3_bids.settings import TEMPLATE_SPACES, HarmonizationSettings, Settings, Space

LABEL_COLUMNS = ("participant_id", "session_id")
TABLES = "Options are in tables such as [harmonization], as in logs/<run>/config.toml."
FILE_RULE = "A text file of labels must be given with a slash or an extension: ./FILE."
LABELS = {"selection.participants": "sub-", "selection.sessions": "ses-"}


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Settings of a parsed command line: typed options first, then the file of ``--config-file``, then defaults."""
    if arguments.level not in LEVELS:
        raise UnknownLevel(f"'{arguments.level}' is not an analysis level.", "Use 'participant' or 'group'.")
    given = {} if arguments.config_file is None else read_config(arguments.config_file)
    given |= typed(every_option(), arguments)
    values: dict[str, Any] = {}
    for option in every_option():
        if option.field in given:
            value, prefix = given[option.field], LABELS.get(option.field)
            values[option.field] = value if prefix is None else read_labels(value, prefix)
            if option.also and option.also not in given:
                values[option.also] = value
    return _checked(_filled(Settings(arguments.bids_dir, arguments.output_dir, arguments.level), values))


def _filled(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with values by "group.name" or "name"; those of a group are set, and checked, together."""
    groups: dict[str, dict[str, Any]] = {}
    for field, value in values.items():
        group, _, name = field.rpartition(".")
        groups.setdefault(group, {})[name] = value
    own = groups.pop("", {})
    parts = {group: dataclasses.replace(getattr(settings, group), **made) for group, made in groups.items()}
    return dataclasses.replace(settings, **own, **parts)


def read_labels(words: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Labels without prefix, each once, in order; a text file is replaced by the labels in it, one per line.

    Only words with a slash or an extension can be files, so that a file called ``01`` does not hide the label.
    """
    labels: list[str] = []
    for word in words:
        lines = _lines(word) if "/" in word or Path(word).suffix else [word]
        labels += [line.removeprefix(prefix) for line in lines]
    for label in labels:
        if not is_label(label):
            raise UsageError(f"'{label}' is not a BIDS label or a file of labels.", f"{LABEL_RULE} {FILE_RULE}")
    return tuple(dict.fromkeys(labels))


def _lines(word: str) -> list[str]:
    """The first word of each line of a file of labels; the word itself if there is no such file."""
    path = Path(word).expanduser()
    try:
        if not path.is_file():
            return [word]
        lines = [re.split(r"[\t,;]", line)[0].strip() for line in read_text(path).splitlines()]
    except OSError as error:
        raise UsageError(f"Cannot read the file of labels {path} ({error.strerror}).") from error
    return [line for line in lines if line and not line.startswith("#") and line.casefold() not in LABEL_COLUMNS]


def read_config(path: Path) -> dict[str, Any]:
    """Values by field from a TOML file with one table per group and one key per option."""
    try:
        tables = tomllib.loads(read_text(path))
    except OSError as error:
        sentence = f"The configuration file {path} cannot be read ({error.strerror})."
        raise UsageError(sentence, "Check its path.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{path.name} is not valid TOML: {error}.") from error
    values: dict[str, Any] = {}
    for title, table in tables.items():
        known = {option.name: option for option in OPTIONS.get(title, ())}
        for key, value in table.items() if isinstance(table, Mapping) else [("", table)]:
            if key not in known:
                name = ".".join(filter(None, (title, key)))
                raise UsageError(f"'{name}' in {path.name} is not an option of haca3-bids.", TABLES)
            values[known[key].field] = _from_toml(known[key], value, path.name)
    return values


def _from_toml(option: Option, value: Any, source: str) -> Any:
    if option.kind is None:
        if not isinstance(value, bool | int):
            raise UsageError(f"{source}: {option.name} must be true or false, not {value!r}.")
        return value
    words = [str(word) for word in (value if isinstance(value, list) else [value])]
    wrong = [word for word in words if option.choices and word not in option.choices]
    if wrong or (not option.many and len(words) != 1):
        wanted = f"one of {', '.join(option.choices)}" if option.choices else "a single value"
        raise UsageError(f"{source}: {option.name} must be {wanted}, not {value!r}.")
    try:
        made = [option.kind(word) for word in words]
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UsageError(f"{source}: {option.name}: {error}.") from error
    return option.value(made if option.many else made[0])


def to_toml(settings: Settings) -> str:
    """The options that differ from their defaults, as ``--config-file`` reads them."""
    import tomli_w

    tables: dict[str, dict[str, Any]] = {}
    for option in every_option():
        value = attrgetter(option.field)(settings)
        if value != option.default and not option.act:
            tables.setdefault(option.group, {})[option.name] = option.shown(value)
    return tomli_w.dumps(tables)


def _checked(settings: Settings) -> Settings:
    """The settings with the template's own label replaced by 'template'; UsageError if options contradict."""
    outputs = settings.outputs
    with_changes(settings.quality.thresholds)
    check_samples(settings.harmonization, outputs.extras)
    check_dry_run(settings)
    space = TEMPLATE_SPACES[settings.preprocessing.template]
    spaces: tuple[Space, ...] = tuple("template" if word == space else word for word in outputs.spaces)
    for word in spaces:
        if word not in ("template", "native"):
            raise UsageError(
                f"--output-spaces {word} cannot be combined with --template {settings.preprocessing.template}, "
                f"whose space is {space}."
            )
    ordered: tuple[Space, ...] = ("template", "native") if "native" in spaces else ("template",)
    return dataclasses.replace(settings, outputs=dataclasses.replace(outputs, spaces=ordered))


def check_samples(settings: HarmonizationSettings, extras: Iterable[str]) -> None:
    """UsageError if several samples are impossible, or required."""
    if settings.samples > 1 and settings.beta != "sample":
        raise UsageError("--samples needs --beta sample.", "Without sampling, all images would be the same.")
    if "std" in extras and settings.samples < 2:
        raise UsageError("--extra-outputs std needs --beta sample and --samples 2 or more.")


def check_dry_run(settings: Settings) -> None:
    """UsageError if a dry run is requested of something that only writes."""
    execution = settings.execution
    if not execution.dry_run:
        return
    acts = {
        "--boilerplate-only": execution.boilerplate_only,
        "--reports-only": execution.reports_only,
        "the group level": settings.level == "group",
    }
    for act, wanted in acts.items():
        if wanted:
            raise UsageError(f"--dry-run cannot be combined with {act}.", "It shows the plan of the participant level.")
