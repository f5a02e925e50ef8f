"""Every measurement says how it is called, and measures nothing until it is."""

import runpy
import sys
from pathlib import Path

import pytest
import stage

SCRIPTS = sorted(file for file in Path(stage.__file__).parent.glob("*.py") if "__main__" in file.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.stem)
def test_help_tells_what_is_measured(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    assert end.value.code in (0, None)
    assert "usage:" in capsys.readouterr().out
