"""Training runs of HACA3 and its artifact encoder, which can be interrupted and resumed."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from haca3_bids.bids.atomic import make_folder, write_json
from haca3_bids.errors import BadInput
from haca3_bids.networks.encoders import ArtifactEncoder
from haca3_bids.networks.haca3 import Haca3, Haca3Config
from haca3_bids.physics.anatomy import Anatomy
from haca3_bids.settings import CONTRASTS
from haca3_bids.training.artifact import ArtifactTriplets, artifact_step
from haca3_bids.training.haca3 import Perceptual, Stage, haca3_losses, stage_at
from haca3_bids.training.identity import CHECKPOINT
from haca3_bids.training.loop import Batch, Plan, fit, load_trained
from haca3_bids.training.losses import structural
from haca3_bids.training.machine import ALONE, Machine
from haca3_bids.training.real import RealSlices
from haca3_bids.training.scans import PlacedSession, teach
from haca3_bids.training.simulated import SimulatedSlices
from haca3_bids.training.validation import SEED, draw_figure, score

CONFIG = "config.json"
ARTIFACT_BATCH = 2
THETA_GAIN, THETA_LOGVAR = 25.0, -2.0
VALIDATION_SAMPLES = 24


@dataclass(frozen=True)
class Setting:
    """Options of every training run: its plan, its device, and the number of data-loading processes."""

    plan: Plan
    machine: Machine = ALONE
    workers: int = 1  # data-loading processes


def train_artifact(heads: Sequence[Anatomy], folder: Path, setting: Setting) -> ArtifactEncoder:
    """The artifact encoder, trained on simulated triplets; resumes from ``folder``."""
    torch.manual_seed(setting.plan.seed)
    encoder = ArtifactEncoder()
    batches = partial(batches_of, ArtifactTriplets(heads, setting.plan.seed), lambda step: ARTIFACT_BATCH, setting)
    fit(
        encoder, lambda batch, step: artifact_step(encoder, batch), batches, setting.plan, folder,
        machine=setting.machine,
    )  # fmt: skip
    return encoder.eval()


def untrained(artifact: ArtifactEncoder, seed: int = 0) -> Haca3:
    """HACA3 with a trained artifact encoder; the other weights are random."""
    torch.manual_seed(seed)
    model = Haca3()
    _enlarge_theta(model)
    model.eta_encoder.load_state_dict(artifact.state_dict())
    return model


@dataclass(frozen=True)
class Cohort:
    """Training data of HACA3 (simulated heads, real sessions or both) and data for validation."""

    heads: Sequence[Anatomy] = ()
    sessions: Sequence[PlacedSession] = ()
    unseen: Sequence[Anatomy] = ()
    unseen_sessions: Sequence[PlacedSession] = ()

    def batches(self, setting: Setting, stage: Callable[[int], Stage], first: int) -> Iterator[Batch]:
        """Batches from step ``first`` on, alternating between simulated and real data if there are both."""
        data: list[Dataset[dict[str, Tensor | int]]] = []
        if self.heads:
            data.append(SimulatedSlices(self.heads, setting.plan.seed))
        if self.sessions:
            data.append(RealSlices(self.sessions, setting.plan.seed))
        kinds = len(data)
        streams = [
            batches_of(one, lambda step: stage(step).batch, setting, first, lambda step, own=own: step % kinds == own)  # type: ignore[misc]
            for own, one in enumerate(data)
        ]
        for step in range(first, setting.plan.steps):
            yield from islice(streams[step % kinds], setting.plan.accumulate)

    def held_out(self) -> list[dict[str, Tensor | int]]:
        """A fixed set of validation samples; empty without data for validation."""
        if self.unseen:
            simulated = SimulatedSlices([*self.unseen, *self.heads[:1]], SEED, people=len(self.unseen))
            return [simulated[index] for index in range(VALIDATION_SAMPLES)]
        if teach(self.unseen_sessions):
            real = RealSlices(self.unseen_sessions, SEED)
            drawn = (real[index] for index in range(4 * VALIDATION_SAMPLES))
            return list(islice((one for one in drawn if one["paired"]), VALIDATION_SAMPLES))
        return []


def train_haca3(
    model: Haca3,
    cohort: Cohort,
    folder: Path,
    setting: Setting,
    begin: float = 0.0,
    perceptual: Perceptual = structural,
) -> Haca3:
    """HACA3, its artifact encoder frozen, trained through the curriculum from ``begin`` on; resumes from ``folder``."""
    torch.manual_seed(setting.plan.seed)
    model.requires_grad_(True).train()
    model.eta_encoder.requires_grad_(False)
    _check_config(folder, model.config)
    if setting.machine.leads:
        write_json(make_folder(folder) / CONFIG, asdict(model.config))
    held_out = cohort.held_out()

    def progress(step: int) -> float:
        return begin + (1 - begin) * step / setting.plan.steps

    def validate(networks: nn.Module, step: int) -> Mapping[str, float]:
        judged = copy.deepcopy(networks).cpu().eval()
        assert isinstance(judged, Haca3)
        draw_figure(judged, held_out[:6], folder / "figures" / f"step-{step:06d}.png")
        return score(judged, held_out, CONTRASTS)

    fit(
        model,
        lambda batch, step: haca3_losses(model, batch, progress(step), perceptual),
        lambda first: cohort.batches(setting, lambda step: stage_at(progress(step)), first),
        setting.plan,
        folder,
        validate if held_out else None,
        setting.machine,
    )
    return model.cpu().eval()


def _check_config(folder: Path, config: Haca3Config) -> None:
    """BadInput if the folder contains a run that trains networks of another configuration."""
    if (folder / CHECKPOINT).exists() and (folder / CONFIG).exists():
        found = json.loads((folder / CONFIG).read_text())
        other = [f"{name} {value}" for name, value in found.items() if asdict(config).get(name) != value]
        if other:
            raise BadInput(
                f"{folder} contains a run of other networks ({', '.join(other)}).",
                "Use the options of that run, or another folder (--out).",
            )


def load_haca3(folder: Path) -> Haca3:
    """HACA3 as trained in a folder (``load_trained``); BadInput if unusable."""
    path = folder / CONFIG
    try:
        config = Haca3Config(**json.loads(path.read_text())) if path.exists() else None
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"{path} describes networks that this version of haca3_bids does not have ({error}).",
            "Use the version that trained them, or train again in another folder (--out).",
        ) from error
    return load_trained(Haca3(config), folder)


def _enlarge_theta(model: Haca3) -> None:
    """Scale the initial theta to some tens, with little noise: the decoder's instance norms remove a small one."""
    with torch.no_grad():
        model.theta_encoder.get_parameter("mean_conv.3.weight").mul_(THETA_GAIN)
        model.theta_encoder.get_parameter("logvar_conv.3.bias").fill_(THETA_LOGVAR)


