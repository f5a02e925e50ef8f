"""Validation on slices of unseen people: scores compared with the unharmonized scans, and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from haca3_bids.networks.haca3 import Haca3, argmax_beta

SEED = 1_000_003  # of what is validated on: other random numbers than those of a training
BRIGHTEST = 1.6  # shown in figures, relative to the 95th percentile
Sample = Mapping[str, Any]


@torch.inference_mode()
def harmonize_slice(model: Haca3, sample: Sample) -> Tensor:
    """The sources of a sample harmonized to its target, as at inference (mean theta), (224, 224).

    The model is in evaluation mode.
    """
    images = sample["sources"][sample["available"]][:, None]
    query = model.codes(sample["reference"][:, None]).mean(dim=0, keepdim=True)
    alpha = model.attend(model.codes(images)[None], query)
    beta = argmax_beta(model.fuse(model.encode(images)[None], alpha))
    image: Tensor = model.decode(beta, query[:, :2])[0, 0] * sample["mask"]
    return image


def psnr(image: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Peak signal-to-noise ratio (dB) inside the mask; the data range is 1 (the 95th percentile)."""
    error = ((image - truth)[mask] ** 2).mean().item()
    return float(-10 * np.log10(max(error, 1e-10)))


def score(model: Haca3, samples: Sequence[Sample], contrasts: Sequence[str]) -> dict[str, float]:
    """Mean PSNR (dB) and correlation inside the head by target contrast; ``nothing`` is the PSNR of the best source."""
    rows: dict[str, list[float]] = {}
    for sample in samples:
        image, truth, mask = harmonize_slice(model, sample), sample["truth"], sample["mask"]
        contrast = contrasts[sample["contrast"]]
        nothing = max(psnr(source, truth, mask) for source in sample["sources"][sample["available"]])
        correlation = float(np.corrcoef(image[mask].numpy(), truth[mask].numpy())[0, 1])
        for name, value in (("psnr", psnr(image, truth, mask)), ("nothing", nothing), ("correlation", correlation)):
            rows.setdefault(f"{name}_{contrast}", []).append(value)
            rows.setdefault(name, []).append(value)
    return {name: float(np.nanmean(values)) for name, values in sorted(rows.items())}


def draw_figure(model: Haca3, samples: Sequence[Sample], path: Path) -> None:
    """Write a PNG file: first source, harmonized image, truth and reference of each sample."""
    rows = [
        {
            "source": sample["sources"][sample["available"]][0],
            "harmonized": harmonize_slice(model, sample),
            "truth": sample["truth"],
            "reference": sample["reference"][0],
        }
        for sample in samples
    ]
    draw_rows(rows, [BRIGHTEST] * len(rows), path)


def draw_rows(rows: Sequence[Mapping[str, ArrayLike]], brightest: Sequence[float], path: Path) -> None:
    """Write a PNG file with rows of images by title; the intensities of a row from 0 to ``brightest`` are shown."""
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(2.5 * len(rows[0]), 2.5 * len(rows)), layout="tight")
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for line, images, white in zip(axes, rows, brightest, strict=True):
        for axis, (title, image) in zip(line, images.items(), strict=True):
            axis.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=white)
            axis.set_title(title)
            axis.set_axis_off()
    figure.savefig(path, dpi=60)
