"""Nodes that run the networks in a separate process: the process that runs Nipype never imports PyTorch."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nipype.interfaces.base import File, TraitedSpec, isdefined, traits

from haca3_bids.errors import TemporaryFailure
from haca3_bids.execution.environment import child_environment
from haca3_bids.interfaces.step import SessionInputSpec, WritingInterface
from haca3_bids.orphan import end_with_parent
from haca3_bids.records.engine import EncodeJob, EncodeResult, EngineResult, HarmonizeJob, Job
from haca3_bids.records.files import from_answer, from_json, to_json
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.target import Target
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings

T = TypeVar("T")
ENGINE = "haca3_bids.harmonization"
KILLED = "It probably ran out of memory: set --mem, reduce --batch-size, or request more memory for the job."
LAST_LINES = 12  # of the process's messages, kept in the error


class _EngineInputSpec(SessionInputSpec):
    """What every task of the engine needs; the images lie on one grid."""

    coverage = traits.List(File(exists=True), mandatory=True, desc="field of view of each image, in the same order")
    settings = traits.Str(mandatory=True, desc="HarmonizationSettings as JSON, without what changes no voxel")
    weights_sha256 = traits.Str(desc="weights and fusion weights: other weights make another result")
    device = traits.Str("auto", usedefault=True, nohash=True, desc="device of the networks")
    batch_size = traits.Int(8, usedefault=True, nohash=True, desc="slices at once")
    threads = traits.Int(1, usedefault=True, nohash=True, desc="threads of the process")
    use_gpu = traits.Bool(False, usedefault=True, nohash=True, desc="whether the node takes a slot of a GPU")


class _HarmonizeInputSpec(_EngineInputSpec):
    white_matter = File(exists=True, mandatory=True, desc="mask in which the white-matter peak is found")
    head_mask = File(exists=True, mandatory=True, desc="if the record says that the head is defaced: zero outside")
    brain_mask = File(exists=True, mandatory=True, desc="where the attention to each source is averaged")
    content = File(exists=True, desc="mask that a grid larger than the canvas is cropped about")
    record = File(exists=True, mandatory=True, desc="record of the preprocessing")
    targets = traits.Str(mandatory=True, desc="list of targets as JSON")
    protocols = traits.Str("{}", usedefault=True, desc="tissue intensities of known protocols by contrast, as JSON")
    extras = traits.List(traits.Str, usedefault=True, desc="further images: beta, attention, std")


class _HarmonizeOutputSpec(TraitedSpec):  # type: ignore[misc]
    result = File(exists=True, desc="the engine's result as JSON, files absolute")
    images = traits.List(File(exists=True), desc="harmonized images, in the order of the targets")
    others = traits.List(File(exists=True), desc="further images that the result names")


class Harmonize(WritingInterface):
    """Harmonize the sources of one session to all targets."""

    input_spec = _HarmonizeInputSpec
    output_spec = _HarmonizeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs, folder = self.inputs, Path(runtime.cwd)
        defaced = from_json(Path(inputs.record).read_bytes(), Preprocessing).defaced  # no contrast may show the face
        job = HarmonizeJob(
            settings=engine_settings(inputs),
            out_dir=str(folder / "engine"),
            sources=dict(zip(inputs.contrasts, inputs.preproc, strict=True)),
            targets=from_json(inputs.targets, tuple[Target, ...]),
            coverage=dict(zip(inputs.contrasts, inputs.coverage, strict=True)),
            white_matter=inputs.white_matter,
            head_mask=inputs.head_mask if defaced else None,
            brain=inputs.brain_mask,
            content=inputs.content if isdefined(inputs.content) else None,
            white=WHITE_MATTER_PEAK,
            protocols=from_json(inputs.protocols, dict[str, tuple[float, ...]]),
            extras=tuple(inputs.extras),
        )
        result = run_process(job, EngineResult, folder, inputs.threads)
        images = tuple(image.moved(lambda path: str(folder / "engine" / path)) for image in result.images)
        self._write("result", folder, replace(result, images=images))
        self._results["images"] = [image.file for image in images]
        self._results["others"] = [other for image in images for other in image.others]
        return runtime


class _EncodeInputSpec(_EngineInputSpec):
    name = traits.Str(mandatory=True, desc="name of the targets")
    origin = traits.Str("an image", usedefault=True, nohash=True, desc="where they come from, in words")


class _EncodeOutputSpec(TraitedSpec):  # type: ignore[misc]
    targets = File(exists=True, desc="list of targets as JSON")


class Encode(WritingInterface):
    """Targets from the images of one session: one a contrast."""

    input_spec = _EncodeInputSpec
    output_spec = _EncodeOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs, folder = self.inputs, Path(runtime.cwd)
        job = EncodeJob(
            settings=engine_settings(inputs),
            out_dir=str(folder / "engine"),
            images=dict(zip(inputs.contrasts, inputs.preproc, strict=True)),
            name=inputs.name,
            origin=inputs.origin,
            coverage=dict(zip(inputs.contrasts, inputs.coverage, strict=True)),
            white=WHITE_MATTER_PEAK,
        )
        result = run_process(job, EncodeResult, folder, inputs.threads)
        self._write("targets", folder, result.targets)
        return runtime


def engine_settings(inputs: Any) -> HarmonizationSettings:
    """The settings of a node with what stays out of its hash."""
    settings = from_json(inputs.settings, HarmonizationSettings)
    return replace(settings, device=inputs.device, batch_size=inputs.batch_size, threads=inputs.threads)


def run_process(job: Job, kind: type[T], folder: Path, threads: int) -> T:
    """Run a job in a process of its own and return its answer; files and log go to ``folder``."""
    out = Path(job.out_dir)
    out.mkdir(exist_ok=True)
    file = folder / "job.json"
    file.write_text(to_json(job), encoding="utf-8")
    (out / "result.json").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", ENGINE, str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=child_environment(threads),
        stdin=subprocess.DEVNULL,
        preexec_fn=partial(end_with_parent, os.getpid()),
    )
    (folder / "engine.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    return read_result(done.returncode, out / "result.json", done.stderr, kind)


def read_result(code: int, path: Path, messages: str, kind: type[T]) -> T:
    """The answer of a finished process; the error that it ended with is raised here."""
    if code < 0:
        raise TemporaryFailure(f"The process of the networks was killed (signal {-code}).", KILLED)
    if path.exists():
        return from_answer(path.read_bytes(), kind)
    last = "\n".join(messages.strip().splitlines()[-LAST_LINES:])
    raise RuntimeError(f"The process of the networks ended with code {code}.\n{last}")
