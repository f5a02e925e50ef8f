"""Parse a word of the command line into a value, and show the value as that word."""

import argparse
import math
import os
import re
from pathlib import Path

from haca3_bids.errors import UsageError

_DECIMAL = {"": 1.0, "m": 1e-3, "mb": 1e-3, "g": 1.0, "gb": 1.0, "t": 1e3, "tb": 1e3}
MEMORY_UNITS_GB = _DECIMAL | {"mib": 2**20 / 1e9, "gib": 2**30 / 1e9}
SMALLEST_MEMORY_GB = 0.1


def path(text: str) -> Path:
    """An absolute path; ``~`` is the home folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    try:
        named = Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"there is no home folder for '{text}'") from error
    return Path(os.path.realpath(named))  # Path.resolve raises RuntimeError for links in a circle


def positive(text: str) -> int:
    """A whole number of one or more."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above zero")
    return number


def memory_gb(text: str) -> float:
    """Gigabytes from ``12GB``, ``12000MB``, ``1.5TB``; a bare number counts gigabytes."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].lower() not in MEMORY_UNITS_GB:
        raise argparse.ArgumentTypeError(f"'{text}' is not an amount of memory such as 12GB or 900MB")
    amount = float(match[1]) * MEMORY_UNITS_GB[match[2].lower()]
    if amount < SMALLEST_MEMORY_GB:
        raise argparse.ArgumentTypeError(f"'{text}' is too little memory (at least {SMALLEST_MEMORY_GB:g} GB)")
    return amount


def show_memory(amount_gb: float) -> str:
    """The inverse of ``memory_gb``."""
    return f"{amount_gb:g}GB"


def check_device(name: str) -> None:
    """UsageError if no device has this name; the device itself may be absent."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UsageError(f"There is no device '{name}'.", "Choose auto, cpu, cuda or cuda:N.")


def named_folder(text: str) -> tuple[str, Path]:
    """Name and folder from ``NAME=PATH``; a bare path is named after its last part."""
    name, sign, folder = text.partition("=")
    if not sign:
        name, folder = Path(text).name, text
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not folder:
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return name, path(folder)


def show_named_folder(pair: tuple[str, Path]) -> str:
    """The inverse of ``named_folder``."""
    return f"{pair[0]}={pair[1]}"


def threshold(text: str) -> tuple[str, float | None, float | None]:
    """A measure and its limits for review and failure from ``noise=0.1``, ``noise=0.1:0.2`` or ``noise=none``."""
    measure, sign, limits = text.partition("=")
    words = limits.split(":")
    try:
        values = [None if word in ("none", "") else float(word) for word in words]
    except ValueError:
        values = []
    if any(value is not None and math.isnan(value) for value in values):
        values = []  # nothing is above or below it
    if not measure or not sign or len(values) not in (1, 2):
        raise argparse.ArgumentTypeError(f"'{text}' is not MEASURE=LOOK, MEASURE=LOOK:FAIL or MEASURE=none")
    return measure, values[0], values[1] if len(values) == 2 else None


def show_threshold(limits: tuple[str, float | None, float | None]) -> str:
    """The inverse of ``threshold``."""
    look, fail = ("none" if value is None else f"{value:g}" for value in limits[1:])
    return f"{limits[0]}={look}:{fail}"
