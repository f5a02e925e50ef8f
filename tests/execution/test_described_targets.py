import json
from types import SimpleNamespace

import pytest

from haca3_bids.errors import BadInput, UsageError
from haca3_bids.execution.targets import parse_targets
from haca3_bids.physics.tissues import TISSUES
from haca3_bids.records.target import Target

REFERENCE = {"T1w": Target("", "T1w", (0.2, 0.7, 0.8, 1.0, *[0.5] * 9), (0.0,), 1000.0, "built-in")}
MIXTURE = SimpleNamespace(variant="mixture", name="builtin", references=REFERENCE)
HACA3 = SimpleNamespace(variant="haca3", name="haca3", references={})


def parsed(*typed, weights=MIXTURE):
    return [value for request in parse_targets(SimpleNamespace(targets=typed), weights) for value in request.values]


def theta(target, tissue):
    return target.theta[TISSUES.index(tissue)]


def test_intensities_of_tissues_replace_those_of_the_reference():
    (target,) = parsed("bright=T1w:grey=0.75,csf=0.2")
    assert (target.name, target.contrast, target.scale) == ("bright", "T1w", 1000.0)
    assert (theta(target, "grey"), theta(target, "csf"), theta(target, "deep_grey")) == (0.75, 0.2, 0.8)
    assert parsed("T1w:grey=0.75")[0].name == "custom"


def test_a_protocol_is_a_target():
    one, other = parsed("T1w=MPRAGE:field=3,tr=2300,ti=900,te=2.98,flip=9", "spin=T1w=SE:tr=500,te=10")
    assert (one.name, other.name) == ("MPRAGE", "spin")
    assert theta(one, "grey") < theta(other, "grey") < 1
    assert one.origin == "protocol MPRAGE at 3 T, TR 2300, TE 2.98, TI 900, flip angle 9"


def test_a_sidecar_is_a_target(tmp_path):
    sidecar = tmp_path / "sub-01_T1w.json"
    fields = {"MagneticFieldStrength": 3, "RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9}
    sidecar.write_text(json.dumps(fields))
    (target,) = parsed(f"T1w={sidecar}")
    assert target.name == "sub01T1w"
    with pytest.raises(BadInput, match="cannot be read as a JSON sidecar"):
        parsed(f"T1w={tmp_path / 'none.json'}")


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("T1w:10,20", "possible with HACA3 weights only"),
        ("T1w:gray=0.7", "'gray' is not a tissue"),
        ("T1w:white=0.7", "'white' is not a tissue"),
        ("T1w:grey=dark", "'grey=dark' contains no number"),
        ("T1w:grey=-1", "not between 0 and 20"),
        ("T1w:grey=0.5,grey=0.6", "grey is given twice"),
        ("PDw:grey=1", "no reference for PDw"),
    ],
)
def test_what_a_table_cannot_be_is_named(typed, sentence):
    with pytest.raises(UsageError, match=sentence):
        parsed(typed)


@pytest.mark.parametrize("typed", ["T1w:grey=0.75", "T1w=MPRAGE"])
def test_haca3_weights_know_no_tissues(typed):
    with pytest.raises(UsageError, match="not a table of them"):
        parsed(typed, weights=HACA3)


def test_two_numbers_are_theta_of_haca3_weights():
    (target,) = parsed("T1w:10,20", weights=HACA3)
    assert (target.theta, target.eta) == ((10.0, 20.0), (0.3, 0.5))
