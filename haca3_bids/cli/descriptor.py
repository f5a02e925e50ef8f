"""The Boutiques descriptor of ``haca3-bids``, made from the options of ``Settings``.

``python -m haca3_bids.cli.descriptor > boutiques.json`` writes the file of the repository, which names the CPU image;
with ``--cuda`` it describes the image with CUDA. It follows Boutiques 0.5, the rules of ``bosh validate --bids`` and
the BIDS-Apps execution specification.
"""

import json
import sys
from typing import Any

from haca3_bids import __version__, errors
from haca3_bids.cli.options import LEVELS, every_option
from haca3_bids.errors import NothingSelected
from haca3_bids.option import Option
from haca3_bids.parse import positive

FILES = {  # options that take a name or a file, and what the file is
    "target": "An image, or a .txt list of sessions",
    "weights": "A file of weights",
    "fusion-weights": "A file of weights of the fusion network",
}
# For one task: a process needs up to 1.5 GB, and a session of three contrasts three minutes on two cores (see
# docs/how-to/time-and-memory.md); this leaves room for two processes and for subjects with several sessions.
RESOURCES = {"cpu-cores": 2, "ram": 8, "walltime-estimate": 3600}  # GB and seconds
CUSTOM = {
    "BIDSAppSpecVersion": "0.1.0",  # of the execution specification
    "cbrain:readonly-input-files": True,
    "cbrain:author": "The haca3_bids developers",
    "cbrain:integrator_modules": {
        "BoutiquesBidsSingleSubjectMaker": {"dataset_input_id": "InputDataset", "subjects_input_id": "ParticipantLabel"}
    },
}


def descriptor(*, cuda: bool = False) -> str:
    """The descriptor as JSON."""
    return json.dumps(describe(cuda=cuda), indent=2, ensure_ascii=False) + "\n"


def describe(*, cuda: bool = False) -> dict[str, Any]:
    """The whole descriptor, of the image without or with CUDA."""
    options = [described for option in every_option() for described in _option_inputs(option)]
    first = [_key(name) for name in ("bids-dir", "output-dir", "analysis-level", "participant-label", "session-label")]
    rest = [option["value-key"] for option in options if option["value-key"] not in first]
    image = {"image": "haca3:cuda", "container-opts": ["--gpus", "all"]} if cuda else {"image": "haca3"}
    return {
        "name": "haca3-bids-cuda" if cuda else "haca3-bids",
        "tool-version": __version__,
        "schema-version": "0.5",
        "description": "Harmonizes the contrasts of the brain MR images of a BIDS dataset, following HACA3",
        "author": "The haca3_bids developers",
        "tool-doi": "10.1016/j.compmedimag.2023.102285",
        "command-line": f"mkdir -p {first[1]}; haca3-bids {' '.join([*first, *rest])}",
        "shell": "/bin/bash",
        "container-image": {"type": "docker"} | image,  # the tags that the documentation gives the images
        "inputs": [*_positional_inputs(), *options],
        "groups": _groups(),
        "output-files": [
            {
                "id": "OutputDataset",
                "name": "The derivatives dataset",
                "description": "Preprocessed and harmonized images, sidecars and reports",
                "path-template": _key("output-dir"),
            }
        ],
        "error-codes": [{"code": code, "description": text} for code, text in errors.exit_codes().items() if code],
        "suggested-resources": RESOURCES,
        "tests": _tests(),
        "tags": {"domain": ["neuroinformatics", "bids", "mri", "harmonization"]},
        "custom": CUSTOM,
    }


def _tests() -> list[dict[str, Any]]:
    """For ``bosh test`` in the source folder, after ``make demo``."""
    demo = {"InputDataset": "demo/bids", "AnalysisLevel": "participant", "Template": "builtin"}
    done = {"exit-code": 0, "output-files": [{"id": "OutputDataset"}]}
    return [
        {
            "name": "The demonstration is harmonized",
            "invocation": demo | {"OutputLocation": "demo/boutiques", "SessionLabel": ["siteA"]},
            "assertions": done,
        },
        {
            "name": "A label that is not in the dataset selects nothing",
            "invocation": demo | {"OutputLocation": "demo/nothing", "ParticipantLabel": ["99"]},
            "assertions": {"exit-code": NothingSelected.exit_code},
        },
    ]


def _positional_inputs() -> list[dict[str, Any]]:
    levels = {"value-choices": list(LEVELS), "default-value": LEVELS[0]}
    new, existing = (
        "Folder to create for the derivatives dataset",
        "A folder that haca3-bids wrote before, or an empty one",
    )
    table: tuple[tuple[str, str, str, str, str, dict[str, Any]], ...] = (
        ("InputDataset", "BIDS dataset", "The folder of the input dataset; it is only read", "File", "bids-dir", {}),
        ("OutputLocation", "New output folder", new, "String", "output-dir", {}),
        ("OutputLocationExisting", "Existing output folder", existing, "File", "output-dir", {}),
        ("AnalysisLevel", "Analysis level", "The level of the analysis", "String", "analysis-level", levels),
    )
    return [
        {"id": label, "name": name, "description": words, "type": kind, "value-key": _key(argument)}
        | more
        | {"optional": argument != "bids-dir"}
        for label, name, words, kind, argument, more in table
    ]


def _option_inputs(option: Option) -> list[dict[str, Any]]:
    """The input of an option; a second one for a file, because Boutiques copies to a task only inputs of type File."""
    described = _option_input(option)
    if option.name not in FILES:
        return [described]
    file = {
        "id": f"{described['id']}File",
        "name": f"{described['name']} (file)",
        "description": FILES[option.name],
        "type": "File",
        "value-key": _key(f"{option.name}-file"),
    }
    return [described, described | file]


def _groups() -> list[dict[str, Any]]:
    output = {
        "id": "OutputLocationGroup",
        "name": "Where to write",
        "description": "A new folder, or an existing one",
        "members": ["OutputLocation", "OutputLocationExisting"],
        "mutually-exclusive": True,
        "one-is-required": True,
    }
    return [output, *(_one_of(name) for name in FILES if name != "target")]  # several targets may be of both kinds


def _one_of(option: str) -> dict[str, Any]:
    name = _id(option)
    members = [name, f"{name}File"]
    return {"id": f"{name}Group", "name": name, "members": members, "mutually-exclusive": True}


def _option_input(option: Option) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": _id(option.name),
        "name": option.name.replace("-", " ").capitalize(),
        "description": option.text,
        "type": _type(option),
        "value-key": _key(option.name),
        "command-line-flag": f"--{option.name}",
        "optional": True,
    }
    if option.many:
        described |= {"list": True, "min-list-entries": 1}
    if option.choices:
        described["value-choices"] = list(option.choices)
    if described["type"] == "Number":
        described["integer"] = option.kind is not float
    if option.least is not None:
        described["minimum"] = option.least
    return described


def _type(option: Option) -> str:
    if option.kind is None:
        return "Flag"
    if option.kind in (int, float, positive):
        return "Number"
    return "File" if option.exists else "String"


def _id(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def _key(name: str) -> str:
    return f"[{name.upper().replace('-', '_')}]"


if __name__ == "__main__":
    sys.stdout.write(descriptor(cuda="--cuda" in sys.argv[1:]))
