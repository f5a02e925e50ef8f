"""SHA-256 of files and texts, in hexadecimal."""

import hashlib
from pathlib import Path

SHORT = 16  # digits: enough to tell settings apart, short enough for a name


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_digest(text: str) -> str:
    """The first digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]
