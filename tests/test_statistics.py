import doctest
from fractions import Fraction
from math import floor, sqrt

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hrvlab as hl
from hrvlab import statistics
from hrvlab.statistics import (
    RESAMPLES,
    correlation,
    mean_of_present,
    mean_ranks,
    mean_with_interval,
    percentile_interval,
    proportion_interval,
    resample_weights,
    spearman_brown,
    split_half_reliability,
    weighted_means,
)

NUMBERS = st.integers(-4, 4).map(float)
WITH_GAPS = st.one_of(NUMBERS, st.just(np.nan))


def effects_of(values):
    return xr.DataArray(values, dims=("head_position", "prompt", "seed"))


def images_of(values):
    return xr.DataArray(values, dims=("prompt", "seed"))


# Plain re-derivations, number by number.


def plain_mean(numbers):
    present = [number for number in numbers if not np.isnan(number)]
    return sum(present) / len(present) if present else np.nan


def plain_quantile(numbers, share):
    ordered = sorted(number for number in numbers if not np.isnan(number))
    if not ordered:
        return np.nan
    at = share * (len(ordered) - 1)
    below = floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def plain_ranks(numbers):
    return [
        sum(other < number for other in numbers) + (1 + numbers.count(number)) / 2
        for number in numbers
    ]


def plain_correlation(one, other):
    pairs = [(Fraction(a), Fraction(b)) for a, b in zip(one, other, strict=True)]
    means = [sum(side) / len(pairs) for side in zip(*pairs, strict=True)]
    shifted = [(a - means[0], b - means[1]) for a, b in pairs]
    product = sum(a * b for a, b in shifted)
    squares = [sum(side * side for side in sides) for sides in zip(*shifted, strict=True)]
    return float(product) / sqrt(squares[0] * squares[1]) if all(squares) else np.nan


def plain_interval(values, words):
    """Draw words, then as many images of each of their prompts; weigh all images equally."""
    rng = np.random.Generator(np.random.Philox(key=0))
    names, seeds = sorted(set(words)), values.shape[1]
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    per_prompt = drawn[:, [names.index(word) for word in words]]
    counts = rng.multinomial(per_prompt * seeds, np.full(seeds, 1 / seeds))
    means = []
    for resample in counts:
        images = []
        for prompt, times in zip(values, resample, strict=True):
            for image, count in zip(prompt, times, strict=True):
                images += [image] * int(count)
        means.append(plain_mean(images))
    return plain_quantile(means, 0.025), plain_quantile(means, 0.975)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=1, max_dims=3), elements=WITH_GAPS))
def test_a_mean_skips_what_is_missing(values):
    expected = np.apply_along_axis(lambda row: plain_mean(row.tolist()), -1, values)
    np.testing.assert_allclose(mean_of_present(values), expected)


@given(st.lists(NUMBERS, min_size=1, max_size=9))
def test_ranks_are_counted_and_ties_share_their_mean(numbers):
    np.testing.assert_array_equal(mean_ranks(np.array(numbers)), plain_ranks(numbers))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=9), st.booleans())
def test_a_correlation_is_that_of_its_definition(pairs, ranked):
    one, other = ([float(number) for number in side] for side in zip(*pairs, strict=True))
    found = correlation(np.array(one), np.array(other), ranked=ranked)
    rows = (plain_ranks(one), plain_ranks(other)) if ranked else (one, other)
    np.testing.assert_allclose(found, plain_correlation(*rows), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ranked", [False, True])
def test_a_correlation_ignores_scale_and_order_and_changes_sign_with_a_row(ranked):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 30))
    order = rng.permutation(30)
    found = correlation(one, other, ranked=ranked)
    for same in ((3 * one + 7, other), (one[order], other[order]), (other, one)):
        np.testing.assert_allclose(correlation(*same, ranked=ranked), found)
    np.testing.assert_allclose(correlation(-one, other, ranked=ranked), -found)


