"""The metadata of a raw scan, with BIDS inheritance. A broken sidecar gives a warning, not an error."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haca3_bids.bids.lenient import read_object
from haca3_bids.bids.names import parse_entities

NO_AGENT = ("", "n/a", "none", "no")
NOT_MAGNITUDE = {
    **dict.fromkeys(("P", "PHASE", "PHASE MAP"), "phase"),
    **dict.fromkeys(("R", "REAL"), "real-valued"),
    **dict.fromkeys(("I", "IMAGINARY"), "imaginary"),
}


@dataclass(frozen=True)
class Metadata:
    """The values of a scan's sidecars, and warnings about what could not be read."""

    values: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def image_type(self) -> tuple[str, ...]:
        """The values of DICOM's ImageType in capitals, from a list or a string separated by backslashes."""
        value = self.values.get("ImageType", ())
        parts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        return tuple(word.strip().upper() for part in parts for word in re.split(r"[\\,]", str(part)) if word.strip())

    @property
    def contrast_agent(self) -> str:
        """The contrast agent according to the sidecar, such as GADOLINIUM; empty without one."""
        value = self.values.get("ContrastBolusIngredient", "")
        return value.strip() if isinstance(value, str) and value.strip().casefold() not in NO_AGENT else ""

    @property
    def part(self) -> str:
        """The part of a complex image according to ImageType: "phase", for example; empty for a magnitude image."""
        return next((NOT_MAGNITUDE[word] for word in self.image_type if word in NOT_MAGNITUDE), "")


def read_metadata(image: Path, bids_dir: Path) -> Metadata:
    """The metadata of an image from all applicable sidecars; nearer ones take precedence."""
    values: dict[str, Any] = {}
    warnings = []
    for sidecar in _sidecars(image, bids_dir):
        content, problem = read_object(sidecar)
        values |= content
        if problem:
            warnings.append(f"{image.name}: {problem} and is not used.")
    return Metadata(values, tuple(warnings))


def _sidecars(image: Path, bids_dir: Path) -> Iterator[Path]:
    entities, suffix, _ = parse_entities(image.name)
    for folder in reversed([one for one in image.parents if one.is_relative_to(bids_dir)]):
        found = []
        for path in folder.glob(f"*{suffix}.json"):
            own, its_suffix, extension = parse_entities(path.name)
            if its_suffix == suffix and extension == ".json" and own.items() <= entities.items():
                found.append((len(own), path))
        yield from (path for _, path in sorted(found))
