"""Tolerant reading of text and JSON files: whatever is unambiguous is accepted."""

import codecs
import json
import math
import re
from pathlib import Path
from typing import Any

ODD_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

KINDS = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, UTF-16 (with a byte-order mark), or else Latin-1, which accepts any bytes.

    The byte-order mark is removed. Raises OSError if the file cannot be read.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in ODD_ENCODINGS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("latin-1")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, whatever their ends and encoding (``read_text``)."""
    return [line for line in re.split(r"\r\n|\r|\n", read_text(path)) if line.strip()]


def read_object(path: Path) -> tuple[dict[str, Any], str]:
    """The JSON object in a file and a description of its problem, empty if there is none.

    Line breaks in strings are accepted. Values with NaN or infinity are dropped; without a JSON object, it is empty.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        return {}, f"{path.name} is a broken link"
    except OSError as error:
        return {}, f"{path.name} cannot be read ({error.strerror})"
    if not text.strip("\0 \t\r\n"):
        return {}, f"{path.name} is empty"
    try:
        content = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        return {}, f"{path.name} is not valid JSON ({error})"
    if not isinstance(content, dict):
        return {}, f"{path.name} contains {KINDS.get(type(content), 'a number')} instead of a JSON object"
    kept = {key: value for key, value in content.items() if is_finite(value)}
    lost = ", ".join(sorted(set(content) - set(kept)))
    return kept, f"{lost} of {path.name} is not a finite number" if lost else ""


def is_finite(value: Any) -> bool:
    """Whether a JSON value contains no NaN and no infinity at any depth."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(is_finite(one) for one in value.values())
    return all(is_finite(one) for one in value) if isinstance(value, list | tuple) else True
