"""Arms, strata and the seeded draw of cases."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.trials.design import strata, template
from readerstudy.trials.design.protocol import Protocol, read
from readerstudy.trials.design.strata import Lesion


def protocol(rows: list[tuple[str, str, int, int]], practice: tuple[int, int] = (0, 0)) -> Protocol:
    data: dict[str, Any] = template.vtt_ct_1("A trial") | {
        "positive_class": "synthetic",
        "repeats": {"count": 0},
        "practice": {"real": practice[0], "synthetic": practice[1]},
    }
    data["design"]["strata"] = [
        {"organ": organ, "size_band": band, "real": real, "synthetic": synthetic}
        for organ, band, real, synthetic in rows
    ]
    return read(data)


def lesion(
    name: str,
    arm: str,
    diameter: float = 5,
    *,
    organ: str = "liver",
    patient: str = "",
    volume: str = "",
) -> Lesion:
    patient = patient or f"P-{name}"
    return Lesion(name, arm, organ, diameter, patient, volume or f"V-{patient}")


def test_bands_hold_their_lower_edge_only() -> None:
    bands = protocol([("liver", "small", 1, 1)]).design.size_bands
    assert strata.band_of(0, bands) == "small"
    assert strata.band_of(9.999, bands) == "small"
    assert strata.band_of(10, bands) == "medium"
    assert strata.band_of(200, bands) is None


def test_table_counts_needed_and_available() -> None:
    design = protocol([("liver", "small", 2, 1), ("lung", "large", 0, 1)])
    stock = [
        lesion("a", "real"),
        lesion("b", "real", 12),
        lesion("c", "synthetic", 25, organ="lung"),
    ]
    cells = {
        (c.arm, c.organ, c.band): (c.needed, c.available, c.missing)
        for c in strata.table(design, stock)
    }
    assert cells == {
        ("real", "liver", "small"): (2, 1, 1),
        ("synthetic", "liver", "small"): (1, 0, 1),
        ("real", "lung", "large"): (0, 0, 0),
        ("synthetic", "lung", "large"): (1, 1, 0),
    }


def test_feasibility_is_said_in_sentences() -> None:
    design = protocol([("liver", "small", 2, 1)], practice=(1, 0))
    assert strata.feasibility(design, [lesion("a", "real"), lesion("s", "synthetic")]) == [
        "Liver, small: 2 real needed, 1 accepted; accept 1 more or lower the number."
    ]
    stock = [lesion("a", "real"), lesion("b", "real"), lesion("s", "synthetic")]
    assert strata.feasibility(design, stock) == [
        "Practice: 1 real needed, 0 accepted beyond the main cases; accept 1 more or lower the "
        "number."
    ]
    # Practice may come from any size, also from outside the strata.
    assert strata.feasibility(design, [*stock, lesion("c", "real", 60)]) == []


def test_a_volume_serves_one_arm_only_when_there_is_another_choice() -> None:
    design = protocol([("liver", "small", 2, 2)])
    stock = [
        lesion("r1", "real", patient="A"),
        lesion("r2", "real", patient="B"),
        lesion("s1", "synthetic", patient="A"),
        lesion("s2", "synthetic", patient="B"),
        lesion("s3", "synthetic", patient="C"),
        lesion("s4", "synthetic", patient="D"),
    ]
    for number in range(1, 20):
        result = strata.draw(design, stock, seed=1, number=number)
        assert result.shared_volumes == 0
        assert {pick.lesion.id for pick in result.picks} == {"r1", "r2", "s3", "s4"}


def test_when_volumes_must_be_shared_it_is_said() -> None:
    design = protocol([("liver", "small", 1, 1)])
    stock = [lesion("r", "real", patient="A"), lesion("s", "synthetic", patient="A")]
    result = strata.draw(design, stock, seed=1)
    assert len(result.picks) == 2
    assert result.notes == (
        "1 volume serves both arms: there was no other choice; more volumes would avoid it.",
    )


def test_different_patients_are_preferred() -> None:
    design = protocol([("liver", "small", 3, 1)])
    stock = [lesion(f"a{n}", "real", patient="A") for n in range(9)]
    stock += [lesion("b", "real"), lesion("c", "real"), lesion("s", "synthetic")]
    for number in range(1, 10):
        result = strata.draw(design, stock, seed=4, number=number)
        assert len({pick.lesion.patient for pick in result.picks}) == 4


def test_practice_is_disjoint_and_from_other_patients_where_possible() -> None:
    design = protocol([("liver", "small", 2, 2)], practice=(1, 1))
    stock = [
        lesion(f"{arm}{n}", arm, patient=f"{arm}{n // 2}")
        for arm in ("real", "synthetic")
        for n in range(6)
    ]
    for number in range(1, 10):
        result = strata.draw(design, stock, seed=9, number=number)
        main = [pick.lesion for pick in result.picks if pick.phase == "main"]
        practice = [pick.lesion for pick in result.picks if pick.phase == "practice"]
        assert Counter(item.arm for item in practice) == {"real": 1, "synthetic": 1}
        assert not {item.id for item in main} & {item.id for item in practice}
        assert not {item.patient for item in main} & {item.patient for item in practice}


def test_hand_picked_are_in_and_excluded_are_out() -> None:
    design = protocol([("liver", "small", 2, 1)])
    stock = [lesion(f"r{n}", "real") for n in range(8)] + [lesion("s", "synthetic")]
    for number in range(1, 10):
        result = strata.draw(
            design,
            stock,
            seed=2,
            number=number,
            pinned=frozenset({"r3"}),
            excluded=frozenset({"r4", "r5"}),
        )
        ids = {pick.lesion.id for pick in result.picks}
        assert "r3" in ids
        assert not ids & {"r4", "r5"}
    crowded = strata.draw(design, stock, seed=2, pinned=frozenset({"r1", "r2", "r3"}))
    assert crowded.notes == (
        "1 included by hand found no room in the main part: its stratum is full or is not in the "
        "protocol.",
    )


def test_draw_follows_from_seed_and_number_alone() -> None:
    design = protocol([("liver", "small", 3, 3)])
    stock = [lesion(f"{arm}{n}", arm) for arm in ("real", "synthetic") for n in range(20)]
    first = strata.draw(design, stock, seed=7, number=2)
    assert strata.draw(design, list(reversed(stock)), seed=7, number=2) == first
    assert strata.draw(design, stock, seed=7, number=3) != first
    assert strata.draw(design, stock, seed=8, number=2) != first


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(strata.ARMS),
            st.sampled_from(["liver", "lung"]),
            st.floats(0, 60),
            st.integers(0, 9),
        ),
        max_size=60,
    ),
    st.integers(0, 2**62),
)
def test_D3_strata_counts_are_exact_or_the_shortfall_is_named(
    raw: list[tuple[str, str, float, int]], seed: int
) -> None:
    rows = [("liver", "small", 2, 1), ("liver", "medium", 1, 2), ("lung", "large", 1, 1)]
    design = protocol(rows, practice=(1, 1))
    stock = [
        Lesion(f"c{index}", arm, organ, diameter, f"P{who}", f"V{who}")
        for index, (arm, organ, diameter, who) in enumerate(raw)
    ]
    result = strata.draw(design, stock, seed=seed)
    have = Counter(
        (pick.lesion.arm, pick.lesion.organ, pick.band)
        for pick in result.picks
        if pick.phase == "main"
    )
    for cell in strata.table(design, stock):
        assert have[cell.arm, cell.organ, cell.band] == min(cell.needed, cell.available)
    assert bool(result.missing) == bool(strata.feasibility(design, stock))
    assert len({pick.lesion.id for pick in result.picks}) == len(result.picks)
