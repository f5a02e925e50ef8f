"""The mixture model applied to a session: slices of three orientations encoded once, then every voxel decoded.

The maps of each source are averaged over the three orientations first. Attention, fusion, decoder and carry then work
voxel by voxel, so that an additional target takes little time.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haca3_bids.arrays import Mask
from haca3_bids.harmonization.device import Batches, Indices, half_precision, inference, reused_memory
from haca3_bids.harmonization.method import Made, Method, Session, SourceReport, union
from haca3_bids.harmonization.prepare import Prepared, nonempty
from haca3_bids.harmonization.resolution import restored, slice_blur
from haca3_bids.harmonization.target import Target
from haca3_bids.harmonization.voxels import View, numbered, placed, window
from haca3_bids.networks.anatomy_encoder import Step
from haca3_bids.networks.mixture import Anatomy, Mixture, Sources
from haca3_bids.networks.table import Fit, Prior, fit_table, likeliest, measure
from haca3_bids.settings import HarmonizationSettings
from haca3_bids.volumes.box import bounding_box
from haca3_bids.volumes.slices import ORIENTATIONS, cut

logger = logging.getLogger(__name__)

REPETITIONS = 2  # of the restoration of thick slices: more gain less than 0.02 dB
TOGETHER = 2  # repetitions of the measurement of theta, with the anatomy from all images of a session
CHUNK = 40_000  # voxels decoded at a time
CONSISTENT = 1.2  # largest distance of theta from the table of a protocol: 28 of 32 simulated scans are nearer


@dataclass(frozen=True)
class _Encoded:
    """One source on the device, with its maps averaged over the orientations."""

    maps: Tensor  # (voxels, channels), half precision
    theta: Tensor  # (tissues,)
    values: Tensor  # (voxels,), white matter = 1; zero where not covered
    covers: Tensor  # (voxels,), bool
    slice_width: float | None = None  # voxels; None if the source is not blurred across slices


class Voxelwise(Method):
    """The mixture model on one device; ``white`` is the intensity of white matter in all images, if known."""

    anatomy = "soft"

    def __init__(
        self,
        model: Mixture,
        priors: Mapping[str, Prior],
        settings: HarmonizationSettings,
        device: torch.device,
        white: float | None,
        protocols: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.model = model.eval().to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.priors, self.settings, self.device, self.white = priors, settings, device, white
        tables = protocols or {}
        self.narrow = {name: priors[name].about(tables[name]) for name in tables if name in priors}

    def mask(self, sources: Mapping[str, Prepared]) -> Mask:
        """Where any source has data."""
        return union(source.votes for source in sources.values())

    def codes(self, image: Prepared, contrast: str) -> SourceReport:
        """Theta by maximum a posteriori regression (``networks.table``), eta as the mean over slices.

        The table of the image's protocol is a narrower prior, if the image agrees with it.
        """
        with inference(self.settings.threads):
            if contrast not in self.priors:
                tried = [self._measured(image, prior) for prior in self.priors.values()]
                return min(tried, key=lambda codes: codes.residual or 0.0)
            found = self._measured(image, self.priors[contrast])
            if contrast not in self.narrow:
                return found
            agrees = self.narrow[contrast].distance(torch.tensor(found.theta)) <= CONSISTENT
            if agrees:
                found = self._measured(image, self.narrow[contrast], torch.tensor(found.theta))
            else:
                logger.warning("The %s does not agree with the protocol in its sidecar, which is ignored.", contrast)
            return replace(found, by_protocol=agrees)

    def session_codes(self, images: Mapping[str, Prepared]) -> dict[str, SourceReport]:
        """Theta of each image by itself, then of all images with the anatomy fused from them."""
        codes = super().session_codes(images)
        if len(images) > 1:
            with inference(self.settings.threads):
                view = View.through(union(image.votes for image in images.values()))
                for _ in range(TOGETHER):
                    codes = self._together(images, codes, view)
        return codes

    def run(self, session: Session, targets: Sequence[Target], extras: Collection[str]) -> Iterator[Made]:
        """One image for each target, one at a time."""
        codes = self.session_codes(session.sources)
        with inference(self.settings.threads), reused_memory():
            numbers = numbered(session.mask)
            sources: Mapping[str, _Encoded] = {
                name: self._encoded(one, codes[name], session.mask, numbers) for name, one in session.sources.items()
            }
            del numbers
        with inference(self.settings.threads):
            sources = self._restored(sources, session.mask)
        for target in targets:
            with inference(self.settings.threads):
                made = self._made(target, session, sources, codes, extras)
            yield made

    def _measured(self, image: Prepared, prior: Prior, start: Tensor | None = None) -> SourceReport:
        unit = image.scale / self.white if self.white else prior.upper
        view = View.through(image.votes)
        slices, inside = (torch.from_numpy(view.of(one)).to(self.device) for one in (image.values, image.votes))
        config, levels = self.model.config, []

        def encode(pictures: Tensor, theta: Tensor) -> Tensor:
            maps = self._batched(self._encoder(theta), pictures)
            levels.append(float(self.model.artifact_level(maps, inside).mean().clamp(min=0)))
            within = maps[:, : config.classes].movedim(1, -1)[inside]
            return within.softmax(dim=1)[:, : len(config.tissues)]

        fit = measure(slices[:, None] * unit, encode, self._fit(prior, start), prior.theta, inside)
        return SourceReport(
            tuple(fit.theta.tolist()),
            (levels[-1],),
            scale=image.scale / unit * fit.white,
            residual=fit.residual,
            looks_like=likeliest(fit, self.priors),
        )

    def _fit(self, prior: Prior, start: Tensor | None = None) -> Callable[[Tensor, Tensor], Fit]:
        known, config = self.white is not None, self.model.config
        fit = partial(
            fit_table, prior=prior, white=config.white, white_is_known=known, lesion=config.lesion, start=start
        )
        return lambda fractions, values: fit(fractions.cpu(), values.cpu())  # small, and in double precision

    def _together(
        self, images: Mapping[str, Prepared], codes: Mapping[str, SourceReport], view: View
    ) -> dict[str, SourceReport]:
        """Theta of each image (and its scale, if white matter is not known) from fractions fused for its contrast."""
        sources, found = self._shown(images, codes, view), {}
        for number, (contrast, before) in enumerate(codes.items()):
            anatomy = self.model.fuse(sources.maps, self.model.attend(sources, sources.thetas[:, number]))
            fractions = anatomy.beta[:, : len(self.model.config.tissues)].movedim(1, -1)
            covered = sources.covers[:, number]
            prior, start = self.priors.get(contrast) or self.priors[before.looks_like or contrast], None
            if before.by_protocol:
                prior, start = self.narrow[contrast], torch.tensor(before.theta)
            fit = self._fit(prior, start)(fractions[covered], sources.images[:, number][covered])
            found[contrast] = replace(
                before,
                theta=tuple(fit.theta.tolist()),
                scale=before.scale * fit.white,
                residual=fit.residual,
                looks_like=likeliest(fit, self.priors),
            )
        return found

    def _shown(self, images: Mapping[str, Prepared], codes: Mapping[str, SourceReport], view: View) -> Sources:
        """Some slices of the images of a session, encoded with the current thetas."""
        slices, maps = [], []
        thetas = torch.tensor([codes[contrast].theta for contrast in images], device=self.device)
        for (contrast, image), theta in zip(images.items(), thetas, strict=True):
            shown = torch.from_numpy(view.of(image.values) * np.float32(image.scale / codes[contrast].scale))
            slices.append(shown.to(self.device))
            maps.append(self._batched(self._encoder(theta), slices[-1][:, None]))
        covers = torch.from_numpy(np.stack([view.of(image.votes) for image in images.values()], axis=1))
        thetas = thetas.expand(len(covers), -1, -1)
        return Sources(torch.stack(maps, 1), torch.stack(slices, 1), thetas, covers.to(self.device))

    def _batched(self, encoder: Step, slices: Tensor) -> Tensor:
        return torch.cat([encoder(part) for part in torch.split(slices, self.settings.batch_size)])

    def _encoder(self, theta: Tensor) -> Step:
        """A function from slices (batch, 1, h, w) of one theta (tissues,) to maps (batch, channels, h, w), fp32."""
        folded = self.model.encoder.folded(theta[None].to(self.device))

        def encode(x: Tensor) -> Tensor:
            with half_precision(self.device, self.settings.precision):
                return folded(x.to(self.device).contiguous(memory_format=torch.channels_last)).float()

        return encode

    def _encoded(self, source: Prepared, codes: SourceReport, mask: Mask, numbers: NDArray[np.int32]) -> _Encoded:
        """The maps of one source, averaged over three orientations; nothing leaves the device between batches."""
        theta = torch.tensor(codes.theta, device=self.device)
        encode = self._encoder(theta)
        unit = float(np.float32(source.scale / codes.scale))
        voxels = int(mask.sum())
        # the last row takes pixels outside the mask
        maps = torch.zeros(voxels + 1, self.model.config.channels, dtype=torch.float16, device=self.device)
        for orientation in ORIENTATIONS:
            wanted = nonempty(cut(source.votes, orientation))
            rows, columns = window(cut(mask, orientation))
            stacks = cut(source.values, orientation)[:, rows], cut(numbers, orientation)[:, rows]
            logger.info("Encoding %d %s slices.", len(wanted), orientation)

            def step(batch: Indices, stacks: Sequence[NDArray[Any]] = stacks, columns: slice = columns) -> None:
                parts = (np.ascontiguousarray(stack[batch, :, columns]) for stack in stacks)
                pictures, places = (torch.from_numpy(part).to(self.device) for part in parts)
                found = encode(pictures[:, None] * unit).movedim(1, -1) / len(ORIENTATIONS)
                maps.index_add_(0, places.flatten().long(), found.half().flatten(0, 2))

            Batches(self.settings.batch_size, self.device).run(wanted, step, f"Encoding {orientation} slices")
        values, covers = (torch.from_numpy(v[mask]).to(self.device) for v in (source.values, source.votes))
        return _Encoded(maps[:voxels], theta, values * unit * covers, covers)

    def _made(
        self,
        target: Target,
        session: Session,
        sources: Mapping[str, _Encoded],
        codes: Mapping[str, SourceReport],
        extras: Collection[str],
    ) -> Made:
        brain = session.mask if session.brain is None else session.brain
        within = torch.from_numpy(brain[session.mask]).to(self.device)
        image = torch.empty(len(within), device=self.device)
        alphas, classes = [], []
        attention = torch.zeros(len(sources), dtype=torch.float64, device=self.device)
        for first in range(0, len(within), CHUNK):
            chunk = slice(first, first + CHUNK)
            image[chunk], alpha, anatomy = self._decoded(target, sources, chunk)
            attention += (alpha * within[chunk]).sum(dim=1, dtype=torch.float64)
            if "attention" in extras:
                alphas.append(alpha)
            if "beta" in extras:
                classes.append(anatomy.beta[0].argmax(dim=0).to(torch.uint8) + 1)
        shares = (attention / attention.sum().clamp_min(1e-12)).cpu().tolist()
        covered = {name: session.brain_covered(name) for name in codes}
        reports = {
            name: replace(one, attention=share, brain_covered=covered[name], slice_width=sources[name].slice_width)
            for (name, one), share in zip(codes.items(), shares, strict=True)
        }
        maps = zip(sources, torch.cat(alphas, dim=1), strict=True) if alphas else ()
        return Made(
            target,
            placed(image, session.mask),
            reports,
            attention_maps={name: placed(values, session.mask) for name, values in maps},
            beta=placed(torch.cat(classes), session.mask) if classes else None,
        )

    def _restored(self, sources: Mapping[str, _Encoded], mask: Mask) -> Mapping[str, _Encoded]:
        """The sources with thin slices, so that their residuals are those at their own resolution (``resolution``)."""
        mask, thin = mask[bounding_box(mask)], dict(sources)
        models = self._models(sources, corrected=False)
        pairs = ((name, placed(one.values, mask), placed(models[name], mask)) for name, one in sources.items())
        blurs = {name: blur for name, scan, model in pairs if (blur := slice_blur(scan, model))}
        for name, blur in blurs.items():
            logger.info("The slices of the %s are %.1f voxels wide.", name, blur.slice_width)
        for repeated in range(REPETITIONS if blurs else 0):
            models = self._models(thin, corrected=True) if repeated else models
            for name, blur in blurs.items():
                sharp = restored(placed(sources[name].values, mask), placed(models.pop(name), mask), blur)[mask]
                values = torch.from_numpy(sharp).to(self.device)
                thin[name] = replace(sources[name], values=values, slice_width=blur.slice_width)
        return thin

    def _models(self, sources: Mapping[str, _Encoded], *, corrected: bool) -> dict[str, Tensor]:
        """The model's own image of each source (voxels,), from the anatomy of all sources; not below zero."""
        shown = {name: torch.empty_like(one.values) for name, one in sources.items()}
        for first in range(0, len(next(iter(sources.values())).values), CHUNK):
            chunk = slice(first, first + CHUNK)
            some = _part(sources, chunk)
            anatomy = self.model.fuse(some.maps, self.model.trust(some))
            anatomy = self.model.correct(anatomy, some)[0] if corrected else anatomy
            for name, theta in zip(sources, some.thetas.unbind(dim=1), strict=True):
                shown[name][chunk] = self.model.decode(anatomy, theta)[0].clamp(min=0)
        return shown

    def _decoded(self, target: Target, sources: Mapping[str, _Encoded], part: slice) -> tuple[Tensor, Tensor, Anatomy]:
        """Image (voxels,), attention (sources, voxels) and anatomy of some voxels."""
        theta = torch.tensor([target.theta], device=self.device)
        own = torch.tensor([[name == target.contrast for name in sources]], device=self.device)
        made = self.model.harmonize(_part(sources, part), theta, own)
        return made.image[0].clamp(min=0), made.alpha[0], made.fused


def _part(sources: Mapping[str, _Encoded], part: slice) -> Sources:
    """Some voxels of the sources, as a batch of one."""
    maps = torch.stack([one.maps[part].float().T for one in sources.values()])
    images = torch.stack([one.values[part] for one in sources.values()])
    covers = torch.stack([one.covers[part] for one in sources.values()])
    thetas = torch.stack([one.theta for one in sources.values()])
    return Sources(maps[None], images[None], thetas[None], covers[None])
