"""Tables of the reference pages, made from the program itself so that they cannot drift apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from haca3_bids import errors
from haca3_bids.bids.choice import RULE
from haca3_bids.cli.evaluate import EXPERIMENTS
from haca3_bids.cli.options import OPTIONS
from haca3_bids.option import Option
from haca3_bids.quality.thresholds import THRESHOLDS, Threshold
from haca3_bids.records.findings import Column


def option_lines() -> Iterator[str]:
    """Every option of haca3-bids as a definition list, group by group."""
    for title, options in OPTIONS.items():
        yield f"**{title}**\n"
        for option in options:
            yield f"`{', '.join(_flags(option))}`\n: {option.text}{_choices(option)}{_reported(option)}\n"


def _flags(option: Option) -> Iterator[str]:
    value = "" if option.kind is None else f" {option.metavar or 'VALUE'}"
    yield from (f"{flag}{value}{' ...' if option.many else ''}" for flag in option.flags)


def _choices(option: Option) -> str:
    return f"; one of {', '.join(f'`{choice}`' for choice in option.choices)}" if option.choices else ""


def _reported(option: Option) -> str:
    return f"; sidecar key `{option.label}`" if option.label else ""


def exit_code_lines() -> Iterator[str]:
    """Exit codes and their meanings."""
    yield "| code | meaning |\n|---|---|"
    yield from (f"| {code} | {text} |" for code, text in errors.exit_codes().items())


def rule_lines() -> Iterator[str]:
    """How one scan is chosen among several of a contrast."""
    yield from (f"{number}. {words}" for number, (_, words) in enumerate(RULE, start=1))


def quality_lines() -> Iterator[str]:
    """Quality numbers with their limits and meanings."""
    yield "| key | of | look | fail | meaning |\n|---|---|---|---|---|"
    for key, one in THRESHOLDS.items():
        yield f"| `{key}` | {one.place} | {_limit(one, one.look)} | {_limit(one, one.fail)} | {one.meaning} |"


def _limit(threshold: Threshold, value: float | None) -> str:
    return "" if value is None else f"{'above' if threshold.above else 'below'} {value:g}"


def column_lines() -> Iterator[str]:
    """The columns of the tables of ``haca3 evaluate``, experiment by experiment."""
    for name, experiment in EXPERIMENTS.items():
        for part, columns in experiment.COLUMNS.items():
            yield f"**`{name}.tsv`**\n" if part == name else f"**`{name}_{part}.tsv`**\n"
            yield "| column | unit | meaning |\n|---|---|---|"
            yield from (f"| `{one.name}` | {one.units} | {_meaning(one)} |" for one in columns)
            yield ""


def _meaning(column: Column) -> str:
    return "; ".join([column.description, *(f"`{level}`: {meaning}" for level, meaning in column.levels.items())])


class Table(SphinxDirective):
    """Markdown from one of the functions above, set where the directive stands."""

    lines: ClassVar[Callable[[], Iterator[str]]]

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(type(self).lines()))


class Toolbox(SphinxDirective):
    """What ``haca3 COMMAND --help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        command = [sys.executable, "-m", "haca3_bids.cli.toolbox", *self.arguments, "--help"]
        environment = os.environ | {"COLUMNS": "100"}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return [nodes.literal_block(done.stdout, done.stdout, language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the directives known to Sphinx."""
    for name, lines in (
        ("options", option_lines),
        ("exit-codes", exit_code_lines),
        ("choice-rule", rule_lines),
        ("quality-numbers", quality_lines),
        ("evaluation-columns", column_lines),
    ):
        app.add_directive(name, type(name, (Table,), {"lines": staticmethod(lines)}))
    app.add_directive("toolbox", Toolbox)
    return {"parallel_read_safe": True}
