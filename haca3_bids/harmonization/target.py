"""What the harmonized image shall look like: theta and eta of a reference, of an image, or given as numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from haca3_bids.checkpoints.formats import Checkpoint
from haca3_bids.errors import UsageError
from haca3_bids.harmonization.device import choose_device, half_precision, inference, made_lean
from haca3_bids.harmonization.prepare import (
    REFERENCE_SLICES,
    Prepared,
    Rim,
    fit_images,
    nonempty,
    prepare,
    representative,
)
from haca3_bids.networks.haca3 import Haca3
from haca3_bids.settings import WHITE_MATTER_PEAK, HarmonizationSettings
from haca3_bids.volumes.slices import cut
from haca3_bids.volumes.volume import Volume

DEFAULT_ETA = (0.3, 0.5)  # of a clean image, in the released weights; used where only theta is given

Pair = tuple[float, float]


@dataclass(frozen=True)
class Target:
    """One wanted contrast."""

    name: str  # "" for a built-in reference; files are called desc-haca3<name>
    contrast: str  # the suffix of the file that is written
    theta: Pair
    eta: Pair
    scale: float  # intensity that the harmonized image's 95th percentile is brought to
    origin: str  # where the numbers come from, for the sidecar

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9]*", self.name):
            raise UsageError(f"{self.name} cannot name a target.", "Use letters and digits only.")
        numbers = (*self.theta, *self.eta, self.scale)
        if len(self.theta) != 2 or len(self.eta) != 2 or not np.isfinite(numbers).all() or self.scale <= 0:
            raise UsageError(
                f"Target {self.name or self.contrast} has theta {self.theta}, eta {self.eta} and scale {self.scale}.",
                "Two finite numbers each, and a scale above zero, are needed.",
            )
        object.__setattr__(self, "theta", (float(self.theta[0]), float(self.theta[1])))
        object.__setattr__(self, "eta", (float(self.eta[0]), float(self.eta[1])))

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self) | {"theta": list(self.theta), "eta": list(self.eta)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Target:
        """The inverse of ``to_json``."""
        return cls(**{**fields, "theta": tuple(fields["theta"]), "eta": tuple(fields["eta"])})


def target_from_reference(contrast: str, checkpoint: Checkpoint, name: str = "") -> Target:
    """The reference of this contrast that comes with the weights; UsageError when they have none."""
    reference = checkpoint.references.get(contrast)
    if reference is None:
        known = ", ".join(checkpoint.references) or "none"
        raise UsageError(
            f"The weights {checkpoint.name} have no built-in reference for {contrast} (they have {known}).",
            "Give an image, a subject or numbers as target, for example T2w:THETA0,THETA1.",
        )
    origin = f"built-in reference of the weights {checkpoint.name}: {reference.description}"
    return Target(name, reference.contrast, reference.theta, reference.eta, reference.scale, origin)


def target_from_numbers(contrast: str, theta: Pair, eta: Pair | None = None, name: str = "") -> Target:
    """A target from two or four numbers; the output is scaled to 1000."""
    return Target(name, contrast, theta, eta or DEFAULT_ETA, WHITE_MATTER_PEAK, "numbers on the command line")


def encode_target(
    volume: Volume,
    contrast: str,
    checkpoint: Checkpoint,
    settings: HarmonizationSettings,
    *,
    name: str = "",
    origin: str = "an image",
    coverage: Volume | None = None,
    head_mask: Volume | None = None,
) -> Target:
    """The target that an image sets: theta and eta averaged over coronal slices 100..119, and its 95th percentile.

    The image must be upright and about 1 mm, as preprocessed images are; its grid need not be the sources'.
    """
    rim = Rim({contrast: coverage} if coverage is not None else {}, head_mask)
    canvas = fit_images({contrast: volume}, rim, settings)
    prepared = prepare(contrast, volume, canvas, rim, settings, checkpoint.model.config.variant)
    device = choose_device(settings.device)
    with inference(settings.precision, settings.threads):
        theta, eta = encode_prepared(prepared, made_lean(checkpoint.model, device), settings, device)
    return Target(name, contrast, theta, eta, prepared.scale, origin)


def encode_prepared(
    prepared: Prepared, model: Haca3, settings: HarmonizationSettings, device: torch.device
) -> tuple[Pair, Pair]:
    """Theta and eta of an image: means over the coronal slices that speak for it."""
    if settings.like_authors:
        chosen = np.array(REFERENCE_SLICES)
    else:
        chosen = representative(nonempty(cut(prepared.votes, "coronal")))
    slices = np.ascontiguousarray(cut(prepared.values, "coronal")[chosen])
    theta, eta = [], []
    with half_precision(device, settings.precision):
        for batch in torch.split(torch.from_numpy(slices)[:, None], max(1, settings.batch_size)):
            theta.append(model.theta_encoder(batch.to(device))[0].float().cpu())
            eta.append(model.eta_encoder(batch.to(device)).float().cpu())
    return _mean(theta), _mean(eta)


def _mean(parts: list[torch.Tensor]) -> Pair:
    first, second = torch.cat(parts).double().mean(dim=0).tolist()
    return first, second
