"""``python -m haca3_bids.harmonization JOB.json``: runs the networks in a separate process, which the App starts."""

import logging
import sys
from pathlib import Path

from haca3_bids.harmonization.job import run_job

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    sys.exit(run_job(Path(sys.argv[1])))
