"""The mixture model: HACA3 with a decoder that sums the signals of the tissues in a voxel.

Contrast (theta) is a table of tissue intensities relative to white matter. Anatomy (beta) is the fraction of each class
in a voxel, delta its signed deviations from the usual tissue (such as a longer T1). All functions except the encoder
work voxel by voxel, so that maps may have any shape ``...``: pixels of a slice, or a list of voxels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from haca3_bids.networks.anatomy_encoder import AnatomyEncoder
from haca3_bids.networks.artifact_level import ArtifactLevel
from haca3_bids.networks.theta import log_theta, theta_network

DOUBT, RELIABILITY, CARRY, ARTIFACT = -4, -3, -2, -1  # channels of the encoder's maps, after logits and deviations
USUAL_DOUBT = 0.1  # variance of the residual of a source where the encoder's output is 0
LARGEST_DOUBT = 6.0  # the encoder's output is clipped to plus and minus this
ABSENT = -1e4  # attention score of a source that does not cover a voxel


@dataclass(frozen=True)
class MixtureConfig:
    """Sizes of the networks."""

    tissues: tuple[str, ...]  # classes whose intensities are theta, "white" among them
    free: int = 2  # classes without a predefined meaning; air, of intensity 0, is one more class
    deviations: int = 3
    widths: tuple[int, ...] = (32, 64, 96, 128)  # channels of the encoder's levels
    hidden: int = 64  # width of the small networks whose input is theta
    keys: int = 16  # width of queries and keys

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "tissues", tuple(self.tissues))

    @property
    def white(self) -> int:
        """The index of white matter in theta."""
        return self.tissues.index("white")

    @property
    def lesion(self) -> int | None:
        """The index of lesions in theta; None if they are not a class."""
        return self.tissues.index("lesion") if "lesion" in self.tissues else None

    @property
    def theta_dim(self) -> int:
        """The length of theta."""
        return len(self.tissues)

    @property
    def classes(self) -> int:
        """The number of classes: tissues, air, free classes, in this order."""
        return len(self.tissues) + 1 + self.free

    @property
    def channels(self) -> int:
        """The number of encoder maps: logits, deviations, doubt, reliability, carry, artifact."""
        return self.classes + self.deviations + 4

    variant, eta_dim = "mixture", 1
    seen_from = 0.0  # intensity above which a voxel inside the head is in the field of view


@dataclass(frozen=True)
class Sources:
    """The encoded scans of one session; the last axes are pixels of a slice or a list of voxels."""

    maps: Tensor  # (batch, sources, channels, ...)
    images: Tensor  # (batch, sources, ...), white matter = 1
    thetas: Tensor  # (batch, sources, tissues)
    covers: Tensor  # (batch, sources, ...), bool: where the source has data


@dataclass(frozen=True)
class Anatomy:
    """Fused anatomy: beta (batch, classes, ...), which sums to one, and delta (batch, deviations, ...)."""

    beta: Tensor
    delta: Tensor


@dataclass(frozen=True)
class Harmonized:
    """The harmonized image of a session for one target."""

    image: Tensor  # (batch, ...)
    alpha: Tensor  # (batch, sources, ...), attention
    fused: Anatomy  # before the correction


class Mixture(nn.Module):
    """The mixture model: encode sources, weight them by attention, fuse their anatomy, decode the target's contrast."""

    def __init__(self, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        tissues = len(config.tissues)
        self.encoder = AnatomyEncoder(config)
        self.artifact_level = ArtifactLevel(config.channels)
        self.query = theta_network(tissues, config.hidden, config.keys)
        self.key = theta_network(tissues, config.hidden, config.keys)
        self.free_classes = theta_network(tissues, config.hidden, config.free)
        self.slopes = theta_network(tissues, config.hidden, config.deviations * config.classes)
        self.carry_scale = theta_network(2 * tissues, config.hidden, config.classes)
        self.deviation_variance = nn.Parameter(torch.full((config.deviations,), -4.0))  # logarithm of the variance
        nn.init.zeros_(self.carry_scale[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.carry_scale[-1].bias)  # type: ignore[arg-type]

    def encode(self, x: Tensor, theta: Tensor) -> Tensor:
        """Maps (batch, channels, h, w) of slices x (batch, 1, h, w) with the contrast theta (batch, tissues).

        White matter is 1 in both; h and w are multiples of 16.
        """
        maps: Tensor = self.encoder(x, theta)
        return maps

    def harmonize(self, sources: Sources, target: Tensor, own: Tensor) -> Harmonized:
        """The session's anatomy in the contrast ``target`` (batch, tissues).

        ``own`` (batch, sources), bool, marks the source of the target's contrast, whose unexplained detail is kept.
        """
        alpha = self.attend(sources, target)
        fused = self.fuse(sources.maps, alpha)
        anatomy, left = self.correct(fused, sources)
        image = self.decode(anatomy, target) + self.carry(left, sources, anatomy, target, own)
        return Harmonized(image, alpha, fused)

    def attend(self, sources: Sources, target: Tensor) -> Tensor:
        """Alpha (batch, sources, ...): softmax over sources of q(theta_t) k(theta_i) / 4 + r_i; 0 where not covered."""
        keys, query = self.key(log_theta(sources.thetas)), self.query(log_theta(target))[..., None]
        reliability = sources.maps[:, :, RELIABILITY]
        scores = reliability + _over_places((keys @ query)[..., 0] / self.config.keys**0.5, reliability)
        return _shared(scores, sources.covers)

    def trust(self, sources: Sources) -> Tensor:
        """Attention without a target, (batch, sources, ...): softmax over sources of r_i; 0 where not covered."""
        return _shared(sources.maps[:, :, RELIABILITY], sources.covers)

    def fuse(self, maps: Tensor, alpha: Tensor) -> Anatomy:
        """Beta = softmax(sum_i alpha_i logits_i), delta = sum_i alpha_i delta_i; maps as in ``Sources``."""
        classes = self.config.classes
        fused = (maps[:, :, : classes + self.config.deviations] * alpha[:, :, None]).sum(dim=1)
        return Anatomy(fused[:, :classes].softmax(dim=1), fused[:, classes:])

    def correct(self, anatomy: Anatomy, sources: Sources) -> tuple[Anatomy, Tensor]:
        """The anatomy updated to explain the sources (Kalman filter), and its residuals (batch, sources, ...).

        The covariance of fractions is S = diag(beta) - beta beta^T, that of deviations is V (diagonal, learned), and
        the variance of source i is its doubt lambda_i. With residuals r_i = x_i - D(beta, delta, theta_i) and the
        derivatives C and d of D by beta and delta, the result is beta + S C w and delta + V d w, where
        w = (C^T S C + d^T V d + lambda)^-1 r. Beta still sums to one; fractions may be slightly negative.
        """
        batch, count = sources.thetas.shape[:2]
        anatomy = Anatomy(anatomy.beta.float(), anatomy.delta.float())
        beta, delta, covers = anatomy.beta.flatten(2), anatomy.delta.flatten(2), sources.covers.flatten(2)
        doubt = sources.maps[:, :, DOUBT].float().flatten(2).clamp(-LARGEST_DOUBT, LARGEST_DOUBT).exp() * USUAL_DOUBT
        with torch.autocast(beta.device.type, enabled=False):
            signals = self.signals(sources.thetas.flatten(0, 1)).unflatten(0, (batch, count))
            classes, variances = signals[:, :, 0], self.deviation_variance.exp()
            slopes = signals[:, :, 1:] @ beta[:, None]  # (batch, sources, deviations, voxels)
            mean, residual = classes @ beta, self._unexplained(anatomy, sources).flatten(2)
            products = (classes[:, :, None] * classes[:, None]).flatten(1, 2)
            spread = (products @ beta).unflatten(1, (count, count)) - mean[:, :, None] * mean[:, None]
            spread = spread + torch.einsum("bsdv,btdv,d->bstv", slopes, slopes, variances)
            spread = spread * covers[:, :, None] * covers[:, None]
            system = spread.movedim(-1, 1) + torch.diag_embed(doubt.movedim(-1, 1))
            weights = torch.linalg.solve(system, residual.movedim(-1, 1)[..., None])[..., 0].movedim(1, -1)
            pull = classes.mT @ weights
            beta = beta * (1 + pull - (beta * pull).sum(dim=1, keepdim=True))
            delta = delta + variances[:, None] * (slopes * weights[:, :, None]).sum(dim=1)
        corrected = Anatomy(beta.reshape(anatomy.beta.shape), delta.reshape(anatomy.delta.shape))
        return corrected, self._unexplained(corrected, sources)

    def _unexplained(self, anatomy: Anatomy, sources: Sources) -> Tensor:
        """Residuals x_i - D(beta, delta, theta_i), (batch, sources, ...); 0 outside a source's field of view."""
        shown = [self.decode(anatomy, theta) for theta in sources.thetas.unbind(dim=1)]
        return (sources.images - torch.stack(shown, dim=1)) * sources.covers

    def decode(self, anatomy: Anatomy, theta: Tensor) -> Tensor:
        """The image sum_k beta_k (c_k(theta) + sum_j delta_j d_jk(theta)), (batch, ...); theta (batch, tissues)."""
        signals = self.signals(theta) @ anatomy.beta.flatten(2)
        return (signals[:, 0] + (signals[:, 1:] * anatomy.delta.flatten(2)).sum(dim=1)).reshape_as(anatomy.beta[:, 0])

    def signals(self, theta: Tensor) -> Tensor:
        """Signals c of the classes and their derivatives d by delta, (batch, 1 + deviations, classes), for theta."""
        config, read = self.config, log_theta(theta)
        air = torch.zeros_like(theta[:, :1])
        c = torch.cat([theta, air, functional.softplus(self.free_classes(read))], dim=1)
        return torch.cat([c[:, None], self.slopes(read).unflatten(1, (config.deviations, config.classes))], dim=1)

    def carry(self, left: Tensor, sources: Sources, anatomy: Anatomy, target: Tensor, own: Tensor) -> Tensor:
        """Unexplained detail of the target's own contrast, sigmoid(g) s l, (batch, ...).

        g is the carry map, l the residual ``left`` from ``correct``. The scale s = exp(sum_k beta_k MLP_k(theta_x,
        theta_t)) depends on tissue: residuals of fluid that is dark in x grow if it is bright in the target.
        """
        pairs = torch.cat([log_theta(sources.thetas), log_theta(target)[:, None].expand_as(sources.thetas)], dim=2)
        growth: Tensor = self.carry_scale(pairs) @ anatomy.beta.clamp(0, 1).flatten(2)
        trust = sources.maps[:, :, CARRY].sigmoid() * _over_places(own, left)
        return (trust * growth.exp().reshape(left.shape) * left).sum(dim=1)


def _shared(scores: Tensor, covers: Tensor) -> Tensor:
    """Softmax of scores (batch, sources, ...) over the sources that cover a place; 0 for the others."""
    return scores.masked_fill(~covers, ABSENT).softmax(dim=1) * covers


def _over_places(value: Tensor, like: Tensor) -> Tensor:
    """``value`` with trailing axes of size one, as many as ``like`` has."""
    return value.reshape(*value.shape, *[1] * (like.ndim - value.ndim))
