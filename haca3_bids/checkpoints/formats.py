"""Weight files: the authors' HACA3, HACA3+ and fusion checkpoints, and the safetensors files of this package."""

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from haca3_bids.checkpoints.header import FAMILIES, Networks, read_header
from haca3_bids.checkpoints.header import Reference as Reference
from haca3_bids.checkpoints.registry import BUILTIN, builtin_path, find_by_hash
from haca3_bids.digest import file_sha256
from haca3_bids.errors import CannotCreate, Unavailable, UsageError
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.haca3 import VARIANTS, Haca3Config
from haca3_bids.networks.table import Prior
from haca3_bids.partial import partial_file

PARTS = ("beta_encoder", "decoder", "theta_encoder", "eta_encoder", "attention_module", "patchifier")
FUSION_KEY = "fusion_net"
HEADER = ("config", "references", "card", "priors")
OWN_FORMAT = "haca3-bids"  # the value of "format" in the header of our own files

N = TypeVar("N", bound=nn.Module)
State = dict[str, Tensor]


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


@dataclass(frozen=True)
class _File:
    """The contents of a weight file of either format."""

    state: State
    header: Mapping[str, Any]  # "config", "references", "priors", "card" of our own files; empty for the authors'


def load_checkpoint(path: str | os.PathLike[str], variant: str | None = None) -> Checkpoint:
    """The harmonization networks in a file of the authors or our own, in evaluation mode, fp32, on the CPU.

    The authors' files do not name their variant. It is the one given, else that of the registry for this SHA-256, else
    that of the file's header, else HACA3. Raises Unavailable for a file that cannot be used, UsageError for a variant
    of a mixture model.
    """
    path = Path(path)
    contents, sha256 = _read(path), file_sha256(path)
    try:
        header = read_header(contents.header)
    except ValueError as error:
        hint = "It may be damaged, or require a newer version of this program."
        raise _unusable(path, f"describes unknown networks ({error})", hint) from error
    config = header.config
    if isinstance(config, Haca3Config):
        entry = find_by_hash(sha256)
        config = replace(config, variant=_variant(variant or (entry and entry.variant) or config.variant))
    elif variant not in (None, config.variant):
        sentence = f"--variant {variant} does not apply to {_name(path, sha256)}, which is a mixture model."
        raise UsageError(sentence, "Omit it, or choose HACA3 weights with --weights.")
    wanted = "HACA3 weights" if isinstance(config, Haca3Config) else "weights of this version's mixture model"
    found = "fusion" if any(key.startswith(FUSION_KEY) for key in contents.state) else ""
    model = _filled(partial(FAMILIES[type(config)], config), contents.state, path, wanted, found)
    return Checkpoint(model, _name(path, sha256), sha256, header.references, header.card, header.priors)


def _variant(chosen: str) -> str:
    if chosen not in VARIANTS:
        raise Unavailable(f"There is no variant {chosen}.", f"Choose one of {', '.join(VARIANTS)}.")
    return chosen


def load_fusion(path: str | os.PathLike[str]) -> FusionNet:
    """The fusion network in a file of the authors or our own, in evaluation mode, fp32, on the CPU."""
    path = Path(path)
    state = {key.removeprefix(f"{FUSION_KEY}."): value for key, value in _read(path).state.items()}
    found = "HACA3" if "beta_encoder.in_conv.weight" in state else ""
    return _filled(FusionNet, state, path, "a fusion network", found)


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Networks,
    *,
    references: Mapping[str, Reference],
    card: Mapping[str, str],
    priors: Mapping[str, Prior] | None = None,
    half: bool = True,
) -> None:
    """Write the networks, with configuration, references, card and priors in the header; ``half`` stores fp16."""
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
    """A description of a weight file as JSON values: name, SHA-256, configuration, references and card."""
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
    """Convert a weight file of any format to our own."""
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
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        header = {key: json.loads(metadata[key]) for key in HEADER if key in metadata}
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or error})", "") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        hint = "It may be truncated; copy or download it again."
        raise _unusable(path, "cannot be read as safetensors", hint) from error
    if metadata.get("format") != OWN_FORMAT:
        raise _unusable(path, "was not written by haca3-bids", "Is it a file of another program?")
    return _File(state, header)


def _read_authors(path: Path) -> _File:
    """Read a checkpoint of nested state dicts; epoch, optimizer, scheduler and the like are ignored."""
    try:
        _check_archive(path)
        with path.open("rb") as file:
            contents = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or error})", "") from error
    except Exception as error:  # a damaged pickle ends in errors of any kind
        hint = "It may be truncated, or no PyTorch checkpoint; copy or fetch it again."
        raise _unusable(path, f"cannot be read as a PyTorch checkpoint ({type(error).__name__})", hint) from error
    if not isinstance(contents, Mapping):
        raise _unusable(path, f"contains a {type(contents).__name__}, not a checkpoint", "")
    state = {
        f"{part}.{key}": value
        for part, values in contents.items()
        if part in (*PARTS, FUSION_KEY) and isinstance(values, Mapping)
        for key, value in values.items()
        if isinstance(value, Tensor) and value.layout == torch.strided
    }
    return _File(state, {})


def _check_archive(path: Path) -> None:
    """Raise BadZipFile if an entry is compressed, since PyTorch compresses none (it may be a decompression bomb)."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
                raise zipfile.BadZipFile


def _filled(build: Callable[[], N], state: State, path: Path, wanted: str, found: str) -> N:
    """A network with the weights of the file, whose shapes are checked before any memory is allocated."""
    try:
        with torch.device("meta"):
            expected = build().state_dict()
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _unusable(path, f"describes impossible networks ({error})", "It may be damaged.") from error
    wrong = sorted(key for key in expected if key not in state or state[key].shape != expected[key].shape)
    if wrong:
        what = f"holds {found} weights" if found else f"lacks {len(wrong)} of {len(expected)} tensors ({wrong[0]}, ...)"
        raise _unusable(path, f"is not {wanted}: it {what}", "Use the option for this kind of file.")
    numbers = {key: state[key].float() for key in expected}
    if not all(bool(torch.isfinite(value).all()) for value in numbers.values()):
        raise _unusable(path, "contains weights that are not finite", "It is damaged, or its training failed.")
    network = build()
    network.load_state_dict(numbers)
    network.eval().requires_grad_(False)
    return network


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
            partial.write_bytes(save(tensors, metadata=metadata))  # save_file would set mode 600
    except (OSError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise CannotCreate(
            f"{path} cannot be written ({why}).", "Does its folder exist, and is there space?"
        ) from error


def _unusable(path: Path, what: str, hint: str) -> Unavailable:
    return Unavailable(f"{path.name} {what}.", hint)
