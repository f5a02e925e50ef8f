"""Nodes of the preprocessing: load, call, save. The output ``facts`` of each is a part of the record."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, TraitedSpec, isdefined, traits

from haca3_bids.interfaces.step import Step, StepInputSpec, StepOutputSpec, WritingInterface
from haca3_bids.preprocessing import session
from haca3_bids.preprocessing.known import check_brain, check_mask
from haca3_bids.preprocessing.prior import brain_on_template_grid, tissue_regions, white_matter_core
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.preprocessing.template import Template, load_template
from haca3_bids.preprocessing.transforms import inverse, read_itk, read_rigid, write_itk
from haca3_bids.quality.scan import air_above
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts, gathered
from haca3_bids.volumes.scan import load_scan
from haca3_bids.volumes.volume import Volume, load_mask, load_volume, save_volume

LABELS = {"grey": 1, "fluid": 2, "air": 3}  # of the map of regions, in the order of ``quality.scan.Regions``


class VolumeOutputSpec(StepOutputSpec):
    """Outputs of a step that makes one image."""

    out_file = File(exists=True, desc="the image")


class KnownMasksInputSpec(StepInputSpec):
    """Inputs of a step that registers a reference."""

    reference = File(exists=True, mandatory=True, desc="coarse copy of the session's reference")
    brain_mask = File(exists=True, desc="brain in the reference's space that is known already")
    head_mask = File(exists=True, desc="head, likewise")


class _RegisterInputSpec(KnownMasksInputSpec):
    to_template = File(exists=True, desc="rigid, ITK file that is known already")


class RegisterOutputSpec(StepOutputSpec):
    """Outputs of ``Register``."""

    to_template = File(exists=True, desc="rigid, ITK text")
    from_template = File(exists=True, desc="its inverse")
    affine = File(exists=True, desc="affine, ITK text: serves the prior only")


class Register(Step):
    """Register the reference to the template; a failed registration is a failed node."""

    input_spec = _RegisterInputSpec
    output_spec = RegisterOutputSpec
    name_in_record = "register"

    def _work(self, folder: Path) -> Preprocessing:
        given = read_rigid(self.inputs.to_template) if isdefined(self.inputs.to_template) else None
        reference, template = load_volume(self.inputs.reference), load_template(self.inputs.template)
        known = known_masks(self.inputs, reference, template)
        found, facts = session.registered(reference, template, self._settings, given, known)
        if known.brain is not None and not facts.problem:
            check_brain(known.brain, found.affine, reference, template, Path(self.inputs.brain_mask).name)
        write_itk(found.rigid, self._out("to_template", folder / "to_template.txt"))
        write_itk(inverse(found.rigid), self._out("from_template", folder / "from_template.txt"))
        write_itk(found.affine, self._out("affine", folder / "affine.txt"))
        return Preprocessing(registration=facts)


class _CoregisterInputSpec(StepInputSpec):
    reference = File(exists=True, mandatory=True, desc="coarse copy of the session's reference")
    moving = File(exists=True, desc="coarse copy of another contrast; none for the reference itself")


class _CoregisterOutputSpec(StepOutputSpec):
    to_reference = File(exists=True, desc="rigid, ITK text; identity for the reference itself")


class Coregister(Step):
    """Register another contrast of the session to the reference."""

    input_spec = _CoregisterInputSpec
    output_spec = _CoregisterOutputSpec
    name_in_record = "coregister"

    def _work(self, folder: Path) -> ScanFacts:
        path = self._out("to_reference", folder / "to_reference.txt")
        if not isdefined(self.inputs.moving):
            write_itk(np.eye(4), path)
            return ScanFacts()
        moving, reference = load_volume(self.inputs.moving), load_volume(self.inputs.reference)
        pull, facts = session.coregistered(moving, reference, self._settings, self.inputs.contrast)
        write_itk(pull, path)
        return facts


class _AlignedInputSpec(StepInputSpec):
    to_template = File(exists=True, mandatory=True, desc="rigid, ITK text")
    affine = File(exists=True, mandatory=True, desc="affine, ITK text")


class _EstimateBiasInputSpec(_AlignedInputSpec):
    in_file = File(mandatory=True, desc="raw scan")
    to_reference = File(exists=True, mandatory=True, desc="rigid, ITK text")
    brain_mask = File(exists=True, desc="brain on the reference's grid that is known already")


class EstimateBias(Step):
    """The logarithm of the bias field, estimated in the brain, on a coarse grid."""

    input_spec = _EstimateBiasInputSpec
    output_spec = VolumeOutputSpec
    name_in_record = "n4"

    def _work(self, folder: Path) -> ScanFacts:
        inputs = self.inputs
        given = _known(inputs.brain_mask)
        field = session.field_in_brain(
            load_scan(inputs.in_file).image,
            load_template(inputs.template),
            _alignment(inputs),
            read_itk(inputs.to_reference),
            self._settings,
            given,
        )
        save_volume(field, self._out("out_file", folder / "log_field.nii.gz"))
        return ScanFacts()


class _ResampleInputSpec(StepInputSpec):
    in_file = File(mandatory=True, desc="raw scan")
    field = File(exists=True, mandatory=True, desc="logarithm of its bias field")
    to_reference = File(exists=True, mandatory=True, desc="rigid, ITK text")
    to_template = File(exists=True, mandatory=True, desc="rigid, ITK text")


class _ResampleOutputSpec(VolumeOutputSpec):
    coverage = File(exists=True, desc="field of view on the template grid")


class Resample(Step):
    """A scan without bias on the template grid, through all transforms in one interpolation."""

    input_spec = _ResampleInputSpec
    output_spec = _ResampleOutputSpec
    name_in_record = "resample"

    def _work(self, folder: Path) -> ScanFacts:
        inputs = self.inputs
        pull = read_itk(inputs.to_reference) @ read_itk(inputs.to_template)
        raw, field = load_scan(inputs.in_file).image, load_volume(inputs.field, may_be_constant=True)
        image, covered = session.on_template_grid(raw, field, load_template(inputs.template).head, pull, self._settings)
        save_volume(image, self._out("out_file", folder / "unscaled.nii"), in_template=True)
        save_volume(covered, self._out("coverage", folder / "coverage.nii.gz"), in_template=True, dtype=np.uint8)
        return ScanFacts(coverage=float(covered.data.mean()), spline_order=session.spline_order(self._settings))


class _RegionsOutputSpec(StepOutputSpec):
    brain_mask = File(exists=True, desc="the template's brain, stretched to the subject's")
    white_matter = File(exists=True, desc="core in which the peak is found")
    regions = File(exists=True, desc="label map (LABELS) of other regions in which the quality is measured")


class Regions(Step):
    """Brain, white-matter core and other regions on the template grid, as the template expects them."""

    input_spec = _AlignedInputSpec
    output_spec = _RegionsOutputSpec
    name_in_record = "regions"

    def _work(self, folder: Path) -> Preprocessing:
        template, alignment = load_template(self.inputs.template), _alignment(self.inputs)
        brain = brain_on_template_grid(template, alignment)
        regions = tissue_regions(template, alignment) | {"air": air_above(brain)}
        maps = {
            "brain_mask": brain,
            "white_matter": white_matter_core(template, alignment),
            "regions": np.select([regions[name] for name in LABELS], list(LABELS.values())),
        }
        for key, values in maps.items():
            path = self._out(key, folder / f"{key}.nii.gz")
            save_volume(template.head.with_data(values), path, in_template=True, dtype=np.uint8)
        return Preprocessing(template=template.space)


class _HeadInputSpec(_AlignedInputSpec):
    reference = File(exists=True, mandatory=True, desc="reference on the template grid")
    coverage = File(exists=True, mandatory=True, desc="its field of view there")
    native = File(exists=True, mandatory=True, desc="coarse copy of the reference on its own grid")
    known_head = File(exists=True, desc="head in the reference's space that is known already")


class _HeadOutputSpec(StepOutputSpec):
    head_mask = File(exists=True, desc="head of the reference")
    defaced = traits.Bool(desc="whether the reference has no face")


class Head(Step):
    """Head mask on the template grid, and whether the face has been removed."""

    input_spec = _HeadInputSpec
    output_spec = _HeadOutputSpec
    name_in_record = "head"

    def _work(self, folder: Path) -> Preprocessing:
        inputs = self.inputs
        reference, alignment = load_volume(inputs.reference), _alignment(inputs)
        mask, defaced = session.head(reference, load_mask(inputs.coverage), alignment, _known(inputs.known_head))
        path = self._out("head_mask", folder / "head_mask.nii.gz")
        save_volume(reference.with_data(mask), path, in_template=True, dtype=np.uint8)
        self._results["defaced"] = defaced
        cut = session.cut_share(load_volume(inputs.native), reference, alignment.rigid)
        return Preprocessing(defaced=defaced, cut_share=cut)


class _ScaleInputSpec(StepInputSpec):
    in_file = File(exists=True, mandatory=True, desc="image on the template grid")
    coverage = File(exists=True, mandatory=True, desc="its field of view")
    white_matter = File(exists=True, mandatory=True, desc="core in which the peak is found")
    head_mask = File(exists=True, mandatory=True, desc="head of the reference")
    defaced = traits.Bool(mandatory=True, desc="whether nothing outside the head mask may be written")
    is_reference = traits.Bool(mandatory=True, desc="whether this is the reference itself")


class Scale(Step):
    """The image with its white-matter peak at 1000."""

    input_spec = _ScaleInputSpec
    output_spec = VolumeOutputSpec
    name_in_record = "white_matter"

    def _work(self, folder: Path) -> ScanFacts:
        inputs = self.inputs
        core = load_mask(inputs.white_matter) & load_mask(inputs.coverage)
        head = load_mask(inputs.head_mask)
        limit_to = head if inputs.defaced and not inputs.is_reference else None
        image, raw_peak, peak = session.scaled(load_volume(inputs.in_file), core, limit_to)
        save_volume(image, self._out("out_file", folder / f"preproc_{inputs.contrast}.nii.gz"), in_template=True)
        return ScanFacts(white_matter_peak_raw=raw_peak, white_matter_peak=peak)


class _CollectInputSpec(BaseInterfaceInputSpec):  # type: ignore[misc]
    reference = traits.Str(mandatory=True, desc="contrast of the reference")
    facts = traits.List(traits.Str, mandatory=True, desc="what the steps found")


class _CollectOutputSpec(TraitedSpec):  # type: ignore[misc]
    record = File(exists=True, desc="all of it in one JSON file")


class Collect(WritingInterface):
    """The record of a session's preprocessing."""

    input_spec = _CollectInputSpec
    output_spec = _CollectOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        pieces = [from_json(piece, Preprocessing) for piece in self.inputs.facts]
        self._write("record", runtime.cwd, replace(gathered(pieces), reference=self.inputs.reference))
        return runtime


def known_masks(inputs: Any, reference: Volume, template: Template) -> session.KnownMasks:
    """The masks of ``KnownMasksInputSpec``; BadInput if one does not belong to the reference."""
    found = {"head": _known(inputs.head_mask), "brain": _known(inputs.brain_mask)}
    for kind, mask in found.items():
        if mask is not None:
            check_mask(mask, kind, reference, template, Path(getattr(inputs, f"{kind}_mask")).name)
    return session.KnownMasks(**found)


def _known(path: Any) -> Volume | None:
    """A mask that earlier derivatives may have given, as 0 and 1: some have 255, which an interpolation would widen."""
    if not isdefined(path):
        return None
    mask = load_volume(path, may_be_constant=True)
    return mask.with_data(mask.data > 0.5)


def _alignment(inputs: Any) -> TemplateAlignment:
    return TemplateAlignment(read_itk(inputs.to_template), read_itk(inputs.affine))
