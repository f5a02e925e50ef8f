"""The files that match a dataset's ``.bidsignore``, with patterns as in ``.gitignore``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from haca3_bids.bids.lenient import read_text

IGNORE_FILE = ".bidsignore"
TOKEN = re.compile(r"\*\*/|/\*\*$|\*+|\?|\[[^\]]+\]|\\.|.", re.DOTALL)
MEANING = {"**/": "(?:.*/)?", "/**": "/.*", "?": "[^/]"}


@dataclass(frozen=True)
class Pattern:
    """One line of the file; ``takes_back`` marks a negated pattern (!)."""

    expression: re.Pattern[str]
    only_folders: bool
    takes_back: bool


def read_ignored(bids_dir: Path) -> tuple[Pattern, ...]:
    """The patterns of a dataset; empty without a .bidsignore file."""
    path = bids_dir / IGNORE_FILE
    lines = read_text(path).splitlines() if path.is_file() else []
    return tuple(_pattern(line.strip()) for line in lines if line.strip() and not line.startswith("#"))


def is_ignored(relative: PurePosixPath, patterns: Sequence[Pattern]) -> bool:
    """Whether a file or one of its parent folders is ignored; the last matching pattern decides."""
    folders = [one for one in reversed(relative.parents) if one.name]
    return any(_matches(one, patterns, one is not relative) for one in (*folders, relative))


def _matches(path: PurePosixPath, patterns: Sequence[Pattern], is_folder: bool) -> bool:
    verdict = False
    for pattern in patterns:
        if (is_folder or not pattern.only_folders) and pattern.expression.fullmatch(str(path)):
            verdict = not pattern.takes_back
    return verdict


def _pattern(line: str) -> Pattern:
    takes_back = line.startswith("!")
    text = line[1:] if takes_back else line
    only_folders = text.endswith("/")
    text = text.rstrip("/")
    anywhere = "/" not in text
    body = "".join(_translated(token) for token in TOKEN.findall(text.lstrip("/")))
    try:
        expression = re.compile(("(?:.*/)?" if anywhere else "") + body)
    except re.error:  # such as [z-a], which matches nothing
        expression = re.compile("(?!)")
    return Pattern(expression, only_folders, takes_back)


def _translated(token: str) -> str:
    if token in MEANING:
        return MEANING[token]
    if token.startswith("*"):
        return "[^/]*"
    if token.startswith("[") and len(token) > 1:
        letters = re.sub(r"([\[\\&~|^])", r"\\\1", token[2:-1] if token[1] in "!^" else token[1:-1])
        return f"[^/{letters}]" if token[1] in "!^" else f"[{letters}]"
    return re.escape(token[1] if token.startswith("\\") and len(token) > 1 else token)
