import numpy as np
import pytest
import xarray as xr

from hrvlab.experiments.weakening.curves import gaps
from hrvlab.experiments.weakening.findings import count_clear, explain, failures, symptoms
from hrvlab.statistics import mean_with_interval

CONCEPTS = ["Color", "Counting"]
RNG = np.random.default_rng(0)
ORDERS = {"order": ["MoRHF", "LeRHF", "random 0"], "kind": ("order", ["MoRHF", "LeRHF", "random"])}


def curves():
    """Color vanishes with its most relevant heads; Counting was never there."""
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


def test_concepts_are_counted_by_intervals_that_exclude_zero():
    found = mean_with_interval(gaps(curves())).expand_dims(evaluator=["judge"])
    sentence = count_clear(found)
    assert "**judge**: for **1 of 2** concepts" in sentence
    assert "smaller than LeRHF for 1, smaller than random for 1" in sentence
    assert "95 % bootstrap interval over prompts and their images excludes zero" in sentence


def test_a_failing_concept_is_named_with_its_numbers_and_the_other_is_not():
    found = symptoms(curves(), over_concepts(0.95, 0.7), over_concepts(0.8, 0.2))
    assert float(found["shown"].sel(concept="Color")) == 1
    assert float(found["plain"].sel(concept="Counting")) == pytest.approx(0.1, abs=0.02)
    # From .9 over .1 to .1: the mean over the curve is .3.
    assert float(found["fall"].sel(concept="Color", kind="MoRHF")) == pytest.approx(0.6, abs=0.02)
    text = failures(mean_with_interval(gaps(curves())), found)
    assert text.startswith("- **Counting**: compared with LeRHF")
    assert "0% of them show the word" in text
    assert "halves correlate at 0.70; reliability of the effects of single heads: 0.20" in text
    assert "Color" not in text


def test_where_all_concepts_are_clear_none_fails():
    only = curves().sel(concept=["Color"])
    found = symptoms(only, over_concepts(0.9, 0.9), over_concepts(0.9, 0.9))
    assert failures(mean_with_interval(gaps(only)), found) == "No concept fails."


def test_effects_that_were_not_measured_are_reported_as_such():
    found = symptoms(curves(), over_concepts(0.9, 0.9), over_concepts(0.9, 0.9)[:1])
    text = failures(mean_with_interval(gaps(curves())), found)
    assert "effects of single heads: not measured." in text


def test_without_a_threshold_nothing_is_said_of_how_many_images_show_the_word():
    found = symptoms(curves(), over_concepts(0.9, 0.9), over_concepts(0.9, 0.9), threshold=None)
    text = failures(mean_with_interval(gaps(curves())), found)
    assert "show the word" not in text
    assert "seldom" not in text


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"shown": 0.4}, "seldom shows it"),
        ({"split_half": 0.8}, "vector is uncertain"),
        ({"fall": [0.02, 0.01, 0.02]}, "hardly falls"),
        ({"fall": [0.5, 0.5, 0.5]}, "almost as much with the least relevant"),
        ({"reliability": 0.1}, "No single head matters much"),
        ({}, "too small for so few images"),
    ],
)
def test_the_first_reason_that_applies_is_returned(changed, reason):
    values = {
        "shown": 0.9,
        "split_half": 0.95,
        "plain": 0.8,
        "reliability": 0.7,
        "fall": [0.2, 0.5, 0.3],
        **changed,
    }
    one = xr.Dataset(
        {**values, "fall": ("kind", values["fall"])}, {"kind": ["LeRHF", "MoRHF", "random"]}
    )
    assert reason in explain(one)


def test_images_that_were_withheld_count_neither_as_shown_nor_as_not_shown():
    whole = curves()
    part = whole.isel(prompt=[0, 0])
    score = part["score"].copy(deep=True)
    score[{"prompt": 0}] = np.nan
    certain = over_concepts(0.9, 0.9)
    found = symptoms(part.assign(score=score), certain, certain)
    xr.testing.assert_allclose(found, symptoms(whole.isel(prompt=[0]), certain, certain))
