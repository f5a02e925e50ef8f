"""Nodes that align all visits of a person in one frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, traits

from haca3_bids.errors import BadInput
from haca3_bids.interfaces.preprocess import KnownMasksInputSpec, RegisterOutputSpec, known_masks
from haca3_bids.interfaces.read import Read, ReadOutputSpec
from haca3_bids.interfaces.step import Step, StepInputSpec, StepOutputSpec
from haca3_bids.preprocessing import session
from haca3_bids.preprocessing.known import check_brain
from haca3_bids.preprocessing.longitudinal import common_frame
from haca3_bids.preprocessing.registration import TemplateAlignment
from haca3_bids.preprocessing.template import load_template
from haca3_bids.preprocessing.transforms import Matrix, inverse, write_itk
from haca3_bids.records.files import from_json
from haca3_bids.records.preprocessing import FramePlace, Preprocessing, ScanFacts
from haca3_bids.volumes.volume import load_volume, save_volume


class _ReadVisitOutputSpec(ReadOutputSpec):
    copies = traits.List(File(exists=True), desc="the coarse copy; none if the scan cannot be read")


class ReadVisit(Read):
    """The coarse copy of a visit's reference; none if the scan cannot be read: the session of the visit then fails."""

    output_spec = _ReadVisitOutputSpec

    def _work(self, folder: Path) -> ScanFacts:
        try:
            facts = super()._work(folder)
        except BadInput:
            self._results["copies"] = []
            return ScanFacts()
        self._results["copies"] = [self._results["out_file"]]
        return facts


class _FindFrameInputSpec(StepInputSpec):
    visits = traits.List(traits.Str, mandatory=True, desc="names of the visits")
    references = traits.List(
        traits.List(File(exists=True)), mandatory=True, desc="the coarse copy of the reference of each, or none"
    )


class _FindFrameOutputSpec(StepOutputSpec):
    frame = File(exists=True, desc="JSON: where the template lies in each visit")
    head = File(exists=True, desc="head of the mean image on the template grid")
    image = File(exists=True, desc="mean image of the visits, voxels of 2 mm")


class FindFrame(Step):
    """The frame in the middle of all visits of a person, and the way from the template to each of them."""

    input_spec = _FindFrameInputSpec
    output_spec = _FindFrameOutputSpec
    name_in_record = "frame"

    def _work(self, folder: Path) -> Preprocessing:
        template = load_template(self.inputs.template)
        copies = zip(self.inputs.visits, self.inputs.references, strict=True)
        references = {visit: load_volume(path) for visit, own in copies for path in own}
        if not references:
            raise BadInput("The scans of all visits cannot be read.", "Copy or convert them again.")
        found = common_frame(references, template, self._settings)
        places = {visit: found.place(visit) for visit in references}
        content = {
            visit: FramePlace(_rows(place.rigid), _rows(place.affine), found.problem) for visit, place in places.items()
        }
        self._write("frame", folder, content)
        head = template.head.with_data(found.head(template))
        save_volume(head, self._out("head", folder / "head.nii.gz"), in_template=True, dtype=np.uint8)
        save_volume(found.image, self._out("image", folder / "image.nii.gz"))
        return Preprocessing()


class _PlaceInFrameInputSpec(KnownMasksInputSpec):
    frame = File(exists=True, mandatory=True, desc="JSON of FindFrame")
    visit = traits.Str(mandatory=True, desc="name of the visit")


class PlaceInFrame(Step):
    """The position of the template in one visit, through the frame; a poor alignment fails this visit only."""

    input_spec = _PlaceInFrameInputSpec
    output_spec = RegisterOutputSpec
    name_in_record = "register"

    def _work(self, folder: Path) -> Preprocessing:
        content = from_json(Path(self.inputs.frame).read_bytes(), dict[str, FramePlace])
        own = content[self.inputs.visit]
        alignment = TemplateAlignment(np.array(own.rigid), np.array(own.affine))
        reference, template = load_volume(self.inputs.reference), load_template(self.inputs.template)
        known = known_masks(self.inputs, reference, template)  # other steps use them
        facts = session.judged(alignment, reference, template, self._settings)
        if own.problem and not facts.problem:
            facts = replace(facts, passed=False, problem=own.problem)
        if known.brain is not None and not facts.problem:
            check_brain(known.brain, alignment.affine, reference, template, Path(self.inputs.brain_mask).name)
        write_itk(alignment.rigid, self._out("to_template", folder / "to_template.txt"))
        write_itk(inverse(alignment.rigid), self._out("from_template", folder / "from_template.txt"))
        write_itk(alignment.affine, self._out("affine", folder / "affine.txt"))
        return Preprocessing(registration=replace(facts, visits=tuple(content)))


def _rows(matrix: Matrix) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, matrix.tolist()))
