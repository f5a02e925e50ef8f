"""``haca3 evaluate attention``: sources are degraded as told, and what the networks make of them is measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from derivatives import SHAPE, ball, describe, name, save, tables

from haca3_bids.cli import toolbox
from haca3_bids.evaluation.similarity import fitted
from haca3_bids.intensity.background import head_mask
from haca3_bids.physics.degradation import LADDERS, steps
from haca3_bids.physics.scanner import Imperfections, acquire
from haca3_bids.volumes.volume import Volume, load_volume


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person with two contrasts, another with one."""
    root, rng = tmp_path_factory.mktemp("cohort"), np.random.default_rng(0)
    data = describe(root / "derivatives")
    tissue = rng.choice([250.0, 700.0, 1000.0], SHAPE, p=[0.2, 0.4, 0.4]) * ball(8)
    for person, contrasts in ((1, ("T1w", "T2w")), (2, ("T1w",))):
        save(ball(6), name(root / "masks", person, "A", "desc-brain_mask"))
        for contrast in contrasts:
            image = (1200 * ball(8) - tissue) * ball(8) if contrast == "T2w" else tissue
            save(image, name(data, person, "A", f"desc-preproc_{contrast}"))
    return root


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Volume]]]:
    """An engine that gives back the mean of its sources, and twice the attention to the one with less spread."""
    from haca3_bids.harmonization import engine, job
    from haca3_bids.harmonization.engine import Harmonized
    from haca3_bids.harmonization.target import Target
    from haca3_bids.records.engine import HarmonizedImage, SourceReport, WeightsUsed

    calls: list[dict[str, Volume]] = []

    class Reference:
        contrast, theta, eta, scale, description = "T1w", (0.0, 0.0), (0.0, 0.0), 1000.0, "nothing"

    class Checkpoint:
        name, references = "tiny", {"T1w": Reference, "T2w": Reference}

    def harmonize(sources, targets, checkpoint, fusion, settings, *, brain, white, extras):
        assert (white, extras) == (1000.0, ("attention",))
        calls.append(dict(sources))
        spread = {contrast: float(image.data[brain.data > 0].std()) for contrast, image in sources.items()}
        mean = np.mean([image.data for image in sources.values()], axis=0)
        reports = {
            contrast: SourceReport((0.0, 0.0), (0.0, value), 1 - value / sum(spread.values()))
            for contrast, value in spread.items()
        }
        image = next(iter(sources.values())).with_data(mean)
        (target,) = targets
        assert isinstance(target, Target)
        return [Harmonized(HarmonizedImage(target, reports), image, None, "cpu", "fp32", "soft", dict(sources))]

    monkeypatch.setattr(engine, "harmonize", harmonize)
    networks = job.Networks(Checkpoint(), None, WeightsUsed("tiny"))
    monkeypatch.setattr(job, "load_networks", lambda settings: networks)
    return calls


def run(*arguments: object) -> int:
    return toolbox.main(["evaluate", "attention", *map(str, arguments)])


def test_every_level_of_every_artifact_is_harmonized_and_compared(cohort, engine, capsys, tmp_path) -> None:
    assert run(cohort / "derivatives", "--brain", cohort / "masks", "--out", tmp_path) == 0
    (rows,) = tables(capsys.readouterr().out)
    assert len(engine) == 1 + sum(len(ladder.amounts) for ladder in LADDERS.values())
    assert [(row["artifact"], row["level"]) for row in rows] == [
        (artifact, str(level)) for artifact in LADDERS for level in range(5)
    ]
    assert {(row["participant_id"], row["degraded"]) for row in rows} == {("sub-1", "T1w")}
    t1w, t2w = (load_volume(name(cohort / "derivatives", 1, "A", f"desc-preproc_{c}")).data for c in ("T1w", "T2w"))
    head = head_mask(t1w)
    brain = ball(6) & head
    for row in rows:
        assert float(row["attention_T1w"]) + float(row["attention_T2w"]) == pytest.approx(1, abs=1e-3)
        level = int(row["level"])
        if level == 0:
            assert {row[key] for key in ("psnr_db", "psnr_source_db", "ssim")} == {"n/a"}
            continue
        how = steps(row["artifact"], Imperfections(1))[level]
        assert float(row["amount"]) == LADDERS[row["artifact"]].amounts[level - 1]
        source = 1000 * acquire(t1w / np.float32(1000), how)
        assert float(row["eta"]) == pytest.approx(float(source[brain].std()), rel=2e-3)
        source_db = fitted(source, t1w, brain, head).psnr_db
        image_db = fitted((source + t2w) / 2, (t1w + t2w) / 2, brain, head).psnr_db
        assert float(row["psnr_source_db"]) == pytest.approx(source_db, rel=2e-3)
        assert float(row["psnr_db"]) == pytest.approx(image_db, rel=2e-3)
    assert (tmp_path / "attention.html").read_text().count("<img ") == 3 + 3


def test_source_and_artifact_can_be_chosen(cohort, engine, capsys) -> None:
    options = ("--brain", cohort / "masks", "--degraded", "T2w", "--artifact", "ghosts", "--session", "sub-1_ses-A")
    assert run(cohort / "derivatives", *options) == 0
    (rows,) = tables(capsys.readouterr().out)
    assert {(row["degraded"], row["artifact"]) for row in rows} == {("T2w", "ghosts")}
    first = engine[0]
    for call in engine[1:]:
        assert np.array_equal(call["T1w"].data, first["T1w"].data)
        assert not np.array_equal(call["T2w"].data, first["T2w"].data)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["masks"], "is not a derivatives dataset"),
        (["derivatives", "--session", "sub-2_ses-A"], "two contrasts are needed"),
        (["derivatives", "--session", "sub-9"], "sub-9 of derivatives has no images"),
        (["derivatives", "--degraded", "FLAIR"], "FLAIR and another contrast are needed"),
        (["derivatives", "--before", "none"], "no session with desc-none images of two contrasts"),
    ],
)
def test_what_cannot_be_degraded_is_a_sentence(arguments, sentence, cohort, capsys, monkeypatch) -> None:
    monkeypatch.chdir(cohort)
    assert run(*arguments) == 65
    assert sentence in capsys.readouterr().err


def test_the_real_networks_see_noise(cohort, capsys) -> None:
    assert run(cohort / "derivatives", "--brain", cohort / "masks", "--artifact", "noise", "--device", "cpu") == 0
    (rows,) = tables(capsys.readouterr().out)
    assert float(rows[-1]["psnr_source_db"]) < float(rows[1]["psnr_source_db"])
    assert all(float(row["eta"]) >= 0 for row in rows)
    sums = [float(row["attention_T1w"]) + float(row["attention_T2w"]) for row in rows]
    assert sums == pytest.approx([1.0] * 5, abs=1e-3)
