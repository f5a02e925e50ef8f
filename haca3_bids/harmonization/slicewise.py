"""HACA3 for a session: slices of three orientations are harmonized, and the three stacks are fused into one volume."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch

from haca3_bids.arrays import Array, Mask
from haca3_bids.harmonization import openvino
from haca3_bids.harmonization.device import Batches, half_precision, inference, reused_memory
from haca3_bids.harmonization.drawn import DrawnImage
from haca3_bids.harmonization.fusion import SLAB, fuse_in_slabs, median
from haca3_bids.harmonization.lean import made_lean
from haca3_bids.harmonization.method import Made, Method, Session, SourceReport, union
from haca3_bids.harmonization.prepare import REFERENCE_SLICES, Prepared, nonempty, representative
from haca3_bids.harmonization.stream import Draw, Stream
from haca3_bids.harmonization.target import Target
from haca3_bids.intensity.percentile import scaled, upper_percentile
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.canvas import authors_window
from haca3_bids.volumes.slices import ORIENTATIONS, cut

DRAWS_AT_ONCE = 3  # images that are decoded from one encoding: 135 MB each


class Slicewise(Method):
    """HACA3 on one device; ``fusion`` None is the voxelwise median of the orientations."""

    def __init__(
        self, model: Haca3, fusion: FusionNet | None, settings: HarmonizationSettings, device: torch.device
    ) -> None:
        model = model.eval()
        if settings.like_authors:
            # faster networks round differently, which can change a likeliest level, and with it a whole slice
            self.model = model.to(device)
        elif openvino.usable(device, settings.precision):
            self.model, self.compiler = openvino.compiled(model, settings.threads), openvino.version()
        else:
            self.model = made_lean(model, device, settings.precision)
        self.fusion, self.settings, self.device = fusion, settings, device
        self.anatomy = settings.beta

    def mask(self, sources: Mapping[str, Prepared]) -> Mask:
        """Where any source has data; in the released HACA3, where the first source has data."""
        if self.settings.like_authors and not self.model.config.maps:
            return next(iter(sources.values())).votes
        return union(source.votes for source in sources.values())

    def codes(self, image: Prepared, contrast: str) -> SourceReport:  # noqa: ARG002
        """Means of theta and eta over the slices of ``representative`` (like_authors: over 100 to 119)."""
        if self.settings.like_authors:
            chosen = np.array(REFERENCE_SLICES)
        else:
            chosen = representative(nonempty(cut(image.votes, "coronal")))
        slices = torch.from_numpy(np.ascontiguousarray(cut(image.values, "coronal")[chosen]))[:, None]
        with inference(self.settings.threads):
            parts = [self._codes(batch) for batch in slices.split(max(1, self.settings.batch_size))]
        theta0, theta1, eta0, eta1 = torch.cat(parts).double().mean(dim=0).tolist()
        return SourceReport((theta0, theta1), (eta0, eta1), scale=image.scale)

    def _codes(self, batch: torch.Tensor) -> torch.Tensor:
        with half_precision(self.device, self.settings.precision):
            return self.model.codes(batch.to(self.device)).float().cpu()

    def run(self, session: Session, targets: Sequence[Target], extras: Collection[str]) -> list[Made]:
        """One image for each target; if anatomy is sampled, the mean of the samples."""
        batches = Batches(self.settings.batch_size, self.device)
        with inference(self.settings.threads):
            stream = Stream(session, self.model, self.settings, self.device, batches)
            images = [DrawnImage() for _ in targets]
            for draws in self._grouped(targets, extras):
                with reused_memory():
                    stream.run([draw for _, draw in draws])
                for number, draw in draws:
                    images[number].add(self._fused(draw, session), draw)
                    draw.stacks.clear()
        return [_made(image, target, stream, extras) for image, target in zip(images, targets, strict=True)]

    def _grouped(self, targets: Sequence[Target], extras: Collection[str]) -> Iterator[list[tuple[int, Draw]]]:
        """Draws that share one encoding, each with the number of its target."""
        samples = self.settings.samples if self.settings.beta == "sample" else 1
        wanted = bool({"attention", "beta"} & set(extras))
        pairs = [(number, sample) for sample in range(samples) for number in range(len(targets))]
        for first in range(0, len(pairs), DRAWS_AT_ONCE):
            group = pairs[first : first + DRAWS_AT_ONCE]
            yield [(number, Draw(targets[number], sample, wanted and sample == 0)) for number, sample in group]

    def _fused(self, draw: Draw, session: Session) -> Array:
        """One canvas from the three orientations, each scaled by its own 95th percentile."""
        window = self._window(session)
        for orientation, stack in draw.stacks.items():
            name = f"the harmonized {orientation} stack for target {draw.target.name or draw.target.contrast}"
            draw.stacks[orientation] = scaled(stack, upper_percentile(stack[window], name))
        stacks = [draw.stacks[orientation] for orientation in ORIENTATIONS]
        if self.fusion is None:
            return median(stacks)
        slab = SLAB
        while True:
            try:
                fused = fuse_in_slabs(self.fusion, stacks, self.device, slab)
                return fused if self.settings.like_authors else fused * session.mask  # the network brightens the air
            except torch.OutOfMemoryError:
                if slab == 1:
                    raise
                slab //= 2
                torch.cuda.empty_cache()

    def _window(self, session: Session) -> Mask:
        """Where percentiles are taken: the authors' grid, by default within the field of view of any source."""
        covered = session.covered
        if self.settings.like_authors:
            covered[:] = True
        window = np.zeros_like(covered)
        window[authors_window()] = covered[authors_window()]
        return window


def _made(image: DrawnImage, target: Target, stream: Stream, extras: Collection[str]) -> Made:
    assert image.mean is not None
    assert image.first is not None
    names = list(stream.session.sources) if "attention" in extras else []
    return Made(
        target,
        image.mean,
        _reports(stream, image.first),
        image.std(),
        dict(zip(names, image.first.maps, strict=False)),
        image.first.beta if "beta" in extras else None,
    )


def _reports(stream: Stream, draw: Draw) -> dict[str, SourceReport]:
    attention = draw.attention.sum(axis=(0, 1))
    attention = attention / max(attention.sum(), 1e-12)
    coronal = stream.codes[ORIENTATIONS.index("coronal")]
    reports = {}
    for number, (name, source) in enumerate(stream.session.sources.items()):
        own = coronal[:, number]
        seen = np.flatnonzero(np.isfinite(own).all(axis=1))  # the slices in which the source has data
        middle = np.intersect1d(seen, stream.middle)
        theta0, theta1, eta0, eta1 = own[middle if middle.size else representative(seen)].mean(axis=0).tolist()
        share, seen_of_brain = float(attention[number]), stream.session.brain_covered(name)
        reports[name] = SourceReport((theta0, theta1), (eta0, eta1), share, source.scale, seen_of_brain)
    return reports
