"""Nodes that run the networks in a separate process: the process that runs Nipype never imports PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nipype.interfaces.base import BaseInterface, BaseInterfaceInputSpec, File, TraitedSpec, isdefined, traits

from haca3_bids import errors
from haca3_bids.errors import Haca3Error, TemporaryFailure
from haca3_bids.execution.environment import child_environment
from haca3_bids.settings import WHITE_MATTER_PEAK

ENGINE = "haca3_bids.harmonization"
KILLED = "It was probably out of memory: give --mem, or a smaller --batch-size, or more memory to the job."
LAST_LINES = 12  # of the process's messages, kept in the error


class EngineInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    """What every task of the engine needs."""

    settings = traits.Str(mandatory=True, desc="HarmonizationSettings as JSON, without what changes no voxel")
    weights_sha256 = traits.Str(desc="weights and fusion weights: other weights make another result")
    device = traits.Str("auto", usedefault=True, nohash=True, desc="device of the networks")
    batch_size = traits.Int(8, usedefault=True, nohash=True, desc="slices at once")
    threads = traits.Int(1, usedefault=True, nohash=True, desc="threads of the process")
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="whether the node takes a slot of a GPU")


class HarmonizeInputSpec(EngineInputSpec):
    """Inputs of ``Harmonize``."""

    contrasts = traits.List(traits.Str, mandatory=True, desc="contrasts of the sources")
    preproc = traits.List(File(exists=True), mandatory=True, desc="sources on one grid, in the same order")
    coverage = traits.List(File(exists=True), desc="field of view of each source, in the same order")
    white_matter = File(exists=True, desc="mask in which the white-matter peak is found")
    head_mask = File(exists=True, desc="nothing outside is written, where the record says that the head is defaced")
    brain_mask = File(exists=True, desc="where it is told what each source contributed")
    content = File(exists=True, desc="mask that a grid larger than the networks' is cropped about")
    record = File(exists=True, desc="record of the preprocessing")
    targets = traits.Str(mandatory=True, desc="list of targets as JSON")
    protocols = traits.Str("{}", usedefault=True, desc="tissue intensities of known protocols by contrast, as JSON")
    extras = traits.List(traits.Str, desc="further images: beta, attention, std")


class HarmonizeOutputSpec(TraitedSpec):  # type: ignore[misc]
    """Outputs of ``Harmonize``."""

    result = File(exists=True, desc="the engine's result as JSON, files absolute")
    images = traits.List(File(exists=True), desc="harmonized images, in the order of the targets")
    others = traits.List(File(exists=True), desc="further images that the result names")


class Harmonize(BaseInterface):  # type: ignore[misc]
    """Harmonize the sources of one session to all targets."""

    input_spec = HarmonizeInputSpec
    output_spec = HarmonizeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        job: dict[str, Any] = {
            "task": "harmonize",
            "sources": dict(zip(inputs.contrasts, inputs.preproc, strict=True)),
            "coverage": _by_contrast(inputs),
            "white_matter": inputs.white_matter if isdefined(inputs.white_matter) else None,
            "head_mask": inputs.head_mask if _is_defaced(inputs) else None,
            "brain": inputs.brain_mask if isdefined(inputs.brain_mask) else None,
            "content": inputs.content if isdefined(inputs.content) else None,
            "white": WHITE_MATTER_PEAK,
            "protocols": json.loads(inputs.protocols),
            "targets": json.loads(inputs.targets),
            "extras": list(inputs.extras) if isdefined(inputs.extras) else [],
        }
        result = run_engine(job, Path(runtime.cwd), inputs)
        for image in result["images"]:
            _make_absolute(image, Path(runtime.cwd))
        Path(runtime.cwd, "harmonization.json").write_text(json.dumps(result))
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        path = str(Path.cwd() / "harmonization.json")
        images = json.loads(Path(path).read_text())["images"]
        others = [
            other
            for image in images
            for other in (image["std"], image["beta"], *image["attention_maps"].values())
            if other
        ]
        return {"result": path, "images": [image["file"] for image in images], "others": others}


class EncodeInputSpec(EngineInputSpec):
    """Inputs of ``Encode``."""

    contrasts = traits.List(traits.Str, mandatory=True, desc="contrasts of the images")
    preproc = traits.List(File(exists=True), mandatory=True, desc="preprocessed images, in the same order")
    coverage = traits.List(File(exists=True), desc="field of view of each image, in the same order")
    name = traits.Str(mandatory=True, desc="name of the targets")
    origin = traits.Str("an image", usedefault=True, nohash=True, desc="where they come from, in words")


class EncodeOutputSpec(TraitedSpec):  # type: ignore[misc]
    """Outputs of ``Encode``."""

    targets = File(exists=True, desc="list of targets as JSON")


class Encode(BaseInterface):  # type: ignore[misc]
    """Targets from the images of one session: one a contrast."""

    input_spec = EncodeInputSpec
    output_spec = EncodeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        images = dict(zip(self.inputs.contrasts, self.inputs.preproc, strict=True))
        job: dict[str, Any] = {"task": "encode", "images": images, "white": WHITE_MATTER_PEAK}
        job |= {"name": self.inputs.name, "origin": self.inputs.origin}
        job["coverage"] = _by_contrast(self.inputs)
        result = run_engine(job, Path(runtime.cwd), self.inputs)
        Path(runtime.cwd, "targets.json").write_text(json.dumps(result["targets"]))
        return runtime

    def _list_outputs(self) -> dict[str, Any]:
        return {"targets": str(Path.cwd() / "targets.json")}


def run_engine(job: dict[str, Any], folder: Path, inputs: Any) -> dict[str, Any]:
    """Run one job in a process of its own and return its result; its expected errors are raised as they are here."""
    settings = json.loads(inputs.settings)
    settings |= {"device": inputs.device, "batch_size": inputs.batch_size, "threads": inputs.threads}
    return run_process(job | {"settings": settings, "out_dir": str(folder / "engine")}, folder, inputs.threads)


def run_process(job: dict[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """Run a job, which names its task and its ``out_dir``, in a process of its own; files and log go to ``folder``."""
    out = Path(job["out_dir"])
    out.mkdir(exist_ok=True)
    file = folder / "job.json"
    file.write_text(json.dumps(job, indent=1))
    (out / "result.json").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", ENGINE, str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(threads),
        stdin=subprocess.DEVNULL,
    )
    (folder / "engine.log").write_text(done.stdout + done.stderr)
    return read_result(done.returncode, out / "result.json", done.stderr)


def read_result(code: int, path: Path, messages: str) -> dict[str, Any]:
    """The result of a finished process, or the error that it ended with."""
    result = json.loads(path.read_text()) if path.exists() else {}
    if code == 0 and result and "error" not in result:
        return dict(result)
    if code < 0:
        raise TemporaryFailure(f"The process of the networks was killed (signal {-code}).", KILLED)
    error = result.get("error") or {}
    kind = getattr(errors, str(error.get("class")), None)
    if isinstance(kind, type) and issubclass(kind, Haca3Error):
        raise kind(str(error.get("sentence")), str(error.get("hint", "")))
    last = "\n".join(messages.strip().splitlines()[-LAST_LINES:])
    raise RuntimeError(f"The process of the networks ended with code {code}.\n{last}")


def _is_defaced(inputs: Any) -> bool:
    """Whether the face was taken from the reference: then no other contrast may give it back."""
    if not isdefined(inputs.head_mask) or not isdefined(inputs.record):
        return False
    return bool(json.loads(Path(inputs.record).read_text()).get("defaced"))


def _by_contrast(inputs: Any) -> dict[str, str]:
    return dict(zip(inputs.contrasts, inputs.coverage, strict=True)) if isdefined(inputs.coverage) else {}


def _make_absolute(image: dict[str, Any], folder: Path) -> None:
    out = folder / "engine"
    for key in ("file", "std", "beta"):
        image[key] = str(out / image[key]) if image.get(key) else None
    image["attention_maps"] = {
        contrast: str(out / path) for contrast, path in (image.get("attention_maps") or {}).items()
    }
