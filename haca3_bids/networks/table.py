"""Theta of an image for the mixture model, measured: the tissue intensities that explain the image best.

Given the image's own anatomy beta, theta is a regression of the image x on beta. It is found as a maximum a posteriori
estimate in logarithms: the prior is what images of that contrast have (``Prior``), the data are weighted robustly. The
anatomy itself depends on theta, so both are found in turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from haca3_bids.networks.mixture import DARKEST

ROUNDS, STEPS = 3, 30  # of encoding and fitting; of Gauss-Newton within a fit, at most
CONVERGED = 1e-3  # largest change of a logarithm at which a fit ends
VOXELS = 200_000, 60_000  # of all, and of the pure ones: about as many are looked at, at most twice
CORRELATED = 100.0  # of these voxels count as one: neighbours err alike
LEAST_DEVIATION = 0.02  # of white matter: the images are never better than this
ROBUST = 2.5  # residuals beyond so many standard deviations count less (Tukey's biweight ends at twice as many)
PURE = (0.80, 0.92)  # least share of a voxel's main tissue: less pure voxels bias the table, and there are more of them
ENOUGH = 300  # of the purest voxels of a tissue that the upper limit must leave
NOISE_FLOOR = 0.03  # of white matter: darker tissue shows noise and is not measured
PROTOCOL_KNOWN = 0.25  # what is left of the prior's covariance where the protocol of an image is known
SURPLUS = 0.05**2  # variance of logarithms in addition: people differ, and equations are not scanners
Encode = Callable[[Tensor, Tensor], Tensor]  # slices, theta -> fractions of the named tissues, (voxels, tissues)


@dataclass(frozen=True)
class Prior:
    """Mean (tissues,) and covariance (tissues, tissues) of log(intensity + DARKEST) in images of one contrast."""

    mean: Tensor
    covariance: Tensor
    upper: float  # the 95th percentile of a head's image, white matter = 1

    @classmethod
    def of_tables(cls, tables: Tensor, upper: float, jitter: float = 0.05) -> Prior:
        """From tables (sites, tissues) of intensities; ``jitter`` is added to every standard deviation."""
        logs = (tables.double().clamp(min=0) + DARKEST).log()
        covariance = logs.T.cov() + jitter**2 * torch.eye(logs.shape[1], dtype=torch.float64)
        return cls(logs.mean(dim=0), covariance, upper)

    def about(self, theta: Sequence[float]) -> Prior:
        """The prior of images whose protocol is known: about the table of that protocol, and narrower."""
        logs = (torch.tensor(theta, dtype=torch.float64).clamp(min=0) + DARKEST).log()
        return replace(self, mean=logs, covariance=PROTOCOL_KNOWN * self.covariance + SURPLUS * torch.eye(len(logs)))

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {"mean": self.mean.tolist(), "covariance": self.covariance.tolist(), "upper": self.upper}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Prior:
        """The inverse of ``to_json``."""
        mean, covariance = (torch.tensor(fields[name], dtype=torch.float64) for name in ("mean", "covariance"))
        return cls(mean, covariance, float(fields["upper"]))

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
    """Tissue intensities (tissues,) with white matter = 1, in units of the image's white matter."""

    theta: Tensor
    white: float  # intensity of white matter in the units that the image came in
    residual: float  # robust standard deviation of what theta does not explain, relative to white matter


def fit_table(
    beta: Tensor, x: Tensor, prior: Prior, white: int, *, white_is_known: bool, lesion: int | None = None
) -> Fit:
    """The maximum a posteriori table of voxels x (voxels,) with tissue fractions beta (voxels, tissues).

    ``white`` is the place of white matter in the table; with ``white_is_known`` its intensity stays 1.
    """
    measured = prior.theta > NOISE_FLOOR
    if lesion is not None:
        measured[lesion] = False
    beta, x = _pure(beta, x, measured)
    mean, precision = prior.mean, torch.linalg.inv(prior.covariance)
    logs = mean.clone()
    weights, deviation = torch.ones_like(x), float("inf")
    for _ in range(STEPS):
        theta = logs.exp() - DARKEST
        error = x - beta @ theta
        deviation = max(LEAST_DEVIATION, 1.4826 * float(error.abs().median()) if len(error) else LEAST_DEVIATION)
        weights = (1 - (error / (2 * ROBUST * deviation)).square()).clamp(min=0).square()
        scaled = weights / (deviation**2 * CORRELATED)
        jacobian = beta * logs.exp()
        hessian = jacobian.T @ (jacobian * scaled[:, None]) + precision
        gradient = jacobian.T @ (error * scaled) - precision @ (logs - mean)
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


def _pure(beta: Tensor, x: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
    """Fractions and intensities, float64, of voxels that are nearly one of the ``measured`` tissues (tissues,)."""
    several, few = VOXELS
    beta, x = (values[:: 1 + len(x) // several] for values in (beta, x))
    largest, tissue = beta.max(dim=1)
    limits = torch.stack([_least_share(largest[tissue == one]) for one in range(beta.shape[1])])
    pure = ((largest > limits[tissue]) & measured.to(beta.device)[tissue]).nonzero()[:, 0]
    pure = pure[:: 1 + len(pure) // few]
    return beta[pure].double(), x[pure].double()


def _least_share(shares: Tensor) -> Tensor:
    """How pure voxels of a tissue must be, given their shares (voxels,) of it: purer where there are enough."""
    if len(shares) < ENOUGH:
        return torch.tensor(PURE[0], device=shares.device)
    return shares.topk(ENOUGH).values[-1].clamp(*PURE)


def measure(slices: Tensor, encode: Encode, fit: Callable[[Tensor, Tensor], Fit], start: Tensor, inside: Tensor) -> Fit:
    """Theta of an image from some of its slices (slices, 1, h, w); voxels ``inside`` (slices, h, w) count.

    ``encode`` gives tissue fractions of these voxels for the theta found so far, ``start`` at first, and ``fit`` the
    table of fractions and intensities (``fit_table``). The image is scaled to the white matter that was found.
    """
    found = Fit(start, 1.0, float("inf"))
    unit = 1.0
    for _ in range(ROUNDS):
        scaled = slices / unit
        found = fit(encode(scaled, found.theta), scaled[:, 0][inside])
        unit *= found.white
    return Fit(found.theta, unit, found.residual)


def likeliest(fit: Fit, priors: Mapping[str, Prior]) -> str:
    """The contrast in whose prior the table lies least far out."""
    return min(priors, key=lambda contrast: priors[contrast].distance(fit.theta))
