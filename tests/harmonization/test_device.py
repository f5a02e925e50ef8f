import numpy as np
import pytest
import torch

from haca3_bids.errors import Unavailable, UsageError
from haca3_bids.harmonization.device import (
    CPU_BATCH,
    Batches,
    choose_device,
    choose_precision,
    half_precision,
    inference,
)
from haca3_bids.settings import HarmonizationSettings

GPU = torch.device("cuda")


def test_an_absent_gpu_that_was_asked_for_fails_at_once_with_the_hint():
    count = torch.cuda.device_count()
    with pytest.raises(Unavailable, match=r"--gpus all.*--nv") as caught:
        choose_device(f"cuda:{count}")
    assert caught.value.exit_code == 69


def test_an_unknown_device_is_a_usage_error():
    with pytest.raises(UsageError, match="There is no device 'tpu'"):
        choose_device("tpu")


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda:1")


def test_out_of_memory_halves_the_batch_and_misses_no_slice():
    done = []

    def step(batch):
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        done.extend(batch)

    batches = Batches(8, GPU)
    batches.run(np.arange(20), step)
    assert done == list(range(20))
    assert batches.size == 2


def test_a_cpu_takes_small_batches_only():
    assert Batches(64, torch.device("cpu")).size == CPU_BATCH
    assert Batches(2, torch.device("cpu")).size == 2
    assert Batches(64, GPU).size == 64


def test_out_of_memory_for_a_single_slice_is_passed_on():
    def step(batch):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        Batches(4, GPU).run(np.arange(3), step)


def test_threads_are_set_for_the_inference_only():
    before = torch.get_num_threads()
    with inference(1):
        assert torch.get_num_threads() == 1
        assert torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == before


def test_bfloat16_is_used_only_when_asked_for():
    x = torch.ones(2, 2)
    with half_precision(torch.device("cpu"), "bf16"):
        assert (x @ x).dtype == torch.bfloat16
    with half_precision(torch.device("cpu"), "fp32"):
        assert (x @ x).dtype == torch.float32


def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch):
    cpu = torch.device("cpu")
    for fast, expected in ((True, "bf16"), (False, "fp32")):
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
            monkeypatch.setattr(torch.cpu, name, lambda fast=fast: fast, raising=False)
        assert choose_precision("auto", cpu) == expected
        assert choose_precision("fp32", cpu) == "fp32"


def test_unknown_precisions_are_refused():
    with pytest.raises(UsageError, match="fp8"):
        HarmonizationSettings(precision="fp8")
