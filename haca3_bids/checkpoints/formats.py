"""Weight files: the authors' HACA3, HACA3+ and fusion checkpoints, and the safetensors files of this package."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from haca3_bids.checkpoints.registry import BUILTIN, builtin_path, find_by_hash
from haca3_bids.digest import file_sha256
from haca3_bids.errors import CannotCreate, Unavailable, UsageError
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import VARIANTS, Haca3, Haca3Config
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.networks.table import Prior
from haca3_bids.partial import partial_file

PARTS = ("beta_encoder", "decoder", "theta_encoder", "eta_encoder", "attention_module", "patchifier")
FUSION_KEY = "fusion_net"
HEADER = ("config", "references", "card", "priors")
OWN_FORMAT = "haca3-bids"  # the value of "format" in the header of our own files
BROKEN = (pickle.UnpicklingError, RuntimeError, EOFError, zipfile.BadZipFile, ValueError, KeyError, UnicodeDecodeError)

State = dict[str, Tensor]
Networks = Haca3 | Mixture


@dataclass(frozen=True)
class Reference:
    """A built-in target: the contrast that comes with the weights."""

    contrast: str
    theta: tuple[float, ...]  # two numbers (HACA3), or the intensities of the tissues (mixture model)
    eta: tuple[float, ...]
    scale: float  # intensity that is 1 to the networks
    description: str
    clean_eta: tuple[float, ...] = ()  # quantiles, 0 to 1 in equal steps, of the distance to eta in clean scans

    def __post_init__(self) -> None:
        for name in ("theta", "eta", "clean_eta"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))


@dataclass(frozen=True)
class Checkpoint:
    """Networks ready for inference, and what is known about them."""

    model: Networks
    name: str
    sha256: str
    references: Mapping[str, Reference]
    card: Mapping[str, str]
    priors: Mapping[str, Prior] = field(default_factory=dict)  # of the mixture model's theta, by contrast

    @property
    def variant(self) -> str:
        """The family: "mixture", "haca3" or "haca3plus"."""
        return self.model.config.variant

    def with_protocols(self, tables: Mapping[str, Sequence[float]]) -> Checkpoint:
        """The same with priors about the tables of known protocols, by contrast; HACA3 has no priors."""
        known = {
            contrast: self.priors[contrast].about(tables[contrast]) for contrast in tables if contrast in self.priors
        }
        return replace(self, priors={**self.priors, **known})


@dataclass(frozen=True)
class _File:
    """The contents of a weight file of either format, not yet in a network."""

    state: State
    header: Mapping[str, Any]  # "config", "references", "card" of our own files; empty for the authors'


def load_checkpoint(path: str | os.PathLike[str], variant: str | None = None) -> Checkpoint:
    """The harmonization networks in a file of the authors' or of our own, in evaluation mode, fp32, on the CPU.

    Both variants of the authors' files have the same names: the variant is the one given, else the file's own, else
    what the registry knows of this SHA-256, else HACA3. Raises Unavailable for a file that cannot be used.
    """
    path = Path(path)
    contents, sha256 = _read(path), file_sha256(path)
    entry = find_by_hash(sha256)
    config = _config(contents.header.get("config", {}), path)
    model: Networks
    if isinstance(config, MixtureConfig):
        model = Mixture(config)
    else:
        chosen = variant or (entry.variant if entry and entry.variant else config.variant)
        if chosen not in VARIANTS:
            raise Unavailable(f"There is no variant {chosen}.", f"Choose one of {', '.join(VARIANTS)}.")
        model = Haca3(replace(config, variant=chosen))
    wanted = "weights of this version's mixture model" if isinstance(model, Mixture) else "HACA3 weights"
    _fill(model, contents.state, path, wanted, "fusion" if _is_fusion(contents.state) else "")
    references = {key: Reference(**value) for key, value in contents.header.get("references", {}).items()}
    card = {str(key): str(value) for key, value in contents.header.get("card", {}).items()}
    priors = {contrast: Prior.from_json(fields) for contrast, fields in contents.header.get("priors", {}).items()}
    return Checkpoint(model, _name(path, sha256), sha256, references, card, priors)


def load_fusion(path: str | os.PathLike[str]) -> FusionNet:
    """The fusion network in a file of the authors' or of our own, in evaluation mode, fp32, on the CPU."""
    path = Path(path)
    state = {key.removeprefix(f"{FUSION_KEY}."): value for key, value in _read(path).state.items()}
    net = FusionNet()
    _fill(net, state, path, "a fusion network", "HACA3" if "beta_encoder.in_conv.weight" in state else "")
    return net


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Networks,
    *,
    references: Mapping[str, Reference],
    card: Mapping[str, str],
    priors: Mapping[str, Prior] | None = None,
    half: bool = True,
) -> None:
    """Write the networks, with configuration, references and card in the header; ``half`` stores 16-bit numbers."""
    header = {
        "config": asdict(model.config),
        "references": {name: asdict(reference) for name, reference in references.items()},
        "card": dict(card),
        "priors": {contrast: prior.to_json() for contrast, prior in (priors or {}).items()},
    }
    _write(Path(path), model.state_dict(), header, half)


