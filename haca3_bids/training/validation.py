"""Validation on slices of unseen people: scores compared with the unharmonized scans, and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from haca3_bids.networks.haca3 import Haca3, argmax_beta

Sample = Mapping[str, Any]


@torch.inference_mode()
def harmonize_slice(model: Haca3, sample: Sample) -> Tensor:
    """The sources of a sample harmonized to its target, as at inference (mean theta), (224, 224)."""
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
    model.eval()
    for sample in samples:
        image, truth, mask = harmonize_slice(model, sample), sample["truth"], sample["mask"]
        contrast = contrasts[sample["contrast"]]
        nothing = max(psnr(source, truth, mask) for source in sample["sources"][sample["available"]])
        correlation = float(np.corrcoef(image[mask].numpy(), truth[mask].numpy())[0, 1])
        for name, value in (("psnr", psnr(image, truth, mask)), ("nothing", nothing), ("correlation", correlation)):
            rows.setdefault(f"{name}_{contrast}", []).append(value)
            rows.setdefault(name, []).append(value)
    model.train()
    return {name: float(np.nanmean(values)) for name, values in sorted(rows.items())}


def draw_figure(model: Haca3, samples: Sequence[Sample], path: Path) -> None:
    """Write a PNG file: first source, harmonized image, truth and reference of each sample."""
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(10, 2.5 * len(samples)), layout="tight")
    axes = figure.subplots(len(samples), 4, squeeze=False)
    model.eval()
    for row, sample in zip(axes, samples, strict=True):
        source = sample["sources"][sample["available"]][0]
        shown = (source, harmonize_slice(model, sample), sample["truth"], sample["reference"][0])
        for axis, image, title in zip(row, shown, ("source", "harmonized", "truth", "reference"), strict=True):
            axis.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1.6)
            axis.set_title(title)
            axis.set_axis_off()
    model.train()
    figure.savefig(path, dpi=60)
