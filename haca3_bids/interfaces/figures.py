"""Nodes that draw the figures of a session and the slices of a target."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nipype.interfaces.base import File, SimpleInterface, TraitedSpec, traits

from haca3_bids.interfaces.step import SessionInputSpec, WritingInterface
from haca3_bids.preprocessing.resampling import resample
from haca3_bids.preprocessing.template import load_template
from haca3_bids.preprocessing.transforms import read_itk
from haca3_bids.records.engine import EngineResult
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing
from haca3_bids.records.session import Figure
from haca3_bids.records.target import Target
from haca3_bids.reports.figures import draw_histogram, draw_registration
from haca3_bids.reports.flicker import draw_flicker
from haca3_bids.reports.pixels import save_jpeg, slice_rows
from haca3_bids.reports.planes import white_end, white_of_brain, white_of_contrast
from haca3_bids.settings import WHITE_MATTER_PEAK
from haca3_bids.volumes.scan import load_scan
from haca3_bids.volumes.volume import Volume, load_volume

DIFFERENCE_LIMIT = 0.5 * WHITE_MATTER_PEAK  # full colour


class _DrawInputSpec(SessionInputSpec):
    reference = traits.Str(mandatory=True, desc="contrast that was registered to the template")


class _DrawOutputSpec(TraitedSpec):  # type: ignore[misc]
    figures = File(exists=True, desc="list of figures as JSON, files absolute")


class Draw(WritingInterface, ABC):
    """A node that draws figures of a session."""

    output_spec = _DrawOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        self._write("figures", runtime.cwd, list(self._drawn(Path(runtime.cwd))))
        return runtime

    @abstractmethod
    def _drawn(self, folder: Path) -> Iterator[Figure]:
        """Draw the figures into ``folder``."""


class _DrawPreprocessingInputSpec(_DrawInputSpec):
    raw = traits.Dict(traits.Str, File(), mandatory=True, desc="raw scan by contrast")
    to_reference = traits.List(File(exists=True), mandatory=True, desc="transforms, in the order of contrasts")
    to_template = File(exists=True, mandatory=True, desc="transform of the reference to the template")
    template = traits.Str(mandatory=True, desc="name of the template")
    brain_mask = File(exists=True, mandatory=True, desc="the template's brain")
    white_matter = File(exists=True, mandatory=True, desc="mask of the white-matter core")
    record = File(exists=True, mandatory=True, desc="record of the preprocessing")
    result = File(exists=True, desc="result of the engine; waiting for it leaves both cores to the networks")


class DrawPreprocessing(Draw):
    """Registration and bias flickers, and histograms, of one session."""

    input_spec = _DrawPreprocessingInputSpec

    def _drawn(self, folder: Path) -> Iterator[Figure]:
        inputs = self.inputs
        brain = load_volume(inputs.brain_mask, may_be_constant=True)
        facts = from_json(Path(inputs.record).read_bytes(), Preprocessing).contrasts
        images = {c: load_volume(path) for c, path in zip(inputs.contrasts, inputs.preproc, strict=True)}
        first = images[inputs.reference]
        for contrast, image in images.items():
            if contrast == inputs.reference:
                yield from self._registration(folder, contrast, image, brain)
            else:
                words = f"{contrast} registered to the {inputs.reference}"
                yield (figure := _entry("coregistration", contrast, None, folder, words))
                whites = [white_of_brain(volume, brain) for volume in (first, image)]
                draw_flicker(first, image, (inputs.reference, contrast), Path(figure.file), whites)
            yield (figure := _entry("bias", contrast, None, folder, f"{contrast} before and after bias correction"))
            found = self._uncorrected(contrast, image)
            whites = [white_of_brain(volume, brain) for volume in (found, image)]
            draw_flicker(found, image, ("as found", "corrected"), Path(figure.file), whites)
            if (peak := facts[contrast].white_matter_peak) is not None:
                yield (figure := _entry("histogram", contrast, None, folder, f"{contrast}: white-matter peak"))
                draw_histogram(image, load_volume(inputs.white_matter), peak, figure.file)

    def _registration(self, folder: Path, contrast: str, image: Volume, brain: Volume) -> Iterator[Figure]:
        yield (figure := _entry("outline", contrast, None, folder, "The template's brain on the image"))
        draw_registration(image, brain, figure.file)
        yield (figure := _entry("registration", contrast, None, folder, "Registration to the template"))
        template = load_template(self.inputs.template).head
        whites = [white_end(template), white_of_brain(image, brain)]
        draw_flicker(template, image, ("template", contrast), Path(figure.file), whites)

    def _uncorrected(self, contrast: str, image: Volume) -> Volume:
        """The raw scan on the grid of the preprocessed one, through the same transforms."""
        inputs = self.inputs
        to_reference = read_itk(inputs.to_reference[inputs.contrasts.index(contrast)])
        raw = load_scan(inputs.raw[contrast]).image
        return resample(raw, image, to_reference @ read_itk(inputs.to_template), order=1)


class _DrawResultsInputSpec(_DrawInputSpec):
    result = File(exists=True, mandatory=True, desc="result of the engine")


class DrawResults(Draw):
    """Slices of the sources, results and maps of one session."""

    input_spec = _DrawResultsInputSpec

    def _drawn(self, folder: Path) -> Iterator[Figure]:
        sources = dict(zip(self.inputs.contrasts, self.inputs.preproc, strict=True))
        for image in from_json(Path(self.inputs.result).read_bytes(), EngineResult).images:
            target, contrast = image.target, image.target.contrast
            harmonized = load_volume(image.file)
            shown = contrast if contrast in sources else self.inputs.reference
            source = load_volume(sources[shown])
            yield _slices(folder, target, f"source {shown}", source, "grey", white_of_contrast(shown))
            yield _slices(folder, target, "harmonized", harmonized, "grey", white_of_contrast(contrast))
            if shown == contrast:
                change = harmonized.with_data(harmonized.data - source.data)
                yield _slices(folder, target, "difference", change, "difference", DIFFERENCE_LIMIT)
            if image.std:
                spread = load_volume(image.std, may_be_constant=True)
                yield _slices(folder, target, "standard deviation", spread, "coloured", white_end(spread))
            for name, path in image.attention_maps.items():
                weights = load_volume(path, may_be_constant=True)
                yield _slices(folder, target, f"attention {name}", weights, "coloured", 1.0)


class _DrawTargetOutputSpec(TraitedSpec):  # type: ignore[misc]
    pictures = traits.List(File(exists=True), desc="slices of each image, in the same order")


class DrawTarget(SimpleInterface):  # type: ignore[misc]
    """Slices of the images that are made targets, ``CONTRAST.jpg`` each, for the reports of others."""

    input_spec = SessionInputSpec
    output_spec = _DrawTargetOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        pictures = [Path(runtime.cwd) / f"{contrast}.jpg" for contrast in self.inputs.contrasts]
        for contrast, path, picture in zip(self.inputs.contrasts, self.inputs.preproc, pictures, strict=True):
            save_jpeg(slice_rows(load_volume(path), "grey", white_of_contrast(contrast)), picture)
        self._results["pictures"] = [str(picture) for picture in pictures]
        return runtime


def _slices(folder: Path, target: Target, role: str, volume: Volume, painter: str, top: float) -> Figure:
    """Draw slices of one volume and return the figure's entry."""
    title = f"{target.contrast} to {target.name or 'the built-in reference'}"
    figure = _entry("slices", target.contrast, target, folder, title, role)
    save_jpeg(slice_rows(volume, painter, top), Path(figure.file))
    return figure


def _entry(kind: str, contrast: str, target: Target | None, folder: Path, title: str, role: str = "") -> Figure:
    words = "".join(part.capitalize() for part in (role or kind).split())
    desc = words if target is None else f"{target.desc}{words}"
    file = folder / f"desc-{desc}_{contrast}.{'jpg' if role else 'svg'}"
    return Figure(kind, str(file), title, contrast, role, None if target is None else target.key)
