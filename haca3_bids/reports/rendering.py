"""Rendering of page templates: values are escaped, None is shown as a dash, and undefined names are errors."""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"
NOTHING = "–"


def render(template: str, *, script: str = "", **values: Any) -> str:
    """The rendered page with its style sheet, its script and a policy that forbids other scripts."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    code = (TEMPLATES / script).read_text(encoding="utf-8") if script else ""
    values |= {"style": style, "script": code, "policy": _policy(code)}
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    """The Jinja environment, which compiles each template once."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "numbers": numbers, "percent": percent}
    return environment


def _policy(code: str) -> str:
    """The content security policy: embedded images and this script only; nothing is loaded."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def number(value: float | None) -> str:
    """A number with three significant digits, or without decimals from 100 on."""
    if value is None:
        return NOTHING
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def numbers(values: Iterable[float] | None) -> str:
    """Numbers with two decimals, separated by commas."""
    if values is None:
        return NOTHING
    return ", ".join(f"{value:.2f}" for value in values)


def percent(value: float | None) -> str:
    """A fraction in percent without decimals."""
    return NOTHING if value is None else f"{100 * value:.0f} %"
