"""The golden weights, nested as in the authors' files."""

import json
import runpy
from pathlib import Path

import pytest
import torch

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def released():
    """The contents of a released checkpoint and of a fusion file."""
    shapes = json.loads((DATA / "state_dict.json").read_text())
    weight = runpy.run_path(str(DATA / "golden_inputs.py"))["weight"]
    return {
        part: {key: torch.from_numpy(weight(f"{part}.{key}", tuple(shape))) for key, shape in keys.items()}
        for part, keys in shapes.items()
    }
