"""``haca3-bids`` in a process of its own, which can be killed: ``python stressed_app.py {quick,real} WORDS``.

"quick" has the stand-ins of the App's own tests for what takes time; with "real" nothing is faked, but a small head of
ellipsoids is the built-in template.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PLACES = [str(TESTS / "execution"), str(TESTS), str(TESTS.parent)]
VOXEL_MM = 1.3  # of the small head


def main(kind: str, words: list[str]) -> int:
    sys.path[:0] = PLACES
    os.environ["PYTHONPATH"] = os.pathsep.join([*PLACES, os.environ.get("PYTHONPATH", "")])
    if kind == "quick":
        os.environ["FAKE_APART"] = "yes"
        from fake_parts import STAND_INS
    else:
        from head_phantom import head_phantom

        template = head_phantom(VOXEL_MM).template(has_skull=False)
        maps = {"brain": template.head, "white": template.white_matter}
        STAND_INS = {
            "haca3_bids.preprocessing.template.load_icbm2009a": lambda: maps,
            "haca3_bids.execution.room.IMAGE_MB": 1.0,
        }
    for name, stand_in in STAND_INS.items():
        module, _, attribute = name.rpartition(".")
        setattr(import_module(module), attribute, stand_in)
    from haca3_bids.cli.app import main as app

    return app(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