def test_rows_are_correlated_one_by_one_and_broadcast():
    rng = np.random.default_rng(0)
    rows, other = rng.normal(size=(2, 3, 20)), rng.normal(size=(3, 20))
    found = correlation(rows, other)
    for index in np.ndindex(2, 3):
        assert found[index] == pytest.approx(np.corrcoef(rows[index], other[index[1]])[0, 1])


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e-300, 1e300])
def test_equal_numbers_do_not_vary_however_their_mean_is_rounded(number):
    assert np.isnan(correlation(np.full(3, number), np.arange(3.0)))


@given(hnp.arrays(float, (5, 4), elements=WITH_GAPS), st.floats(0.1, 0.99))
def test_an_interval_lies_between_interpolated_quantiles(draws, level):
    low, high = percentile_interval(draws, level=level)
    for column, ends in zip(draws.T, zip(low, high, strict=True), strict=True):
        expected = [plain_quantile(column, share) for share in ((1 - level) / 2, (1 + level) / 2)]
        np.testing.assert_allclose(ends, expected, atol=1e-12)


@pytest.mark.parametrize("words", ["abcdef", "aabbcd", "aaaaab"])
@pytest.mark.parametrize("missing", [False, True])
def test_a_clustered_interval_is_that_of_drawn_words_and_their_images(words, missing):
    values = np.random.default_rng(1).normal(size=(6, 3))
    if missing:
        values[0, 1] = values[4] = np.nan
    found = mean_with_interval(
        images_of(values).assign_coords(word=("prompt", list(words))), "word"
    )
    low, high = plain_interval(values, list(words))
    np.testing.assert_allclose([found["low"], found["high"]], [low, high])
    np.testing.assert_allclose(found["mean"], plain_mean(values.ravel()))


def test_prompts_are_the_clusters_of_words_that_occur_once():
    values = images_of(np.random.default_rng(0).normal(size=(6, 3)))
    named = values.assign_coords(word=("prompt", list("abcdef")))
    by_word = mean_with_interval(named, "word").drop_vars("word", errors="ignore")
    xr.testing.assert_equal(mean_with_interval(values), by_word)


def test_more_identical_images_of_a_prompt_do_not_narrow_an_interval():
    of_prompts = np.random.default_rng(0).normal(size=(12, 1))
    once, often = (
        mean_with_interval(images_of(of_prompts.repeat(images, axis=1))) for images in (1, 50)
    )
    np.testing.assert_allclose(once["mean"], often["mean"])
    np.testing.assert_allclose(once["high"] - once["low"], often["high"] - often["low"], rtol=1e-9)


def test_the_weights_of_a_resample_sum_to_1_and_those_of_one_word_s_prompts_are_equal():
    weights = resample_weights(list("aabbc"), 4)
    assert weights.shape == (RESAMPLES, 5, 4)
    np.testing.assert_allclose(weights.sum((1, 2)), 1)
    of_prompts = weights.sum(2)
    np.testing.assert_allclose(of_prompts[:, [0, 2]], of_prompts[:, [1, 3]])


def test_a_value_that_is_missing_counts_nowhere():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 3))
    values[:, 2] = np.nan
    mean = mean_with_interval(images_of(values))["mean"]
    assert float(mean) == pytest.approx(values[:, :2].mean())
    effects = rng.normal(size=(40, 6, 3))
    without = split_half_reliability(effects_of(effects[:, :, :2]))
    effects[:, :, 2] = np.nan
    assert split_half_reliability(effects_of(effects)) == without
    rows = rng.normal(size=(4, 20))
    rows[1, 5] = np.nan
    found = correlation(rows, rng.normal(size=20))
    assert np.isnan(found).tolist() == [False, True, False, False]
    low, high = percentile_interval(found)
    np.testing.assert_allclose((low, high), np.quantile(found[[0, 2, 3]], [0.025, 0.975]))
    assert mean_of_present(found) == pytest.approx(found[[0, 2, 3]].mean())


