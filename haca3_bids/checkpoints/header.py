"""The header of our own weight files: configuration, built-in targets, priors, card. Files are not trusted."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch

from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.networks.table import Prior
from haca3_bids.records.files import from_values
from haca3_bids.settings import CONTRASTS

LARGEST = 4096  # channels of a layer; networks of this package are far smaller
MOST = 256  # tissues, or levels of a network
LARGEST_LOG = 20.0  # of an intensity with white matter = 1
LARGEST_SPREAD = 1e9  # variance of such a logarithm, and its inverse

Config = Haca3Config | MixtureConfig
Networks = Haca3 | Mixture
Make = Callable[[Any], Networks]  # from a configuration of the family
FAMILIES: Mapping[type[Config], Make] = {Haca3Config: Haca3, MixtureConfig: Mixture}


@dataclass(frozen=True)
class Reference:
    """A built-in target: the contrast that comes with the weights."""

    contrast: str
    theta: tuple[float, ...]  # two numbers (HACA3), or the intensities of the tissues (mixture model)
    eta: tuple[float, ...]
    scale: float  # intensity that the networks see as 1
    description: str
    clean_eta: tuple[float, ...] = ()  # quantiles, in equal steps from 0 to 1, of the distance to eta in clean scans

    def __post_init__(self) -> None:
        for name in ("theta", "eta", "clean_eta"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))


@dataclass(frozen=True)
class Header:
    """The header of a weight file; the defaults are those of the authors' files, which have none."""

    config: Config = field(default_factory=Haca3Config)
    references: Mapping[str, Reference] = field(default_factory=dict)  # by contrast
    priors: Mapping[str, Prior] = field(default_factory=dict)  # by contrast
    card: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _PriorFields:
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    upper: float


def read_header(values: Mapping[str, Any]) -> Header:
    """The header from JSON values by name; ValueError if something in it is invalid."""
    config = read_config(values.get("config", {}))
    references = from_values(values.get("references", {}), dict[str, Reference])
    for contrast, reference in references.items():
        _check_reference(contrast, reference, config)
    priors = from_values(values.get("priors", {}), dict[str, _PriorFields])
    card = from_values(values.get("card", {}), dict[str, Any])
    return Header(
        config,
        references,
        {contrast: _prior(contrast, fields, config) for contrast, fields in priors.items()},
        {key: str(value) for key, value in card.items()},
    )


def read_config(values: Any) -> Config:
    """The configuration of networks of either family; ValueError if this version does not support it."""
    given = from_values(values, dict[str, Any])
    kind = max((kind for kind in FAMILIES if _required(kind) <= given.keys()), key=lambda kind: len(_required(kind)))
    unknown = sorted(given.keys() - {one.name for one in fields(kind)})
    if unknown:
        raise ValueError(f"unknown entry '{unknown[0]}'")
    config: Config = from_values(given, kind)
    for one in fields(kind):
        _check_size(one.name, getattr(config, one.name))
    return config


def _required(kind: type[Config]) -> set[str]:
    """The entries without a default, by which families are told apart; HACA3 has none, as its files have no header."""
    return {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}


def _check_size(name: str, value: Any) -> None:
    several = isinstance(value, tuple)
    numbers = [one for one in (value if several else (value,)) if isinstance(one, int)]
    if any(not 0 <= number <= LARGEST for number in numbers) or (several and not 1 <= len(value) <= MOST):
        raise ValueError(f"{name} cannot be {str(value)[:40]}")


def _check_reference(contrast: str, reference: Reference, config: Config) -> None:
    numbers = *reference.theta, *reference.eta, *reference.clean_eta, reference.scale
    if contrast not in CONTRASTS or reference.contrast != contrast:
        raise ValueError(f"a target of the unknown contrast {contrast[:40]!r}")
    if (len(reference.theta), len(reference.eta)) != (config.theta_dim, config.eta_dim):
        raise ValueError(f"the target of {contrast} is not for these networks")
    if not all(map(math.isfinite, numbers)) or reference.scale <= 0:
        raise ValueError(f"the target of {contrast} has impossible numbers")


def _prior(contrast: str, given: _PriorFields, config: Config) -> Prior:
    size = config.theta_dim
    if contrast not in CONTRASTS or {len(given.mean), len(given.covariance), *map(len, given.covariance)} != {size}:
        raise ValueError(f"the prior of {contrast[:40]!r} is not for these networks")
    mean, covariance = (torch.tensor(one, dtype=torch.float64) for one in (given.mean, given.covariance))
    spread = covariance.diagonal()
    usual = (mean.abs() < LARGEST_LOG).all() and ((spread > 1 / LARGEST_SPREAD) & (spread < LARGEST_SPREAD)).all()
    symmetric = torch.allclose(covariance, covariance.T)  # Cholesky decomposition reads one half only
    if not usual or not symmetric or torch.linalg.cholesky_ex(covariance).info != 0 or not 0 < given.upper < math.inf:
        raise ValueError(f"the prior of {contrast} has impossible numbers")
    return Prior(mean, covariance, given.upper)
