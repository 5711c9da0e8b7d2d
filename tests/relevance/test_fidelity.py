import numpy as np
import pytest
import torch
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ParameterError
from hrvlab.relevance.diagnosis import give_verdict, profile_similarity
from hrvlab.relevance.fidelity import (
    compare,
    correlations,
    expected_correlation,
    spearman_brown,
)
from hrvlab.relevance.published import read_published, write_published
from hrvlab.relevance.verify import collect_as_published, report, rows

PUBLISHED_PROMPTS = 48
OWN = slice(0, 256, 16)


def collect(pipe, prompts, seed):
    concepts = hl.ConceptSet.read("miniature")
    return collect_as_published(
        pipe, concepts, prompts, seed=seed, steps=3, batch_size=16, progress=False
    )


@pytest.fixture(scope="module")
def pipe():
    return hl.load("miniature")


@pytest.fixture(scope="module")
def votes(pipe):
    return collect(pipe, hl.read_prompts("miniature")[OWN], seed=0)


@pytest.fixture(scope="module")
def published(pipe, tmp_path_factory):
    """The miniature's vectors from other prompts and another seed, by way of published files."""
    folder = tmp_path_factory.mktemp("published")
    prompts = hl.read_prompts("miniature")
    del prompts[OWN]
    prompts = prompts[:PUBLISHED_PROMPTS]
    write_published(collect(pipe, prompts, seed=1).hrv.relevance(), folder, "synthetic")
    files = (folder / f"{kind}_synthetic.npy" for kind in ("category_vectors", "head_index"))
    return read_published(
        *files, hl.head_table(pipe.unet), concepts=hl.ConceptSet.read("miniature")
    )


def verdict_on(votes, published):
    return give_verdict(votes, published, published_prompts=PUBLISHED_PROMPTS)


def test_the_same_model_passes(votes, published):
    verdict = verdict_on(votes, published)
    assert verdict.passed
    assert verdict.kind == "same"
    assert set(verdict.concepts["outcome"].values) == {"agrees"}


def test_another_model_fails_and_is_called_so(votes, published):
    other = hl.load("miniature")
    torch.manual_seed(0)
    for weights in other.unet.parameters():
        if weights.ndim > 1:
            weights.data += weights.data.std() * torch.randn_like(weights)
    verdict = verdict_on(collect(other, votes["prompt_text"].values.tolist(), seed=0), published)
    assert not verdict.passed
    assert verdict.kind == "another model"
    assert "it looks like another model" in verdict.message


def test_permuted_heads_fail_and_are_found(votes, published):
    order = np.random.default_rng(0).permutation(published.sizes["head_position"])
    permuted = published.copy(data=published.values[:, order])
    verdict = verdict_on(votes, permuted)
    assert not verdict.passed
    assert verdict.kind == "head order"
    moved = (order != np.arange(len(order))).sum()
    assert f"{moved} of 128 head positions look permuted" in verdict.message


def test_heads_in_the_order_of_diffusers_processors_are_found_too(votes, published):
    """Down, up, mid: the order in which attention processors are listed."""
    places = [published["place"].values == place for place in ("down", "up", "mid")]
    order = np.concatenate([np.flatnonzero(place) for place in places])
    verdict = verdict_on(votes, published.copy(data=published.values[:, order]))
    assert verdict.kind == "head order"
    assert "such as 'mid" in verdict.message or "such as 'up" in verdict.message


def test_another_normalisation_fails_and_is_named(votes, published):
    verdict = verdict_on(votes, published / published.sizes["head_position"])
    assert not verdict.passed
    assert verdict.kind == "normalisation"
    assert "rows sum to 1 … 1, and relevance rows sum to the number of head" in verdict.message


def test_one_concept_of_other_words_is_named(votes, published):
    other = published.copy()
    other.loc["Color"] = published.sel(concept="Animals").values
    verdict = verdict_on(votes, other)
    assert verdict.kind == "some concepts"
    assert "1 of 17 concepts differ (Color)" in verdict.message
    assert rows(verdict)[0][0] == "Color"


def test_too_little_to_tell_is_no_pass(votes, published):
    """Votes by chance: no half agrees with the other."""
    chance = np.random.default_rng(0).multinomial(4, np.full(17, 1 / 17), size=(16, 128))
    by_timestep = xr.DataArray(chance.sum(0)[None], dims=votes["votes_by_timestep"].dims)
    noise = votes.isel(timestep=[0]).assign(
        votes_by_prompt=votes["votes_by_prompt"].copy(data=chance), votes_by_timestep=by_timestep
    )
    verdict = verdict_on(noise, published)
    assert not verdict.passed
    assert verdict.kind == "open"
    assert "use more prompts" in verdict.message


def test_what_is_expected_is_what_is_found_of_the_same_model(votes, published):
    concepts = compare(votes, published, published_prompts=PUBLISHED_PROMPTS)
    difference = np.arctanh(concepts["found"]) - np.arctanh(concepts["expected"])
    assert abs(float(difference.mean())) < 0.2
    assert (concepts["lowest"] < concepts["expected"]).all()


def test_a_few_prompts_cannot_be_parted(votes, published):
    few = votes.isel(prompt=slice(7))
    with pytest.raises(ParameterError, match="7 prompts are too few to part; give 8 or more"):
        compare(few, published)


def test_correlations_are_pearson_s_and_nothing_where_nothing_varies():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 3, 20))
    found = correlations(one, other)
    np.testing.assert_allclose(
        found, [np.corrcoef(*pair)[0, 1] for pair in zip(one, other, strict=True)]
    )
    one[0], one[1] = 1, np.nan
    np.testing.assert_array_equal(correlations(one, other)[:2], 0)


def test_expectations_are_those_of_simulated_measurements():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    units = truth + 3 * rng.normal(size=(60, len(truth)))
    yours, theirs = units[:16].mean(0), units[16:].mean(0)
    halves = np.corrcoef(units[:16:2].mean(0), units[1:16:2].mean(0))[0, 1]
    expected = expected_correlation(np.array([halves]), 16, 44)
    assert np.corrcoef(yours, theirs)[0, 1] == pytest.approx(expected[0], abs=0.02)
    reliability = spearman_brown(np.array([1 / 10]), 16)
    assert reliability[0] == pytest.approx(16 / 25)


def test_matched_heads_undo_a_permutation():
    rng = np.random.default_rng(0)
    vectors = rng.gamma(1, size=(6, 40))
    order = rng.permutation(40)
    match = profile_similarity(vectors, vectors[:, order]).argmax(1)
    np.testing.assert_array_equal(order[match], np.arange(40))


def test_the_report_tells_verdict_settings_and_every_concept(votes, published):
    verdict = verdict_on(votes, published)
    page = report(verdict, votes, published)
    assert page.startswith("# Passed: same\n")
    assert "PNDMScheduler, 4 calls of the UNet, guidance 7.5" in page
    assert "category_vectors_synthetic.npy" in page
    for concept in votes["concept"].values:
        assert f"| {concept} |" in page