def batches_of(
    data: Dataset[dict[str, Tensor | int]],
    size: Callable[[int], int],
    setting: Setting,
    first: int,
    wanted: Callable[[int], bool] = lambda step: True,
) -> Iterator[Batch]:
    """Batches of consecutive items of ``data``, of ``size(step)`` each; a step always has the same items.

    The items of a step are distributed to processes first, then to the batches of each. Steps that are not ``wanted``
    are skipped.
    """
    plan, machine = setting.plan, setting.machine
    share = [size(step) * plan.accumulate for step in range(plan.steps)]  # items of one process in a step
    starts = np.concatenate([[0], np.cumsum(share)]) * machine.world
    index_lists = [
        range(begin + part * size(step), begin + (part + 1) * size(step))
        for step in range(first, plan.steps)
        if wanted(step)
        for begin in [starts[step] + machine.rank * share[step]]
        for part in range(plan.accumulate)
    ]
    loader = DataLoader(
        data,
        batch_sampler=index_lists,  # type: ignore[arg-type]
        num_workers=setting.workers,
        prefetch_factor=4 if setting.workers else None,
        worker_init_fn=_one_thread,
        collate_fn=_stacked,
        generator=torch.Generator(),  # so that the loader does not advance the global one
    )
    return iter(loader)


def _stacked(samples: list[dict[str, Tensor | int]]) -> Batch:
    """Collate samples; references with fewer slices than others repeat them from the first on."""
    references = [one["reference"] for one in samples if "reference" in one]
    most = max((len(slices) for slices in references if isinstance(slices, Tensor)), default=0)
    for one, slices in zip(samples, references, strict=False):
        if isinstance(slices, Tensor):
            one["reference"] = slices[torch.arange(most) % len(slices)]
    batch: Batch = default_collate(samples)
    return batch


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
