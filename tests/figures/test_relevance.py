import numpy as np
import pytest

import hrvlab as hl
from hrvlab.figures import (
    block_bars,
    concentration,
    concept_matrix,
    convergence_curves,
    relevance_map,
    reliability,
    top_heads,
    vote_counts,
)
from hrvlab.relevance.similarity import (
    block_shares,
    concept_similarity,
    heads_for_half,
    split_half_correlation,
)
from hrvlab.relevance.uncertainty import (
    bootstrap_relevance,
    convergence,
    top_heads_with_interval,
)
from tests.pipelines import tiny_sd


@pytest.fixture(scope="module")
def votes():
    concepts = hl.ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat", "dog"]})
    return hl.collect_votes(
        tiny_sd(), concepts, ["a red car", "a cat", "a dog"], num_inference_steps=2, progress=False
    )


@pytest.fixture(scope="module")
def hrv(votes):
    return votes.hrv.relevance()


def test_the_map_shows_every_concept_as_layers_by_heads(hrv):
    figure = relevance_map(hrv)
    assert [trace.name for trace in figure.data] == ["Color", "Animals"]
    np.testing.assert_array_equal(figure.data[1].z, hrv.hrv.unstack_heads().sel(concept="Animals"))


def test_the_mean_head_is_white(hrv):
    for trace in relevance_map(hrv).data:
        middle = trace.colorscale[1][0] * np.nanmax(trace.z)
        assert middle == pytest.approx(1, rel=1e-3)


def test_the_top_heads_are_in_descending_order(hrv, votes):
    top = top_heads_with_interval(hrv, bootstrap_relevance(votes, resamples=20), 4)
    for trace, row in zip(top_heads(top).data, hrv.values, strict=True):
        np.testing.assert_array_equal(trace.x, np.sort(row)[::-1][:4])
        assert all(text.endswith("%") for text in trace.text)


def test_the_menu_shows_the_split_half_correlation_of_every_vector(hrv):
    (chosen,) = relevance_map(hrv).layout.updatemenus
    for button, value in zip(chosen.buttons, hrv["split_half"].values, strict=True):
        assert button.label.endswith(f"(split-half correlation: {value:.2f})")


def test_the_bars_hold_all_votes(hrv, votes):
    (bars,) = vote_counts(hrv).data
    assert sum(bars.x) == votes["votes_by_timestep"].sum()


def test_a_matrix_names_its_rows_and_columns(hrv):
    figure = concept_matrix(concept_similarity(hrv), title="x")
    (heat,) = figure.data
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert list(axis.ticktext) == ["Color", "Animals"]
    np.testing.assert_allclose(np.diag(heat.z), 1)


def test_reliability_shows_every_concept(votes):
    figure = reliability(split_half_correlation(votes.hrv.relevance_by_half()))
    (dots,) = figure.data
    assert sorted(figure.layout.yaxis.ticktext) == ["Animals", "Color"]
    assert sorted(dots.x) == list(dots.x)


def test_every_concept_has_a_convergence_curve(votes):
    agreement = convergence(votes, sizes=[1], resamples=2)
    for trace, concept in zip(
        convergence_curves(agreement).data, ["Color", "Animals"], strict=True
    ):
        assert trace.name == concept
        np.testing.assert_array_equal(trace.x, [1])
        np.testing.assert_array_equal(trace.y, agreement.sel(concept=concept))


def test_every_model_has_a_panel_with_shares_by_block(hrv):
    shares = block_shares(hrv)
    figure = block_bars({"one": shares, "other": shares})
    assert len(figure.data) == 2 * 3
    np.testing.assert_allclose(sum(np.array(bars.x) for bars in figure.data[:3]), 1)
    assert [note.text for note in figure.layout.annotations] == ["one", "other"]


def test_concentration_is_shown_for_every_model(hrv):
    share = heads_for_half(hrv) / hrv.sizes["head_position"]
    dots, other = concentration({"one": share, "other <b>": share[::-1] * 2}).data
    assert list(dots.y) == list(other.y)
    assert sorted(dots.x) == list(dots.x)
    np.testing.assert_allclose(np.array(other.x), 2 * np.array(dots.x))
    assert other.name == "other &lt;b>"
