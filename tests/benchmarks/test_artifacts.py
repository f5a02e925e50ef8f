from artifacts import falls


def test_a_curve_falls_when_it_never_rises_and_ends_lower():
    assert falls([0.9, 0.5, 0.5, 0.1])
    assert not falls([0.5, 0.5])
    assert not falls([0.9, 0.2, 0.3])
