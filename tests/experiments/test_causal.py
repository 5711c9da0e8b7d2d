import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ParameterError, TokenError
from hrvlab.experiments.causal import (
    agreement,
    head_effects,
    rank_correlation,
    reliability,
    word_attention,
)
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.vectors import relevance
from tests.experiments.test_weakening import PROMPTS, TEXTS, Brightness

GIVEN = {"texts": TEXTS, "score": Brightness(), "num_inference_steps": 2, "progress": False}
RNG = np.random.default_rng(0)


def effects_of(values):
    return xr.DataArray(values, dims=("head_position", "prompt", "seed"))


def test_an_effect_is_what_the_score_loses_when_one_head_is_weakened(tiny_pipe):
    measured = head_effects(tiny_pipe, PROMPTS, seeds=[0, 3], factor=0.5, **GIVEN)
    effects = measured["effect"]
    call = {"seed": [0, 3], "num_inference_steps": 2, "progress": False}
    texts = [text for text in TEXTS for _ in range(2)]
    plain = Brightness()(hl.generate(tiny_pipe, PROMPTS, **call), texts)
    np.testing.assert_allclose(measured["plain"], plain.reshape(2, 2), atol=0.2)
    for head in range(effects.sizes["head_position"]):
        factors = np.ones(effects.sizes["head_position"])
        factors[head] = 0.5
        images = hl.generate(tiny_pipe, PROMPTS, edit=hl.Rescale(factors), **call)
        expected = (plain - Brightness()(images, texts)).reshape(2, 2)
        np.testing.assert_allclose(effects[head], expected, atol=0.4)


def test_effects_are_labelled_stored_and_read_again(tiny_pipe, tmp_path):
    first = head_effects(tiny_pipe, PROMPTS, store=tmp_path, **GIVEN)
    np.testing.assert_array_equal(first["label"], hl.head_table(tiny_pipe.unet)["label"])
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    xr.testing.assert_identical(head_effects(tiny_pipe, PROMPTS, store=tmp_path, **GIVEN), first)
    assert not calls


def test_rank_correlation_is_that_of_pearson_between_ranks():
    a, b = RNG.normal(size=(2, 3, 20))
    expected = [
        np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1]
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(rank_correlation(a, b), expected)
    assert rank_correlation(np.array([1, 2, 2, 3.0]), np.array([1, 2, 2, 9.0])) == pytest.approx(1)


def test_effects_without_noise_are_reliable_and_noise_is_not():
    true = RNG.normal(size=(128, 1, 1))
    noise = RNG.normal(size=(128, 8, 2))
    assert reliability(effects_of(true + 0 * noise)) == pytest.approx(1)
    assert abs(reliability(effects_of(noise))) < 0.35
    assert 0.7 < reliability(effects_of(true + noise)) < 1


def test_reliability_foretells_agreement_with_a_second_measurement():
    true = RNG.normal(size=(400, 1, 1))
    first, second = (true + 2 * RNG.normal(size=(400, 8, 2)) for _ in range(2))
    again = rank_correlation(first.mean((1, 2)), second.mean((1, 2)))
    assert reliability(effects_of(first)) == pytest.approx(again, abs=0.08)


def test_one_picture_a_head_has_no_reliability():
    with pytest.raises(ParameterError, match="more prompts or seeds"):
        reliability(effects_of(RNG.normal(size=(4, 1, 1))))


def test_agreement_has_an_interval_around_the_rank_correlation():
    true = RNG.normal(size=128)
    effects = effects_of(true[:, None, None] + RNG.normal(size=(128, 8, 2)))
    vectors = {"true": xr.DataArray(true), "random": xr.DataArray(RNG.normal(size=128))}
    found = agreement(effects, vectors)
    mean = effects.mean(("prompt", "seed")).values
    np.testing.assert_allclose(found["correlation"][0], rank_correlation(mean, true))
    assert found["low"].sel(vector="true") > found["high"].sel(vector="random")


def test_attention_to_a_word_is_that_of_its_tokens_in_published_order(tiny_pipe):
    captured = hl.capture(tiny_pipe, PROMPTS, num_inference_steps=2, progress=False)
    table = hl.head_table(tiny_pipe.unet)
    columns = [
        word_columns(tiny_pipe.tokenizer, *pair) for pair in zip(PROMPTS, TEXTS, strict=True)
    ]
    found = word_attention(captured, columns, table)
    for head in range(table.sizes["head_position"]):
        layer, number = table["layer"].values[head], table["head"].values[head]
        both = [
            captured["attention"].values[prompt, :, layer, number][:, columns[prompt]].sum(-1)
            for prompt in range(2)
        ]
        assert float(found[head]) == pytest.approx(np.mean(both), rel=1e-5)


def test_shares_of_votes_agree_exactly_as_their_relevance_does(tiny_pipe, concepts):
    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS, num_inference_steps=3, progress=False)
    shares = votes["votes_by_prompt"].sum("prompt").sel(concept="Color") / 6
    effects = effects_of(RNG.normal(size=(shares.size, 4, 2)))
    vectors = {"relevance": relevance(votes).sel(concept="Color"), "shares": shares}
    found = agreement(effects, vectors)
    for name in ("correlation", "low", "high"):
        assert float(found[name][0]) == float(found[name][1])


def test_a_word_that_is_not_there_is_refused_before_generating(tiny_pipe):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(TokenError, match="red"):
        head_effects(tiny_pipe, PROMPTS, tokens="red", **GIVEN)
    assert not calls