def test_reliability_skips_a_prompt_that_is_missing_for_a_head():
    rng = np.random.default_rng(0)
    effects = rng.normal(size=(128, 1, 1)) + 0.5 * rng.normal(size=(128, 8, 2))
    whole = split_half_reliability(effects_of(effects))
    effects[3, 5] = np.nan
    assert split_half_reliability(effects_of(effects)) == pytest.approx(whole, abs=0.02)


@pytest.mark.filterwarnings("error")
def test_where_nothing_is_left_all_results_are_missing():
    array = xr.DataArray(np.ones((2, 3, 2)), dims=("condition", "prompt", "seed"))
    array[1] = np.nan
    found = mean_with_interval(array)
    for name in ("mean", "low", "high"):
        np.testing.assert_array_equal(found[name], [1.0, np.nan])
    assert np.isnan(split_half_reliability(effects_of(np.full((4, 6, 2), np.nan))))
    assert np.isnan(spearman_brown(np.nan, 2))


def test_a_longer_measurement_is_more_reliable_by_the_formula():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)
    parts = truth + 3 * rng.normal(size=(2, 16, len(truth)))
    single = np.corrcoef(parts[0, 0], parts[1, 0])[0, 1]
    whole = np.corrcoef(*parts.mean(1))[0, 1]
    assert spearman_brown(single, 16) == pytest.approx(whole, abs=0.03)
    assert spearman_brown(1 / 10, 16) == pytest.approx(16 / 25)
    assert spearman_brown(np.array([-0.5, 0.0, 1.0]), 2).tolist() == [0, 0, 1]


def test_the_examples_hold():
    result = doctest.testmod(statistics, extraglobs={"hl": hl})
    assert result.attempted > 5
    assert not result.failed


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (5, 10), (10, 10), (93, 100)])
def test_the_interval_of_a_proportion_contains_it_and_stays_within_zero_and_one(correct, total):
    low, high = proportion_interval(correct, total)
    assert -1e-12 <= low <= correct / total <= high <= 1 + 1e-12


def test_the_interval_of_a_proportion_solves_wilsons_equation():
    rate, total = 0.3, 50
    for bound in proportion_interval(15, total):
        assert abs(rate - bound) == pytest.approx(1.96 * (bound * (1 - bound) / total) ** 0.5)


def test_an_interval_covers_the_true_mean_about_as_often_as_it_claims():
    samples = np.random.default_rng(0).normal(2.0, 1.0, size=(300, 40, 1))
    found = mean_with_interval(xr.DataArray(samples, dims=("trial", "prompt", "seed")))
    covered = ((found["low"] < 2.0) & (found["high"] > 2.0)).mean()
    assert 0.88 < covered < 0.98


def test_intervals_of_paired_values_stay_paired():
    noise = np.random.default_rng(0).normal(size=(5, 4))
    array = xr.DataArray(np.stack([noise, noise + 1]), dims=("condition", "prompt", "seed"))
    found = mean_with_interval(array)
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(found[name][1] - found[name][0], 1.0)


@pytest.mark.parametrize("dims", [("kind", "prompt", "seed"), ("seed", "prompt", "kind")])
def test_an_interval_contains_the_mean(dims):
    array = xr.DataArray(np.random.default_rng(0).normal(size=(3, 4, 5)), dims=dims)
    found = mean_with_interval(array)
    assert found["mean"].dims == ("kind",)
    assert (found["low"] < found["mean"]).all()
    assert (found["mean"] < found["high"]).all()


def test_prompts_that_differ_from_each_other_widen_the_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 1)) + 0.01 * rng.normal(size=(6, 8))
    clustered = mean_with_interval(xr.DataArray(values, dims=("prompt", "seed")))
    apart = mean_with_interval(xr.DataArray(values.reshape(-1, 1), dims=("prompt", "seed")))
    assert clustered["mean"] == pytest.approx(float(apart["mean"]))
    assert clustered["high"] - clustered["low"] > 2 * (apart["high"] - apart["low"])


