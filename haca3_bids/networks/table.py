"""Estimation of theta for the mixture model: the tissue intensities that explain an image best.

Given the anatomy beta of the image x, theta is a regression of x on beta: a robust maximum a posteriori estimate of
logarithms, whose prior is the distribution among images of that contrast (``Prior``). Since the anatomy depends on
theta, both are estimated alternately.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from haca3_bids.networks.theta import DARKEST

ROUNDS, STEPS = 3, 30  # rounds of encoding and fitting; Gauss-Newton steps of a fit, at most
CONVERGED = 1e-3  # largest change of a logarithm at which a fit ends
VOXELS = 200_000, 60_000  # approximate numbers of voxels, and of pure ones, that are used; at most twice as many
CORRELATED = 100.0  # voxels that count as one observation, since errors of neighbours are correlated
LEAST_DEVIATION = 0.02  # smallest standard deviation of residuals, relative to white matter
ROBUST = 2.5  # half the cutoff of Tukey's biweight, in standard deviations of residuals
PURE = (0.80, 0.92)  # range of the smallest fraction of a voxel's main tissue: mixed voxels bias the table
ENOUGH = 300  # voxels of a tissue required above that fraction, if possible
NOISE_FLOOR = 0.03  # relative to white matter: darker tissue shows noise and is not measured
PROTOCOL_KNOWN = 0.25  # factor of the prior's covariance if the protocol of an image is known
SURPLUS = 0.05**2  # variance of logarithms added then: variation between people, and model error
Encode = Callable[[Tensor, Tensor], Tensor]  # slices, theta -> tissue fractions (voxels, tissues)


@dataclass(frozen=True)
class Prior:
    """Mean (tissues,) and covariance (tissues, tissues) of log(intensity + DARKEST) in images of one contrast."""

    mean: Tensor
    covariance: Tensor
    upper: float  # the 95th percentile of a head, relative to white matter

    @classmethod
    def of_tables(cls, tables: Tensor, upper: float, jitter: float = 0.05) -> Prior:
        """The prior of tables (sites, tissues) of intensities; ``jitter``**2 is added to every variance."""
        logs = (tables.double().clamp(min=0) + DARKEST).log()
        covariance = logs.T.cov() + jitter**2 * torch.eye(logs.shape[1], dtype=torch.float64)
        return cls(logs.mean(dim=0), covariance, upper)

    def about(self, theta: Sequence[float]) -> Prior:
        """The narrower prior of images whose protocol is known, centred on the table ``theta`` of that protocol.

        A tissue that is measured otherwise is measured even if the protocol nulls it, such as fluid in a FLAIR.
        """
        least = torch.where(self.theta > NOISE_FLOOR, 1.01 * NOISE_FLOOR, 0.0)
        logs = (torch.tensor(theta, dtype=torch.float64).clamp(min=least) + DARKEST).log()
        return replace(self, mean=logs, covariance=PROTOCOL_KNOWN * self.covariance + SURPLUS * torch.eye(len(logs)))

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist(), "upper": self.upper}

    @property
    def theta(self) -> Tensor:
        """The intensities at the mean, (tissues,), float32."""
        return (self.mean.exp() - DARKEST).clamp(min=0).float()

    def distance(self, theta: Tensor) -> float:
        """Mahalanobis distance of intensities (tissues,) from the mean, per square root of the number of tissues."""
        off = (theta.double().clamp(min=0) + DARKEST).log() - self.mean
        return float((off @ torch.linalg.solve(self.covariance, off) / len(off)).sqrt())


@dataclass(frozen=True)
class Fit:
    """Tissue intensities of an image."""

    theta: Tensor  # (tissues,), relative to white matter
    white: float  # intensity of white matter in the unit of the image
    residual: float  # robust standard deviation of the residuals, relative to white matter


def fit_table(
    beta: Tensor,
    x: Tensor,
    prior: Prior,
    white: int,
    *,
    white_is_known: bool,
    lesion: int | None = None,
    start: Tensor | None = None,
) -> Fit:
    """The maximum a posteriori table of voxels x (voxels,) with tissue fractions beta (voxels, tissues).

    ``white`` and ``lesion`` are indices in the table. White matter stays at 1 if ``white_is_known``, lesions within a
    standard deviation of the prior. The iteration begins at the table ``start``, by default that of the prior.
    """
    measured = prior.theta > NOISE_FLOOR
    if lesion is not None:
        measured[lesion] = False
    beta, x = _pure(beta, x, measured)
    mean, precision = prior.mean, torch.linalg.inv(prior.covariance)
    logs = mean.clone() if start is None else (start.double() + DARKEST).log()
    deviation = float("inf")
    for _ in range(STEPS):
        deviation, hessian, gradient = _normal_equations(beta, x, logs)
        hessian, gradient = hessian + precision, gradient - precision @ (logs - mean)
        if white_is_known:
            gradient[white], hessian[white], hessian[:, white] = 0.0, 0.0, 0.0
            hessian[white, white] = 1.0
        change = torch.linalg.solve(hessian, gradient).clamp(-0.5, 0.5)
        logs = logs + change
        if float(change.abs().max()) < CONVERGED:
            break
    if lesion is not None:
        spread = prior.covariance[lesion, lesion].sqrt()
        logs[lesion] = logs[lesion].clamp(mean[lesion] - spread, mean[lesion] + spread)
    theta = (logs.exp() - DARKEST).clamp(min=0)
    unit = 1.0 if white_is_known else max(float(theta[white]), 1e-3)
    return Fit((theta / unit).float(), unit, deviation)


def _normal_equations(beta: Tensor, x: Tensor, logs: Tensor) -> tuple[float, Tensor, Tensor]:
    """Robust deviation of the residuals at ``logs``, and Hessian and gradient of their weighted squares."""
    error = x - beta @ (logs.exp() - DARKEST)
    deviation = max(LEAST_DEVIATION, 1.4826 * float(error.abs().median()) if len(error) else LEAST_DEVIATION)
    weights = (1 - (error / (2 * ROBUST * deviation)).square()).clamp(min=0).square()
    scaled = weights / (deviation**2 * CORRELATED)
    jacobian = beta * logs.exp()
    return deviation, jacobian.T @ (jacobian * scaled[:, None]), jacobian.T @ (error * scaled)


def _pure(beta: Tensor, x: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
    """Fractions and intensities (float64) of voxels that are nearly pure in one of the ``measured`` tissues."""
    several, few = VOXELS
    beta, x = (values[:: 1 + len(x) // several] for values in (beta, x))
    largest, tissue = beta.max(dim=1)
    limits = torch.stack([_least_share(largest[tissue == one]) for one in range(beta.shape[1])])
    pure = ((largest > limits[tissue]) & measured.to(beta.device)[tissue]).nonzero()[:, 0]
    pure = pure[:: 1 + len(pure) // few]
    return beta[pure].double(), x[pure].double()


def _least_share(shares: Tensor) -> Tensor:
    """The smallest fraction required of a tissue, given its fractions (voxels,): higher if enough voxels are pure."""
    if len(shares) < ENOUGH:
        return torch.tensor(PURE[0], device=shares.device)
    return shares.topk(ENOUGH).values[-1].clamp(*PURE)


def measure(slices: Tensor, encode: Encode, fit: Callable[[Tensor, Tensor], Fit], start: Tensor, inside: Tensor) -> Fit:
    """Theta of an image from voxels ``inside`` (slices, h, w) of some of its slices (slices, 1, h, w).

    ``encode`` returns tissue fractions of these voxels for the current theta (initially ``start``), and ``fit`` the
    table for fractions and intensities (``fit_table``). The image is rescaled to the estimated white matter.
    """
    found = Fit(start, 1.0, float("inf"))
    unit = 1.0
    for _ in range(ROUNDS):
        scaled = slices / unit
        found = fit(encode(scaled, found.theta), scaled[:, 0][inside])
        unit *= found.white
    return Fit(found.theta, unit, found.residual)


def likeliest(fit: Fit, priors: Mapping[str, Prior]) -> str:
    """The contrast whose prior has the smallest Mahalanobis distance to the table."""
    return min(priors, key=lambda contrast: priors[contrast].distance(fit.theta))
