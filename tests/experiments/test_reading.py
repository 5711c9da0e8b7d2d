import numpy as np
import pytest
import xarray as xr

from hrvlab.experiments.agreement import agreement_by_concept, describe, vectors_and_baselines
from hrvlab.experiments.curves import gaps, with_interval
from hrvlab.experiments.reading import count_clear, explain, failures, symptoms

CONCEPTS = ["Color", "Counting"]
RNG = np.random.default_rng(0)
ORDERS = {"order": ["MoRHF", "LeRHF", "random 0"], "kind": ("order", ["MoRHF", "LeRHF", "random"])}


def curves():
    """Of Color the most relevant heads go first and take it along; Counting was never there."""
    color = [[0.9, 0.1, 0.1], [0.9, 0.9, 0.1], [0.9, 0.6, 0.1]]
    mean = np.array([color, np.full((3, 3), 0.1)])
    noise = RNG.normal(size=(2, 3, 3, 4, 2)) * 0.02
    noise[:, :, 0] = noise[:, :1, 0]
    dims = ("concept", "order", "weakened", "prompt", "seed")
    along = {"weakened": [0, 4, 8], "share": ("weakened", [0, 0.5, 1])}
    score = dims, mean[..., None, None] + noise
    return xr.Dataset({"score": score}, {"concept": CONCEPTS, **ORDERS, **along})


def over_concepts(*values):
    return xr.DataArray(list(values), {"concept": CONCEPTS})


def test_concepts_are_counted_by_intervals_that_leave_zero_out():
    found = with_interval(gaps(curves())).expand_dims(witness=["judge"])
    sentence = count_clear(found)
    assert "**judge**: for **1 of 2** concepts" in sentence
    assert "below LeRHF for 1, below random for 1" in sentence


def test_a_failing_concept_is_named_with_its_numbers_and_the_other_is_not():
    found = symptoms(curves(), over_concepts(0.95, 0.7), over_concepts(0.8, 0.2))
    assert float(found["seen"].sel(concept="Color")) == 1
    assert float(found["plain"].sel(concept="Counting")) == pytest.approx(0.1, abs=0.02)
    # From .9 over .1 to .1: the mean over the curve is .3.
    assert float(found["fall"].sel(concept="Color", kind="MoRHF")) == pytest.approx(0.6, abs=0.02)
    text = failures(with_interval(gaps(curves())), found)
    assert text.startswith("- **Counting**: against LeRHF")
    assert "0% of them show the word" in text
    assert "halves agree at 0.70; reliability of single heads' effects: 0.20" in text
    assert "Color" not in text


def test_where_all_is_clear_nothing_fails():
    only = curves().sel(concept=["Color"])
    found = symptoms(only, over_concepts(0.9, 0.9), over_concepts(0.9, 0.9))
    assert failures(with_interval(gaps(only)), found) == "No concept fails."


def test_effects_that_were_not_measured_are_said_to_be_so():
    found = symptoms(curves(), over_concepts(0.9, 0.9), over_concepts(0.9, 0.9)[:1])
    assert "effects: not measured." in failures(with_interval(gaps(curves())), found)


def test_a_witness_that_only_compares_does_not_say_what_is_seen():
    found = symptoms(curves(), over_concepts(0.9, 0.9), over_concepts(0.9, 0.9), least=None)
    text = failures(with_interval(gaps(curves())), found)
    assert "show the word" not in text
    assert "seldom" not in text


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"seen": 0.4}, "seldom shows it"),
        ({"halves": 0.8}, "vector is uncertain"),
        ({"fall": [0.02, 0.01, 0.02]}, "hardly goes"),
        ({"fall": [0.5, 0.5, 0.5]}, "as soon with the least relevant"),
        ({"reliable": 0.1}, "No single head matters much"),
        ({}, "too small for these few pictures"),
    ],
)
def test_the_first_explanation_that_holds_is_given(changed, reason):
    values = {"seen": 0.9, "halves": 0.95, "plain": 0.8, "reliable": 0.7, "fall": [0.2, 0.5, 0.3]}
    values |= changed
    one = xr.Dataset(
        {**values, "fall": ("kind", values["fall"])}, {"kind": ["LeRHF", "MoRHF", "random"]}
    )
    assert reason in explain(one)


def test_what_foretells_effects_is_told_from_what_does_not():
    heads = 64
    true = RNG.normal(size=(2, heads))
    effect = true[None, :, :, None, None] + RNG.normal(size=(1, 2, heads, 4, 2))
    effects = xr.Dataset(
        {
            "effect": (("witness", "concept", "head_position", "prompt", "seed"), effect),
            "attention": (("concept", "head_position"), RNG.random((2, heads))),
        },
        {"witness": ["judge"], "concept": CONCEPTS},
    )
    hrv = xr.DataArray(true, {"concept": CONCEPTS}, ("concept", "head_position"))
    found = agreement_by_concept(effects, vectors_and_baselines(effects, hrv))
    assert found["correlation"].dims == ("witness", "concept", "vector")
    own = found.sel(vector="relevance vector")
    assert (own["correlation"] <= found["ceiling"] + 0.1).all()
    assert (own["lead"] == 0).all()
    assert (found["lead_low"].sel(vector="random") > 0).all()
    sentence = describe(found)
    assert "clearly positive for **2 of 2** concepts and clearly negative for 0" in sentence
    assert sentence.count("for 2 concepts and clearly lower for 0") == 2