def test_an_interval_over_words_covers_the_true_mean_about_as_often_as_it_claims():
    rng = np.random.default_rng(0)
    words = np.repeat(np.arange(12), 2)
    array = xr.DataArray(
        rng.normal(size=(200, 12, 1)).repeat(2, axis=1) + rng.normal(size=(200, 24, 4)),
        {"word": ("prompt", words)},
        ("trial", "prompt", "seed"),
    )
    found = mean_with_interval(array, "word")
    assert 0.85 < ((found["low"] < 0) & (found["high"] > 0)).mean() < 0.99
    narrow = mean_with_interval(array)
    assert (narrow["high"] - narrow["low"]).mean() < 0.9 * (found["high"] - found["low"]).mean()


def test_clusters_of_several_sizes_weigh_by_their_images():
    array = xr.DataArray(
        [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]],
        {"word": ("prompt", ["a", "a", "a", "b"])},
        ("prompt", "seed"),
    )
    found = mean_with_interval(array, "word")
    assert (found["low"], found["mean"], found["high"]) == (0.0, 0.75, 1.0)


def test_an_interval_skips_values_that_are_missing():
    array = xr.DataArray([[0.0, np.nan], [1.0, 1.0]], dims=("prompt", "seed"))
    found = mean_with_interval(array)
    assert float(found["mean"]) == pytest.approx(2 / 3)
    assert 0 <= found["low"] < found["mean"] < found["high"] <= 1


def test_a_ranked_correlation_is_that_of_pearson_between_ranks():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 20))
    expected = [
        np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1]
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(correlation(a, b, ranked=True), expected)
    tied = np.array([1, 2, 2, 3.0]), np.array([1, 2, 2, 9.0])
    assert correlation(*tied, ranked=True) == pytest.approx(1)


@pytest.mark.parametrize("row", [[2.0, 2.0, 2.0], [1.0, np.nan, 2.0]])
@pytest.mark.parametrize("ranked", [False, True])
def test_a_row_that_does_not_vary_or_holds_nan_correlates_with_nothing(row, ranked):
    assert np.isnan(correlation(np.array(row), np.array([1.0, 2.0, 3.0]), ranked=ranked))


def test_effects_without_noise_are_reliable_and_noise_is_not():
    rng = np.random.default_rng(0)
    true, noise = rng.normal(size=(128, 1, 1)), rng.normal(size=(128, 8, 2))
    assert split_half_reliability(effects_of(true + 0 * noise)) == pytest.approx(1)
    assert split_half_reliability(effects_of(noise)) < 0.35
    assert 0.7 < split_half_reliability(effects_of(true + noise)) < 1


def test_reliability_predicts_the_correlation_with_a_second_measurement():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(400, 1, 1))
    first, second = (true + 2 * rng.normal(size=(400, 8, 2)) for _ in range(2))
    again = correlation(first.mean((1, 2)), second.mean((1, 2)), ranked=True)
    assert split_half_reliability(effects_of(first)) == pytest.approx(float(again), abs=0.08)


def test_what_the_images_of_a_prompt_have_in_common_does_not_make_effects_reliable():
    of_prompts = np.random.default_rng(0).normal(size=(128, 6, 1)).repeat(4, axis=2)
    assert split_half_reliability(effects_of(of_prompts)) < 0.35


def test_a_single_prompt_has_no_reliability():
    one = effects_of(np.random.default_rng(0).normal(size=(4, 1, 2)))
    assert np.isnan(split_half_reliability(one))


def test_weighted_means_skip_what_is_missing():
    values = np.array([[[1.0, np.nan], [3.0, 5.0]], [[np.nan] * 2] * 2])
    weights = np.array([[[0.25, 0.25], [0.25, 0.25]], [[0.5, 0.5], [0.0, 0.0]]])
    np.testing.assert_allclose(weighted_means(values, weights), [[3, 1], [np.nan] * 2])
