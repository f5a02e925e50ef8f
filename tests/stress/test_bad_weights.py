"""Weight files that are none, or that are made to do harm: refused with a sentence, and no code of theirs is run."""

from __future__ import annotations

import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import Run
from safetensors.torch import save
from torch import Tensor

from haca3_bids.checkpoints.formats import convert, describe_file, load_checkpoint, load_fusion, save_checkpoint
from haca3_bids.errors import Unavailable
from haca3_bids.networks.fusion import FusionNet
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.networks.table import Prior
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.training.mixture_export import references

MEMORY_KB = 300_000
HUGE = 2**40
Make = Callable[[Path], Any]
MODEL = Mixture(MixtureConfig(TISSUES, widths=(4, 4, 4, 4), hidden=4, keys=4))
STATE = {key: value.half() for key, value in MODEL.state_dict().items()}
PRIOR = Prior(torch.zeros(len(TISSUES)), torch.eye(len(TISSUES)), 1.0)
TARGETS = references()


class Bomb:
    """A pickle that leaves a trace of itself when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def own(change: Callable[[dict[str, Any]], Any] | None = None, state: Mapping[str, Tensor] = STATE) -> Make:
    """A file of our own, whose header ``change`` changes."""

    def make(path: Path) -> None:
        save_checkpoint(path, MODEL, references=TARGETS, card={}, priors={"T1w": PRIOR})
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        texts = json.loads(content[8 : 8 + size])["__metadata__"]
        header = {key: json.loads(text) for key, text in texts.items() if key != "format"}
        if change:
            change(header)
        words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in header.items()}
        path.write_bytes(save(dict(state), metadata={"format": "haca3-bids"} | words))

    return make


def changed(part: str, *keys: str | int, to: Any) -> Make:
    def change(header: dict[str, Any]) -> None:
        place = header[part]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return own(change)


def stretched() -> dict[str, Tensor]:
    """A fusion network of which one tensor is a single number, seen a trillion times."""
    state = FusionNet().state_dict()
    name = next(iter(state))
    return {**state, name: torch.zeros(1).expand(1000, 1000, 1000, 1000)}


def squeezed(path: Path) -> None:
    """An archive whose entries are packed: PyTorch packs none."""
    torch.save({"fusion_net": FusionNet().state_dict()}, path)
    with zipfile.ZipFile(path) as archive:
        contents = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content if "/data/" not in name else bytes(2**20))


FILES: dict[str, tuple[str, Make, str]] = {
    "a pickle that runs a command": (
        "bomb.pt",
        lambda path: path.write_bytes(pickle.dumps(Bomb(path.with_name("trace")))),
        "cannot be read",
    ),
    "a checkpoint that runs a command": (
        "bomb.pt",
        lambda path: torch.save({"fusion_net": Bomb(path.with_name("trace"))}, path),
        "cannot be read",
    ),
    "an old checkpoint that runs a command": (
        "bomb.pt",
        lambda path: torch.save(Bomb(path.with_name("trace")), path, _use_new_zipfile_serialization=False),
        "cannot be read",
    ),
    "a pickle in a file of another kind": (
        "bomb.safetensors",
        lambda path: path.write_bytes(pickle.dumps(Bomb(path.with_name("trace")))),
        "cannot be read as safetensors",
    ),
    "a pickle of a pickle": ("deep.pt", lambda path: path.write_bytes(b"(" * 100_000 + b"."), "cannot be read"),
    "a packed archive": ("packed.pt", squeezed, "cannot be read"),
    "a number seen a trillion times": (
        "stretched.pt",
        lambda path: torch.save({"fusion_net": stretched()}, path),
        "lacks 1 of",
    ),
    "sparse weights": (
        "sparse.pt",
        lambda path: torch.save(
            {"fusion_net": {key: value.to_sparse() for key, value in FusionNet().state_dict().items()}}, path
        ),
        "lacks",
    ),
    "a header of an exabyte": (
        "huge.safetensors",
        lambda path: path.write_bytes((2**60).to_bytes(8, "little") + b"{}"),
        "cannot be read as safetensors",
    ),
    "a header of nothing": ("no.safetensors", lambda path: path.write_bytes(bytes(8)), "cannot be read"),
    "tensors beyond the end": (
        "beyond.safetensors",
        lambda path: (own()(path), path.write_bytes(path.read_bytes()[:-100])),
        "cannot be read",
    ),
    "a deep header": (
        "deep.safetensors",
        own(lambda header: header.update(config="[" * 100_000)),
        "cannot be read",
    ),
    "a header of no JSON": ("no.safetensors", own(lambda header: header.update(card="{")), "cannot be read"),
    "a config that is a list": ("list.safetensors", own(lambda header: header.update(config=[])), "unknown networks"),
    "a config of a newer version": ("new.safetensors", changed("config", "heads", to=8), "unknown entry 'heads'"),
    "a network without levels": ("none.safetensors", changed("config", "widths", to=[]), "widths cannot be"),
    "a network of a trillion channels": (
        "huge.safetensors",
        changed("config", "widths", to=[HUGE] * 4),
        "widths cannot be",
    ),
    "a network of many levels": (
        "deep.safetensors",
        changed("config", "widths", to=[4] * 10_000),
        "widths cannot be",
    ),
    "a network that is larger than its file": ("large.safetensors", changed("config", "hidden", to=4096), "lacks"),
    "half a channel": ("half.safetensors", changed("config", "hidden", to=4.5), "unknown networks"),
    "less than a channel": ("less.safetensors", changed("config", "keys", to=-4), "keys cannot be"),
    "odd channels": ("odd.safetensors", changed("config", "widths", to=[3, 5, 7, 9]), "lacks"),
    "an unknown variant": (
        "other.safetensors",
        own(lambda header: header.update(config={"variant": "../x"})),
        "is not one of",
    ),
    "a target of a path": (
        "path.safetensors",
        own(lambda header: header.update(references={"../../x": header["references"]["T1w"]})),
        "unknown contrast",
    ),
    "a target of another contrast": (
        "other.safetensors",
        changed("references", "T1w", "contrast", to="T2w"),
        "unknown contrast",
    ),
    "a target of other length": ("short.safetensors", changed("references", "T1w", "theta", to=[1.0]), "not for these"),
    "a target of words": ("words.safetensors", changed("references", "T1w", "theta", to="abc"), "unknown networks"),
    "a target of NaN": ("nan.safetensors", changed("references", "T1w", "scale", to=float("nan")), "impossible"),
    "a scale of zero": ("zero.safetensors", changed("references", "T1w", "scale", to=0), "impossible"),
    "no target": ("no.safetensors", changed("references", "T1w", to=None), "unknown networks"),
    "a prior of other length": ("short.safetensors", changed("priors", "T1w", "mean", to=[0.0]), "not for these"),
    "a prior without spread": (
        "flat.safetensors",
        changed("priors", "T1w", "covariance", to=[[0.0] * len(TISSUES)] * len(TISSUES)),
        "impossible numbers",
    ),
    "a prior that is not symmetric": (
        "skewed.safetensors",
        changed("priors", "T1w", "covariance", 0, 1, to=9.0),
        "impossible numbers",
    ),
    "a prior that lacks a part": ("part.safetensors", changed("priors", "T1w", to={"mean": []}), "unknown networks"),
    "weights of NaN": (
        "nan.safetensors",
        own(state={**STATE, "deviation_variance": torch.full((3,), torch.nan)}),
        "not finite",
    ),
    "infinite weights": (
        "inf.pt",
        lambda path: torch.save(
            {"fusion_net": {key: value + torch.inf for key, value in FusionNet().state_dict().items()}}, path
        ),
        "not finite",
    ),
    "weights of other shape": (
        "shape.safetensors",
        own(state={**STATE, "deviation_variance": torch.zeros(4)}),
        "lacks 1 of",
    ),
    "words for weights": (
        "words.pt",
        lambda path: torch.save({"fusion_net": dict.fromkeys(FusionNet().state_dict(), "x")}, path),
        "lacks",
    ),
    "numbers for names": ("names.pt", lambda path: torch.save({"decoder": {1: torch.ones(1)}}, path), "lacks"),
}


@pytest.mark.parametrize("kind", FILES)
def test_bad_weights_are_refused_with_a_sentence(kind: str, tmp_path: Path) -> None:
    name, make, words = FILES[kind]
    path = tmp_path / name
    make(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unavailable) as caught:
        (load_fusion if path.suffix == ".pt" and "names" not in name else load_checkpoint)(path)
    assert words in caught.value.sentence
    assert caught.value.sentence.startswith(name)
    assert len(caught.value.sentence) < 300
    assert not (tmp_path / "trace").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + MEMORY_KB


def test_the_file_that_was_not_changed_is_read(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    own()(path)
    checkpoint = load_checkpoint(path)
    assert torch.equal(checkpoint.model.state_dict()["deviation_variance"], STATE["deviation_variance"].float())
    assert dict(checkpoint.references) == TARGETS
    assert checkpoint.priors.keys() == {"T1w"}


@pytest.mark.parametrize("use", [lambda path: describe_file(path), lambda path: convert(path, path, "haca3")])
def test_no_other_command_takes_what_is_refused(use: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "nan.safetensors"
    FILES["weights of NaN"][1](path)
    with pytest.raises(Unavailable, match="not finite"):
        use(path)


@pytest.mark.slow
def test_a_run_with_a_bomb_for_weights_ends_before_it_begins(run: Run) -> None:
    run.folder.mkdir(exist_ok=True)
    bomb = run.folder / "bomb.pt"
    FILES["a checkpoint that runs a command"][1](bomb)
    real = Run(run.folder, run.bids, "real", run.words)
    assert real.finish("--weights", str(bomb), "--template", "builtin") == 69
    assert "bomb.pt cannot be read as a PyTorch checkpoint" in real.said
    assert "Traceback" not in real.said
    assert not (run.folder / "trace").exists()
    assert not run.out.exists()
