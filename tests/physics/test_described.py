import json

import pytest

from haca3_bids.errors import UsageError
from haca3_bids.physics.described import protocol_from_sidecar, protocol_from_words, table
from haca3_bids.physics.protocols import REFERENCE_PROTOCOLS
from haca3_bids.physics.signal import Protocol
from haca3_bids.physics.tissues import TISSUES


def of(tissue, protocol):
    return table(protocol)[TISSUES.index(tissue)]


def test_words_become_a_protocol_and_the_rest_is_common():
    found = protocol_from_words("T1w", "MPRAGE", "field=3,tr=2300,ti=900,te=2.98,flip=9")
    assert found == Protocol("T1w", "MPRAGE", 3.0, 2300, 2.98, ti_ms=900, flip_deg=9, spacing_ms=7.1, pulses=176)
    assert protocol_from_words("T1w", "MPRAGE", "te=2.9") == REFERENCE_PROTOCOLS["T1w"]


def test_a_table_has_white_matter_at_one_and_the_order_of_its_contrast():
    mprage = protocol_from_words("T1w", "MPRAGE", "")
    assert of("white", mprage) == pytest.approx(1)
    assert of("csf", mprage) < of("grey", mprage) < 1
    t2 = protocol_from_words("T2w", "SE", "te=100")
    assert of("csf", t2) > of("grey", t2) > 1


def test_a_flair_nulls_fluid_unless_its_inversion_time_is_given():
    assert of("csf", protocol_from_words("FLAIR", "FLAIR", "tr=8000")) < 0.02
    assert of("csf", protocol_from_words("FLAIR", "FLAIR", "tr=8000,ti=1500")) > 0.5


def test_a_sidecar_becomes_the_same_protocol_as_words():
    sidecar = {
        "MagneticFieldStrength": 2.89, "RepetitionTime": 2.3, "EchoTime": 0.00298, "InversionTime": 0.9, "FlipAngle": 9,
    }  # fmt: skip
    words = protocol_from_words("T1w", "MPRAGE", "field=3,tr=2300,ti=900,te=2.98,flip=9")
    found = protocol_from_sidecar("T1w", json.loads(json.dumps(sidecar)))
    assert table(found) == pytest.approx(table(words), rel=1e-6)
    for kind, tr_s, sequence in (
        ({"ScanningSequence": "GR", "SequenceVariant": "SP"}, 0.02, "SPGR"),
        ({"PulseSequenceType": "Gradient Echo"}, 0.02, "SPGR"),
        ({"ScanningSequence": ["SE"]}, 0.6, "SE"),
        ({"PulseSequenceType": "SE"}, 0.6, "SE"),
    ):
        own = sidecar | kind | {"InversionTime": None, "RepetitionTime": tr_s}
        assert protocol_from_sidecar("T1w", own).sequence == sequence
    assert protocol_from_sidecar("T2w", sidecar | {"EchoTime": 0.1, "RepetitionTime": 5}).sequence == "SE"


