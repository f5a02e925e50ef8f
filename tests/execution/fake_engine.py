"""A stand-in for ``python -m haca3_bids.harmonization``: same job, same result, no networks.

It runs in a process of its own, as the engine does, but a forked one, which has nothing to import. With ``FAKE_APART``,
it is a new process that can be told by its command line, for tests that look for it or kill it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from haca3_bids.volumes.volume import Volume, load_volume, save_volume

HUNGER = 1600 * 2**20  # bytes: more than the limit of the test that asks for it
THETA = {"T1w": [1.0, 2.0], "T2w": [-1.0, 0.5], "PDw": [0.0, 0.0], "FLAIR": [0.3, -0.4]}


def run(words: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
    """What ``subprocess.run`` does for the engine, whose last word is the file of its job."""
    if "FAKE_APART" in os.environ:
        return subprocess.run([sys.executable, __file__, words[-1]], **how)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, where there are threads
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = main(words[-1])
        finally:
            os._exit(code)
    return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "", "")


def main(path: str) -> int:
    job = json.loads(Path(path).read_bytes())
    behaviour = os.environ.get("FAKE_ENGINE", "")
    out = Path(job["out_dir"])
    if behaviour == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "hungry for two" and len(job.get("sources", ())) == 2:
        held = bytearray(HUNGER)
        time.sleep(60)
        raise AssertionError(f"{len(held)} bytes were given")
    if behaviour == "slow to end":  # as a process that writes to a slow disk
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if behaviour in ("sleeps", "slow to end"):
        (out / "asleep").touch()
        time.sleep(120)
    time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
    if behaviour == "refuses":
        error = {"kind": "BadInput", "sentence": "No source shows anything of a head.", "hint": "Look at the images."}
        (out / "result.json").write_text(json.dumps({"error": error}))
        return 65
    result = encode(job) if job["task"] == "encode" else harmonize(job, out)
    (out / "result.json").write_text(json.dumps(result))
    note(out, "job", seen(job))
    return 0


def seen(job: dict[str, Any]) -> dict[str, Any]:
    """What of a job the tests look at."""
    return {
        "settings": job["settings"],
        "sources": list(job.get("sources", ())),
        "masked": bool(job.get("head_mask")),
        "content": job.get("content"),
    }


def note(folder: Path, part: str, content: dict[str, Any]) -> None:
    """Leave what a stand-in was given for tests that ask for it, under the name of the session's workflow."""
    if "FAKE_NOTES" not in os.environ:
        return
    session = next((name for name in folder.parts if re.fullmatch(r"sub_\w+_wf", name)), None)
    if session:
        Path(os.environ["FAKE_NOTES"], f"{session}-{part}.json").write_text(json.dumps(content))


def encode(job: dict[str, Any]) -> dict[str, Any]:
    targets = []
    for contrast, path in job["images"].items():
        mean = float(load_volume(path).data.mean())
        target = {"name": job["name"], "contrast": contrast, "theta": [mean, 1.0], "eta": [0.3, 0.5]}
        targets.append(target | {"scale": 1000.0, "origin": job["origin"]})
    return {"targets": targets}


def harmonize(job: dict[str, Any], out: Path) -> dict[str, Any]:
    volumes = {contrast: load_volume(path) for contrast, path in job["sources"].items()}
    mean = np.mean([volume.data for volume in volumes.values()], axis=0)
    grid = next(iter(volumes.values()))
    images = []
    for index, target in enumerate(job["targets"]):
        name = f"target{index}.nii.gz"
        save_volume(Volume(mean + np.float32(index), grid.affine), out / name, in_template=True)
        image: dict[str, Any] = {"target": target, "file": name, "std": None, "beta": None, "attention_maps": {}}
        for extra in job["extras"]:
            if extra == "attention":
                image["attention_maps"] = dict.fromkeys(volumes, name)
            else:
                image[extra] = name
        sources = {c: {"theta": THETA[c], "eta": [0.3, 0.5], "attention": 1 / len(volumes)} for c in volumes}
        images.append(
            image
            | {"scale": 1000.0, "white_matter_peak": 1000.0, "cut_share": 0.0, "covered_share": 1.0, "sources": sources}
        )
    return {
        "images": images,
        "weights": {"name": "fake", "sha256": "f" * 64, "variant": "haca3"},
        "fusion": {"name": "fake", "sha256": "e" * 64},
        "device": job["settings"]["device"],
        "precision": job["settings"]["precision"],
        "beta": job["settings"]["beta"],
        "seed": job["settings"]["seed"],
        "seconds": 1.0,
        "peak_memory_bytes": 1,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
