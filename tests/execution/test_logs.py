"""Messages in the log file."""

import logging
from pathlib import Path

import pytest

from haca3_bids.execution.logs import LogFile, log_file, terminal_messages

FULL = Path("/dev/full")  # accepts no byte


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_does_not_disturb_the_run(capfd):
    with log_file(FULL, verbosity=0):
        logging.getLogger("haca3_bids").warning("This message does not fit.")
    assert capfd.readouterr().err == ""


def test_the_log_file_begins_with_what_was_said_before_it_was_opened(tmp_path):
    with terminal_messages(0):
        logging.getLogger("haca3_bids").warning("early")
        with log_file(tmp_path / "log.txt", 0):
            logging.getLogger("haca3_bids").info("late")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["early", "late"]


def test_a_message_that_is_wrong_is_still_told(tmp_path, capfd):
    wrong = logging.LogRecord("haca3_bids", logging.WARNING, "", 1, "%d sessions", ("many",), None)
    file = LogFile(tmp_path / "log.txt")
    file.handle(wrong)
    file.close()
    assert "Logging error" in capfd.readouterr().err
