"""Nodes of the preprocessing: load, call, save. The output ``facts`` of each is a part of the record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits

from haca3_bids.interfaces.step import Step, StepInputSpec, StepOutputSpec
from haca3_bids.preprocessing import session
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.preprocessing.template import load_template
from haca3_bids.preprocessing.transforms import inverse, read_itk, write_itk
from haca3_bids.records.files import from_json, to_readable_json
from haca3_bids.records.preprocessing import Preprocessing, ScanFacts, gathered
from haca3_bids.volumes.scan import load_scan
from haca3_bids.volumes.volume import Volume, load_mask, load_volume, save_volume


class VolumeOutputSpec(StepOutputSpec):
    """Outputs of a step that makes one image."""

    out_file = File(exists=True, desc="the image")


class _RegisterInputSpec(StepInputSpec):
    reference = File(exists=True, mandatory=True, desc="coarse copy of the session's reference")
    to_template = File(exists=True, desc="ITK file that is known already")
    brain_mask = File(exists=True, desc="brain in the reference's space that is known already")
    head_mask = File(exists=True, desc="head, likewise")


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
        given = read_itk(self.inputs.to_template) if isdefined(self.inputs.to_template) else None
        reference = load_volume(self.inputs.reference)
        known = session.KnownMasks(_known(self.inputs.head_mask), _known(self.inputs.brain_mask))
        found, facts = session.registered(reference, load_template(self.inputs.template), self._settings, given, known)
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


class AlignedInputSpec(StepInputSpec):
    """What steps need that know where the subject lies."""

    to_template = File(exists=True, mandatory=True, desc="rigid, ITK text")
    affine = File(exists=True, mandatory=True, desc="affine, ITK text")


class _EstimateBiasInputSpec(AlignedInputSpec):
    in_file = File(exists=True, mandatory=True, desc="raw scan")
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
    in_file = File(exists=True, mandatory=True, desc="raw scan")
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
        raw, field = load_scan(inputs.in_file).image, load_volume(inputs.field)
        image, covered = session.on_template_grid(raw, field, load_template(inputs.template).head, pull, self._settings)
        save_volume(image, self._out("out_file", folder / "unscaled.nii"), in_template=True)
        save_volume(covered, self._out("coverage", folder / "coverage.nii.gz"), in_template=True, dtype=np.uint8)
        return ScanFacts(coverage=float(covered.data.mean()))


class _MasksInputSpec(AlignedInputSpec):
    reference = File(exists=True, mandatory=True, desc="reference on the template grid")
    coverage = File(exists=True, mandatory=True, desc="its field of view there")
    native = File(exists=True, mandatory=True, desc="coarse copy of the reference on its own grid")
    known_head = File(exists=True, desc="head in the reference's space that is known already")


class _MasksOutputSpec(StepOutputSpec):
    head_mask = File(exists=True, desc="head of the reference")
    brain_mask = File(exists=True, desc="the template's brain, stretched to the subject's")
    white_matter = File(exists=True, desc="core in which the peak is found")
    defaced = traits.Bool(desc="whether the reference has no face")


class Masks(Step):
    """Head, brain and white-matter core on the template grid, and whether the face has been removed."""

    input_spec = _MasksInputSpec
    output_spec = _MasksOutputSpec
    name_in_record = "masks"

    def _work(self, folder: Path) -> Preprocessing:
        inputs = self.inputs
        reference, covered = load_volume(inputs.reference), load_mask(inputs.coverage)
        template, alignment = load_template(inputs.template), _alignment(inputs)
        masks = session.masks(reference, covered, template, alignment, _known(inputs.known_head))
        for key in ("head_mask", "brain_mask", "white_matter"):
            mask = reference.with_data(getattr(masks, key))
            save_volume(mask, self._out(key, folder / f"{key}.nii.gz"), in_template=True, dtype=np.uint8)
        self._results["defaced"] = masks.defaced
        cut = session.cut_share(load_volume(inputs.native), template.head, alignment.rigid)
        return Preprocessing(defaced=masks.defaced, cut_share=cut, template=template.space)


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


class Collect(SimpleInterface):  # type: ignore[misc]
    """The record of a session's preprocessing."""

    input_spec = _CollectInputSpec
    output_spec = _CollectOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        pieces = [from_json(piece, Preprocessing) for piece in self.inputs.facts]
        path = Path(runtime.cwd) / "record.json"
        path.write_text(to_readable_json(replace(gathered(pieces), reference=self.inputs.reference)))
        self._results["record"] = str(path)
        return runtime


def _known(path: Any) -> Volume | None:
    """A mask that earlier derivatives may have given."""
    return load_volume(path, may_be_constant=True) if isdefined(path) else None


def _alignment(inputs: Any) -> TemplateAlignment:
    return TemplateAlignment(read_itk(inputs.to_template), read_itk(inputs.affine))