@pytest.mark.parametrize(
    ("contrast", "sequence", "text", "sentence"),
    [
        ("T1w", "FISP", "", "FISP is not a known sequence"),
        ("T1w", "MPRAGE", "tr=2300,flop=9", "'flop=9' does not describe"),
        ("T1w", "MPRAGE", "tr=fast", "'tr=fast' contains no number"),
        ("T1w", "MPRAGE", "field=7", "no tissue values for 7 T"),
        ("T1w", "MPRAGE", "tr=7", "no time for all its parts"),
        ("T2w", "SE", "tr=50", "no time for all its parts"),
        ("T2w", "SE", "train=-500", "train=-500 is not possible"),
        ("T1w", "MPRAGE", "flip=-9", "flip=-9 is not possible"),
        ("T1w", "MPRAGE", "flip=0", "flip=0 is not possible"),
        ("T1w", "MPRAGE", "tr=inf", "tr=inf is not possible"),
        ("T1w", "MPRAGE", "tr=nan", "'tr=nan' contains no number"),
        ("FLAIR", "FLAIR", "ti=0", "ti=0 is not possible"),
        ("T2w", "SPACE", "stored=1.5", "stored=1.5 is not possible"),
        ("T1w", "MPRAGE", "tr=2300,tr=2000", "contains tr twice"),
        ("FLAIR", "FLAIR", "tr=9000,ti=8950", "no time for all its parts"),  # the echoes come after the inversion time
    ],
)
def test_an_impossible_description_is_named(contrast, sequence, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        protocol_from_words(contrast, sequence, text)


T1_FLAIR = {
    "MagneticFieldStrength": 3, "RepetitionTime": 2.0, "EchoTime": 0.02, "InversionTime": 0.8, "FlipAngle": 90,
    "ScanningSequence": ["SE", "IR"], "SequenceVariant": ["SK", "SP", "MP"],
}  # fmt: skip


@pytest.mark.parametrize(
    "words", [{}, {"ScanningSequence": "SE\\IR"}, {"ScanningSequence": None, "PulseSequenceType": "IR TSE"}]
)
def test_spin_echoes_after_an_inversion_are_no_mprage(words):
    found = protocol_from_sidecar("T1w", T1_FLAIR | words)
    assert (found.sequence, found.flip_deg) == ("FLAIR", 0)
    assert found == protocol_from_words("T1w", "FLAIR", "field=3,tr=2000,te=20,ti=800")
    assert of("csf", found) < 0.15 < of("grey", found) < 0.6


def test_gradient_echoes_after_an_inversion_are_an_mprage():
    for words in (["GR", "IR"], "GR\\IR", None):
        sidecar = T1_FLAIR | {"ScanningSequence": words, "FlipAngle": 9, "RepetitionTime": 2.3, "EchoTime": 0.003}
        assert protocol_from_sidecar("T1w", sidecar).sequence == "MPRAGE"


def test_an_inversion_that_removes_fat_from_a_t2w_is_not_forgotten():
    stir = T1_FLAIR | {"RepetitionTime": 5, "EchoTime": 0.08, "InversionTime": 0.2}
    assert of("fat", protocol_from_sidecar("T2w", stir)) < of("fat", protocol_from_words("T2w", "SE", "te=80")) / 2


@pytest.mark.parametrize(("stated", "known"), [(1.494, 1.5), (1.4, 1.5), (2.89, 3.0), (3, 3.0), (3.4, 3.0)])
def test_a_field_strength_near_a_known_one_is_taken_for_it(stated, known):
    assert protocol_from_sidecar("T1w", T1_FLAIR | {"MagneticFieldStrength": stated}).field_t == known


@pytest.mark.parametrize("stated", [0.064, 1.0, 2.35, 4, 7, 15000, 30000])
def test_other_field_strengths_have_no_tissue_values(stated):
    with pytest.raises(UsageError, match=f"sidecar of the T1w is {stated:g}; there are tissue values for 1.5 and 3 T"):
        protocol_from_sidecar("T1w", T1_FLAIR | {"MagneticFieldStrength": stated})


PHILIPS_TFE = {"MagneticFieldStrength": 3, "RepetitionTime": 0.0067, "EchoTime": 0.0031, "FlipAngle": 8}
HCP_T2W = {"MagneticFieldStrength": 3, "RepetitionTime": 3.2, "EchoTime": 0.565, "FlipAngle": 120}
FLAIR_3D = {"MagneticFieldStrength": 3, "RepetitionTime": 5, "EchoTime": 0.395, "InversionTime": 1.65}


@pytest.mark.parametrize(
    ("contrast", "sidecar", "sentence"),
    [
        ("T1w", PHILIPS_TFE, "has no InversionTime"),
        ("T1w", PHILIPS_TFE | {"ScanningSequence": "GR", "SequenceVariant": "MP"}, "has no InversionTime"),
        ("T1w", PHILIPS_TFE | {"RepetitionTime": 2.3}, "has no InversionTime"),
        ("T1w", PHILIPS_TFE | {"RepetitionTime": 2.3, "ScanningSequence": "GR\\IR"}, "has no InversionTime"),
        ("T1w", T1_FLAIR | {"ScanningSequence": None}, "echoes or spin echoes follow the inversion"),
        (
            "T1w",
            T1_FLAIR | {"ScanningSequence": ["SE", "GR", "IR"]},
            "echoes or spin echoes follow the inversion",
        ),
        ("T2w", HCP_T2W, "variable flip angles"),
        ("FLAIR", FLAIR_3D, "variable flip angles"),
        ("T2w", HCP_T2W | {"EchoTime": 95, "RepetitionTime": 5000}, "EchoTime in the sidecar of the T2w is 95"),
        ("T1w", PHILIPS_TFE | {"RepetitionTime": 2300, "InversionTime": 900}, "RepetitionTime .* is 2300"),
    ],
)
def test_a_sidecar_that_does_not_determine_the_contrast_is_named(contrast, sidecar, sentence):
    """The tables of these sidecars, taken literally, are far from the images of such scans."""
    with pytest.raises(UsageError, match=sentence):
        protocol_from_sidecar(contrast, sidecar)


def test_a_protocol_without_signal_has_no_table():
    with pytest.raises(UsageError, match="leaves white matter without signal"):
        table(protocol_from_words("T2w", "SE", "tr=5000,te=800"))


def test_a_sidecar_that_says_too_little_is_named():
    with pytest.raises(UsageError, match="FLAIR does not contain MagneticFieldStrength, EchoTime, InversionTime"):
        protocol_from_sidecar("FLAIR", {"RepetitionTime": 9.0, "EchoTime": "long"})
