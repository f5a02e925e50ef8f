"""A run in surroundings that are poor or odd: no home, no name, no right to write, full or strange folders."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from limits import small_disk
from runs import Run, fingerprints

pytestmark = pytest.mark.slow
NOBODY = 54321  # a user id that no machine knows
NAMES = {
    "spaces and quotes": "a folder with 'quotes' and \"more\"",
    "not ASCII": "Köpfe 頭部 головы",
    "shell": "$(touch trace);&|<b>",
    "percent and braces": "100% {x} %s [1] #",
    "long": "/".join(["long" * 10] * 6),  # the path of an image has more than 250 characters
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_name_of_a_folder_changes_nothing(run: Run, heads: Path, undisturbed: dict[str, str], kind: str) -> None:
    folder = run.folder / NAMES[kind]
    folder.mkdir(parents=True)
    bids = folder / "raw"
    bids.symlink_to(heads)
    odd = Run(folder, bids)
    assert odd.finish() == 0, odd.said
    same = {"dataset_description.json"}  # which links to the input
    found = {name: digest for name, digest in fingerprints(odd.out).items() if name not in same}
    assert found == {name: digest for name, digest in undisturbed.items() if name not in same}
    assert not list(run.folder.rglob("trace*"))


def test_a_locale_that_is_not_utf_8_changes_nothing(run: Run, heads: Path, undisturbed: dict[str, str]) -> None:
    """As LANG=en_US is on some clusters: JSON is UTF-8 all the same, also with the path of a folder."""
    localedef, locales = shutil.which("localedef"), run.folder / "locales"
    locales.mkdir(parents=True)
    locale = f"{locales}/en_US.ISO-8859-1"
    if not localedef or subprocess.run([localedef, "-i", "en_US", "-f", "ISO-8859-1", locale]).returncode:
        pytest.skip("needs the sources of a locale")
    folder = run.folder / "Köpfe"
    folder.mkdir()
    variables = {"LOCPATH": str(locales), "LC_ALL": "en_US.ISO-8859-1"}
    odd = Run(folder, heads, variables=variables)
    assert odd.finish() == 0, odd.said
    same = {"dataset_description.json"}  # which links to the input
    found = {name: digest for name, digest in fingerprints(odd.out).items() if name not in same}
    assert found == {name: digest for name, digest in undisturbed.items() if name not in same}


def as_stranger(*lines: str) -> list[str]:
    """Words before a command that is run by a user without name, in a namespace of mounts where ``lines`` were run."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("needs root and the right to make namespaces")
    may_read = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"  # the interpreter, wherever it lies
    user = f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {may_read} env -u HOME -u USER -u LOGNAME"
    return ["unshare", "--mount", "sh", "-ec", "\n".join([*lines, f'{user} "$@"']), "sh"]


@pytest.mark.parametrize("mask", ["000", "027", "077"])
def test_without_home_and_name_on_a_read_only_system_under_any_umask(
    run: Run, heads: Path, undisturbed: dict[str, str], mask: str
) -> None:
    """As in a container: root file system and input are read-only, the user has no entry and no home."""
    for folder in (run.folder, *run.folder.parents[:2]):
        folder.chmod(0o755)
    heads.parent.chmod(0o755)
    writable = [run.folder / name for name in ("out", "work", "tmp")]
    for folder in writable:
        folder.mkdir(exist_ok=True)
        os.chown(folder, NOBODY, NOBODY)
    binds = [f"mount --bind '{folder}' '{folder}'" for folder in writable]
    wrapper = as_stranger(*binds, "mount -o remount,ro,bind /", f"umask {mask}")
    stranger = replace(run, wrapper=wrapper, variables={})
    assert stranger.finish() == 0, stranger.said
    assert fingerprints(run.out) == undisturbed
    modes = {path.stat().st_mode & 0o777 for path in run.out.rglob("*_T1w.nii.gz")}
    assert modes == {0o666 & ~int(mask, 8)}


def test_a_home_that_is_not_writable_and_a_name_that_is_missing(run: Run, undisturbed: dict[str, str]) -> None:
    variables = {"HOME": "/proc", "USER": "", "LOGNAME": ""}
    assert run.finish(**variables) == 0, run.said
    assert fingerprints(run.out) == undisturbed


def test_a_full_temporary_folder_is_named(run: Run, undisturbed: dict[str, str]) -> None:
    scratch = Run(run.folder, run.bids, words=run.words)
    with small_disk(run.folder / "tmp", 64) as remount:
        (run.folder / "tmp/full").write_bytes(bytes(50_000))
        (run.folder / "work").symlink_to(run.folder / "tmp")
        assert scratch.finish() in (1, 73, 74), scratch.said
        assert "No space left" in scratch.said
        assert "Traceback" not in scratch.said
        remount("size=50000k")
        assert scratch.finish() == 0, scratch.said
        assert fingerprints(run.out) == undisturbed