def save_fusion(path: str | os.PathLike[str], net: FusionNet, *, card: Mapping[str, str], half: bool = True) -> None:
    """Write the fusion network, with its card in the header."""
    state = {f"{FUSION_KEY}.{key}": value for key, value in net.state_dict().items()}
    _write(Path(path), state, {"card": dict(card)}, half)


def describe_file(path: str | os.PathLike[str], kind: str = "haca3") -> dict[str, Any]:
    """What can be said of a weight file, as JSON values: name, SHA-256, configuration, references and card."""
    path = Path(path)
    sha256 = file_sha256(path) if path.is_file() else ""
    facts = {"file": path.name, "bytes": path.stat().st_size if sha256 else 0, "sha256": sha256}
    if kind == "fusion":
        load_fusion(path)
        return facts | {"name": _name(path, sha256), "card": dict(_read(path).header.get("card", {}))}
    checkpoint = load_checkpoint(path)
    return facts | {
        "name": checkpoint.name,
        "config": asdict(checkpoint.model.config),
        "references": {name: asdict(reference) for name, reference in checkpoint.references.items()},
        "card": dict(checkpoint.card),
    }


def convert(path: Path, out: Path, kind: str, variant: str | None = None, half: bool = False) -> None:
    """Rewrite a weight file of any format as one of our own."""
    if out.suffix != ".safetensors":
        raise UsageError(f"{out.name} does not end in .safetensors.", "Converted files require this extension.")
    origin = {"converted_from": path.name, "sha256_of_original": file_sha256(path)}
    if kind == "fusion":
        save_fusion(out, load_fusion(path), card=origin, half=half)
        return
    checkpoint = load_checkpoint(path, variant)
    card = dict(checkpoint.card) | origin
    save_checkpoint(
        out, checkpoint.model, references=checkpoint.references, card=card, priors=checkpoint.priors, half=half
    )


def _read(path: Path) -> _File:
    if not path.is_file():
        raise Unavailable(f"The weights file {path} cannot be found.")
    return _read_own(path) if path.suffix == ".safetensors" else _read_authors(path)


def _read_own(path: Path) -> _File:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        header = {key: json.loads(metadata[key]) for key in HEADER if key in metadata}
    except (SafetensorError, *BROKEN) as error:
        raise _unusable(
            path, "cannot be read as safetensors", "It may be truncated; copy or download it again."
        ) from error
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or error})", "") from error
    if metadata.get("format") != OWN_FORMAT:
        raise _unusable(path, "was not written by haca3-bids", "Is it a file of another program?")
    return _File(state, header)


def _read_authors(path: Path) -> _File:
    """A checkpoint of nested state dicts; epoch, optimizer, scheduler and the like are passed over."""
    try:
        with path.open("rb") as file:
            contents = torch.load(file, map_location="cpu", weights_only=True)
    except BROKEN as error:
        hint = "It may be truncated, or no PyTorch checkpoint; copy or fetch it again."
        raise _unusable(path, f"cannot be read as a PyTorch checkpoint ({type(error).__name__})", hint) from error
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or error})", "") from error
    if not isinstance(contents, Mapping):
        raise _unusable(path, f"contains a {type(contents).__name__}, not a checkpoint", "")
    state = {
        f"{part}.{key}": value.float()
        for part, values in contents.items()
        if part in (*PARTS, FUSION_KEY) and isinstance(values, Mapping)
        for key, value in values.items()
        if isinstance(value, Tensor)
    }
    return _File(state, {})


def _config(fields: Mapping[str, Any], path: Path) -> Haca3Config | MixtureConfig:
    try:
        return MixtureConfig(**fields) if "tissues" in fields else Haca3Config(**fields)
    except (TypeError, ValueError) as error:
        raise _unusable(
            path, f"describes unknown networks ({error})", "It may require a newer version of this program."
        ) from error


def _fill(network: nn.Module, state: State, path: Path, wanted: str, found: str) -> None:
    expected = network.state_dict()
    wrong = sorted(key for key in expected if key not in state or state[key].shape != expected[key].shape)
    if wrong:
        what = f"holds {found} weights" if found else f"lacks {len(wrong)} of {len(expected)} tensors ({wrong[0]}, ...)"
        raise _unusable(path, f"is not {wanted}: it {what}", "Use the option for this kind of file.")
    network.load_state_dict({key: state[key] for key in expected})
    network.eval().requires_grad_(False)


def _is_fusion(state: State) -> bool:
    return any(key.startswith(FUSION_KEY) for key in state)


def _name(path: Path, sha256: str) -> str:
    if path.resolve() == builtin_path().resolve():
        return BUILTIN
    entry = find_by_hash(sha256)
    return entry.name if entry else path.stem


def _write(path: Path, state: Mapping[str, Tensor], header: Mapping[str, object], half: bool) -> None:
    tensors = {key: (value.half() if half else value.float()).contiguous().cpu() for key, value in state.items()}
    metadata = {"format": OWN_FORMAT} | {key: json.dumps(value, sort_keys=True) for key, value in header.items()}
    try:
        with partial_file(path) as partial:
            partial.write_bytes(save(tensors, metadata=metadata))  # save_file would let nobody else read it
    except (OSError, SafetensorError) as error:
        raise CannotCreate(f"{path} cannot be written ({error}).") from error


def _unusable(path: Path, what: str, hint: str) -> Unavailable:
    return Unavailable(f"{path.name} {what}.", hint)
