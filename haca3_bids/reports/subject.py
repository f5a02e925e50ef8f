"""The report of one subject, from the records and figures in the derivatives dataset."""

from pathlib import Path

import haca3_bids
from haca3_bids.bids.atomic import read_json, write_text
from haca3_bids.reports.cohort import RECORDS, session_record
from haca3_bids.reports.methods import methods_bibtex, methods_html, methods_markdown
from haca3_bids.reports.pixels import SLICES, data_uri
from haca3_bids.reports.rendering import render
from haca3_bids.reports.view import view_session


def write_subject_page(output_dir: Path, subject: str, *, show_targets: bool = False) -> Path:
    """Write ``sub-X.html`` into the dataset and return its path; all figures are embedded.

    Slices of other people's images that are targets are included only with ``show_targets``.
    """
    label = subject if subject.startswith("sub-") else f"sub-{subject}"
    records = [session_record(path) for path in sorted((output_dir / label).rglob(RECORDS))]
    page = output_dir / f"{label}.html"
    sentences = list(dict.fromkeys(sentence for record in records for sentence in record.methods))
    text = render(
        "subject.html.j2",
        script="subject.js",
        subject=label,
        version=haca3_bids.__version__,
        acknowledgement=(read_json(output_dir / "dataset_description.json") or {}).get("HowToAcknowledge"),
        has_group=(output_dir / "group.html").is_file(),
        sessions=[view_session(output_dir, record, show_targets) for record in records],
        slices=SLICES,
        methods=methods_html(sentences) if sentences else "",
        downloads=_downloads(sentences) if sentences else {},
    )
    write_text(page, text)
    return page


def _downloads(sentences: list[str]) -> dict[str, str]:
    """The methods text and its references as downloads embedded in the page."""
    return {
        "CITATION.md": data_uri(methods_markdown(sentences).encode(), "text/markdown"),
        "CITATION.bib": data_uri(methods_bibtex(sentences).encode(), "text/plain"),
    }
