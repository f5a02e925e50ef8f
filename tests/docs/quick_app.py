"""``haca3-bids`` as the pages' commands call it: the App, with the stand-ins of its own tests for what takes time."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

PARTS = Path(__file__).resolve().parents[1] / "execution"


def main(words: list[str]) -> int:
    sys.path.insert(0, str(PARTS))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PARTS), os.environ["PYTHONPATH"]])
    from fake_parts import STAND_INS

    for name, stand_in in STAND_INS.items():
        module, _, attribute = name.rpartition(".")
        setattr(import_module(module), attribute, stand_in)
    from haca3_bids.cli.app import main as app

    return app(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
