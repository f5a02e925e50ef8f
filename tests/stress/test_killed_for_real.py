"""kill -9 with nothing faked: real steps, ANTs and networks on a small head, whose outputs come out bit for bit."""

from __future__ import annotations

import random
import time

import pytest
import torch
from head_phantom import head_phantom
from runs import FULL, Run, alive, family, fingerprints, networks, wait_for, workers
from stressed_app import VOXEL_MM

from haca3_bids.bids.atomic import write_json
from haca3_bids.checkpoints.formats import save_checkpoint
from haca3_bids.networks.mixture import Mixture, MixtureConfig
from haca3_bids.networks.table import Prior
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.training.mixture_export import references
from haca3_bids.volumes.volume import save_volume

pytestmark = pytest.mark.slow
PATIENCE_S = 600  # the steps themselves take a minute
MOMENTS = range(3 if FULL else 1)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one session, T1w and T2w, with small random networks."""
    folder = tmp_path_factory.mktemp("real")
    anat = folder / "raw/sub-01/anat"
    anat.mkdir(parents=True)
    write_json(folder / "raw/dataset_description.json", {"Name": "ellipsoids", "BIDSVersion": "1.9.0"})
    for seed, contrast in enumerate(("T1w", "T2w")):
        save_volume(head_phantom(VOXEL_MM).scan(contrast, seed=seed), anat / f"sub-01_{contrast}.nii.gz")
    torch.manual_seed(0)
    model = Mixture(MixtureConfig(TISSUES, widths=(8, 8, 8, 8), hidden=8, keys=4))
    prior = Prior(torch.zeros(len(TISSUES)), torch.eye(len(TISSUES)), 1.0)
    priors = dict.fromkeys(("T1w", "T2w"), prior)
    save_checkpoint(folder / "tiny.safetensors", model, references=references(), card={}, priors=priors)
    words = ["--template", "builtin", "--weights", str(folder / "tiny.safetensors"), "--device", "cpu", "--sloppy"]
    words += ["--skip-bids-validation", "--nprocs", "2", "--omp-nthreads", "1", "--target", "T2w"]
    return Run(folder / "undisturbed", folder / "raw", "real", [*words, "--force", "registration"])


@pytest.fixture(scope="module")
def undisturbed_real(real: Run) -> dict[str, str]:
    assert real.finish() == 0, real.said
    return fingerprints(real.out)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("victim", ["worker", "networks", "run"])
def test_after_a_kill_the_second_run_gives_the_same_voxels(
    real: Run, undisturbed_real: dict[str, str], victim: str, moment: int
) -> None:
    chance = random.Random(f"{victim} {moment}")
    run = Run(real.folder.with_name(f"{victim}{moment}"), real.bids, real.kind, real.words)
    with run.started() as process:
        found = wait_for(networks if victim == "networks" else workers, process)
        time.sleep(chance.uniform(0, 10))
        found = (networks(process) if victim == "networks" else workers(process)) or found
        everyone = family(process)
        (process if victim == "run" else chance.choice(found)).kill()
        code = process.wait(timeout=PATIENCE_S)
        assert alive(everyone) == []
    assert code in {"worker": (0,), "networks": (0, 75), "run": (-9,)}[victim], run.said
    assert run.finish() == 0, run.said
    assert fingerprints(run.out) == undisturbed_real
