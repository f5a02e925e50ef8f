"""The identity of an input dataset: not its path, since containers mount one dataset at several places."""

from collections.abc import Mapping
from pathlib import Path

from haca3_bids.bids.lenient import read_object

KEYS = ("Name", "DatasetDOI")  # of dataset_description.json; BIDS requires the first


def dataset_identity(bids_dir: Path) -> dict[str, str]:
    """The name and the DOI of a dataset, as far as its description has them."""
    content, _ = read_object(bids_dir / "dataset_description.json")
    texts = {key: " ".join(str(content.get(key, "")).split()) for key in KEYS}
    return {key: text for key, text in texts.items() if text}


def may_be_same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two datasets share a name or a DOI, or have none to be told apart by."""
    both = [key for key in KEYS if key in one and key in other]
    return not both or any(one[key].casefold() == other[key].casefold() for key in both)
