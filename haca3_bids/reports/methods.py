"""The methods text for an article, and the references that it cites.

A citation in a sentence is written ``[@key]``, where the key is one of REFERENCES.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from haca3_bids.bids.atomic import write_text

CITATION = re.compile(r"\[@([a-z0-9]+)\]")
PREAMBLE = "You may copy this text into manuscripts unchanged (CC0)."


@dataclass(frozen=True)
class Reference:
    """The bibliographic data of an article."""

    key: str
    authors: str
    year: int
    title: str
    journal: str
    doi: str

    def in_words(self) -> str:
        """The entry in a list of references."""
        return f"{self.authors} ({self.year}). {self.title}. {self.journal}. doi:{self.doi}"

    def in_bibtex(self) -> str:
        """The entry in a .bib file."""
        fields = {
            "author": self.authors.replace(", ", " and ").replace("et al.", "others"),
            "year": str(self.year),
            "title": "{" + self.title + "}",
            "journal": self.journal,
            "doi": self.doi,
        }
        body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
        return f"@article{{{self.key},\n{body}}}\n"


REFERENCES = {
    reference.key: reference
    for reference in (
        Reference("haca3",
                  "L. Zuo, Y. Liu, Y. Xue, B. E. Dewey, S. W. Remedios, S. P. Hays, M. Bilgel, E. M. Mowry, S. D. "
                  "Newsome, P. A. Calabresi, S. M. Resnick, J. L. Prince, A. Carass", 2023,
                  "HACA3: A unified approach for multi-site MR image harmonization",
                  "Computerized Medical Imaging and Graphics 109, 102285", "10.1016/j.compmedimag.2023.102285"),
        Reference("n4", "N. J. Tustison, B. B. Avants, P. A. Cook, Y. Zheng, A. Egan, P. A. Yushkevich, J. C. Gee",
                  2010, "N4ITK: Improved N3 Bias Correction",
                  "IEEE Transactions on Medical Imaging 29(6), 1310-1320", "10.1109/TMI.2010.2046908"),
        Reference("ants", "B. B. Avants, N. J. Tustison, G. Song, P. A. Cook, A. Klein, J. C. Gee", 2011,
                  "A reproducible evaluation of ANTs similarity metric performance in brain image registration",
                  "NeuroImage 54(3), 2033-2044", "10.1016/j.neuroimage.2010.09.025"),
        Reference("icbm", "V. Fonov, A. C. Evans, K. Botteron, C. R. Almli, R. C. McKinstry, D. L. Collins", 2011,
                  "Unbiased average age-appropriate atlases for pediatric studies",
                  "NeuroImage 54(1), 313-327", "10.1016/j.neuroimage.2010.07.033"),
        Reference("reuter", "M. Reuter, N. J. Schmansky, H. D. Rosas, B. Fischl", 2012,
                  "Within-subject template estimation for unbiased longitudinal image analysis",
                  "NeuroImage 61(4), 1402-1418", "10.1016/j.neuroimage.2012.02.084"),
        Reference("smore", "C. Zhao, B. E. Dewey, D. L. Pham, P. A. Calabresi, D. S. Reich, J. L. Prince", 2021,
                  "SMORE: A Self-Supervised Anti-Aliasing and Super-Resolution Algorithm for MRI Using Deep "
                  "Learning", "IEEE Transactions on Medical Imaging 40(3), 805-817", "10.1109/TMI.2020.3037187"),
        Reference("eclare",
                  "S. W. Remedios, S. Wei, S. Han, J. Zhang, A. Carass, K. G. Schilling, D. L. Pham, J. L. Prince, "
                  "B. E. Dewey", 2025,
                  "ECLARE: Efficient cross-planar learning for anisotropic resolution enhancement",
                  "arXiv 2503.11787", "10.48550/arXiv.2503.11787"),
        Reference("templateflow",
                  "R. Ciric, W. H. Thompson, R. Lorenz, M. Goncalves, E. E. MacNicol, C. J. Markiewicz, et al.", 2022,
                  "TemplateFlow: FAIR-sharing of multi-scale, multi-species brain models",
                  "Nature Methods 19, 1568-1571", "10.1038/s41592-022-01681-2"),
        Reference("nipype",
                  "K. Gorgolewski, C. D. Burns, C. Madison, D. Clark, Y. O. Halchenko, M. L. Waskom, S. S. Ghosh", 2011,
                  "Nipype: A Flexible, Lightweight and Extensible Neuroimaging Data Processing Framework in Python",
                  "Frontiers in Neuroinformatics 5, 13", "10.3389/fninf.2011.00013"),
        Reference("bids", "K. J. Gorgolewski, T. Auer, V. D. Calhoun, R. C. Craddock, S. Das, E. P. Duff, et al.", 2016,
                  "The brain imaging data structure, a format for organizing and describing outputs of neuroimaging "
                  "experiments", "Scientific Data 3, 160044", "10.1038/sdata.2016.44"),
    )
}  # fmt: skip


def methods_markdown(sentences: Sequence[str]) -> str:
    """The text with its numbered references, in Markdown."""
    numbers = _numbers(sentences)
    text = CITATION.sub(lambda cited: f"[{numbers[cited[1]]}]", " ".join(sentences))
    listed = "\n".join(f"{number}. {REFERENCES[key].in_words()}" for key, number in numbers.items())
    return f"{PREAMBLE}\n\n## Methods\n\n{text}\n\n## References\n\n{listed}\n"


def methods_html(sentences: Sequence[str]) -> str:
    """The text with its numbered references, as an escaped HTML fragment."""
    numbers = _numbers(sentences)
    text = CITATION.sub(lambda cited: f"[{numbers[cited[1]]}]", html.escape(" ".join(sentences)))
    listed = "".join(f"<li>{html.escape(REFERENCES[key].in_words())}</li>" for key in numbers)
    return f"<p>{text}</p>\n<ol>{listed}</ol>\n"


def methods_bibtex(sentences: Sequence[str]) -> str:
    """The references that the text cites, as the content of a .bib file."""
    return "\n".join(REFERENCES[key].in_bibtex() for key in _numbers(sentences))


def write_methods(folder: Path, sentences: Sequence[str]) -> None:
    """Write CITATION.md, CITATION.html and CITATION.bib to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    page = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Methods</title>\n<p>{PREAMBLE}</p>\n'
    for kind, text in (
        ("md", methods_markdown(sentences)),
        ("html", page + methods_html(sentences) + "</html>\n"),
        ("bib", methods_bibtex(sentences)),
    ):
        write_text(folder / f"CITATION.{kind}", text)


def _numbers(sentences: Sequence[str]) -> dict[str, int]:
    """The number of each cited key, in the order of first citation; KeyError for an unknown key."""
    keys = dict.fromkeys(CITATION.findall(" ".join(sentences)))
    if unknown := keys.keys() - REFERENCES.keys():
        raise KeyError(f"The methods text cites {', '.join(sorted(unknown))}, which methods.REFERENCES does not list.")
    return {key: number for number, key in enumerate(keys, start=1)}
