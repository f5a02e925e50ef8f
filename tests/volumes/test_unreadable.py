"""Files that cannot be read: a damaged file is told apart from a disk that is gone and memory that ran out."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from haca3_bids.bids.choice import candidate
from haca3_bids.errors import BadInput, Haca3Error, InputOutputFailure, TemporaryFailure
from haca3_bids.volumes.volume import Volume, load_volume, save_volume


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).uniform(1, 100, (60, 60, 60)).astype(np.float32)
    save_volume(Volume(image, np.eye(4)), tmp_path / "sub-01_T1w.nii.gz")
    return tmp_path / "sub-01_T1w.nii.gz"


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (MemoryError("Unable to allocate 4 GiB"), TemporaryFailure, "Memory ran out while sub-01_T1w.nii.gz was read."),
        (
            OSError(errno.EIO, "Input/output error"),
            InputOutputFailure,
            "Reading sub-01_T1w.nii.gz failed (Input/output",
        ),
        (EOFError("Compressed file ended"), BadInput, "sub-01_T1w.nii.gz cannot be read as an image: it is damaged"),
    ],
)
def test_only_what_lies_in_the_file_is_called_damage(
    scan: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Haca3Error], sentence: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("haca3_bids.volumes.volume.np.asarray", fail)
    with pytest.raises(kind) as raised:
        load_volume(scan)
    assert raised.value.sentence.startswith(sentence)


def test_a_scan_on_a_disk_that_is_gone_is_not_passed_over_for_another(
    scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error", str(self))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(InputOutputFailure):
        candidate(scan, {})
