import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, TokenError
from hrvlab.methods.steering import adjust, adjusting_factors, strengthen, strengthening_factors
from hrvlab.models.families import denoiser_of
from tests.pipelines import tiny_sd

NAMES = ["Color", "Plants"]
STEPS = {"num_inference_steps": 3, "progress": False}


def vectors(pipe, seed=0):
    rows = np.random.default_rng(seed).gamma(
        0.7, size=(2, hl.head_table(denoiser_of(pipe)).sizes["head_position"])
    )
    rows *= rows.shape[1] / rows.sum(1, keepdims=True)
    return hl.relevance_from_array(rows, concepts=NAMES, pipe=pipe)


def test_any_strength_keeps_the_mean(tiny_pipe):
    row = vectors(tiny_pipe).values[0]
    for strength in (-1.0, 0.0, 0.5, 3.0):
        assert strengthening_factors(row, strength).mean() == pytest.approx(1)


def test_strength_zero_changes_nothing_and_one_is_the_relevance(tiny_pipe):
    row = vectors(tiny_pipe).values[0]
    np.testing.assert_array_equal(strengthening_factors(row, 0.0), np.ones_like(row))
    np.testing.assert_allclose(strengthening_factors(row, 1.0), row)


def test_adjusting_is_twice_the_wanted_minus_the_unwanted_and_keeps_the_mean(tiny_pipe):
    toward, away = vectors(tiny_pipe).values
    factors = adjusting_factors(toward, away)
    np.testing.assert_allclose(factors, 2 * toward - away)
    assert factors.mean() == pytest.approx(1)


def test_a_clamp_limits_each_vector_before_they_are_combined():
    factors = adjusting_factors(np.array([9.0, 1.0]), np.array([1.0, 9.0]), clamp=4.0)
    np.testing.assert_allclose(factors, [2 * 4 - 1, 2 * 1 - 4])


def test_strengths_mix_in_one_batch_as_they_act_alone(tiny_pipe):
    hrv = vectors(tiny_pipe)
    prompts = ["a red car"] * 3
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    together = hl.generate(
        tiny_pipe,
        prompts,
        edit=strengthen(hrv, "Color", "red", strength=[0.0, 1.0, 2.0]),
        latents=latents,
        **STEPS,
    )
    for number, strength in enumerate((0.0, 1.0, 2.0)):
        alone = hl.generate(
            tiny_pipe,
            "a red car",
            edit=strengthen(hrv, "Color", "red", strength=strength),
            latents=latents[number : number + 1],
            **STEPS,
        )
        assert np.abs(together[number].astype(int) - alone[0]).max() <= 1


def test_strength_zero_yields_the_plain_image(tiny_pipe):
    edit = strengthen(vectors(tiny_pipe), "Color", "red", strength=0.0)
    plain, same = (hl.generate(tiny_pipe, "a red car", edit=e, **STEPS) for e in ((), edit))
    np.testing.assert_array_equal(plain, same)


def test_several_words_can_have_concepts_of_their_own(tiny_pipe):
    hrv = vectors(tiny_pipe)
    edits = [strengthen(hrv, "Color", "red"), strengthen(hrv, "Plants", "tree")]
    both = hl.generate(tiny_pipe, "a red tree", edit=edits, **STEPS)
    first = hl.generate(tiny_pipe, "a red tree", edit=edits[0], **STEPS)
    assert (both != first).any()


@pytest.mark.parametrize(("top", "layers"), [(3, None), (None, [0]), (7, [0, 1])])
def test_only_the_chosen_heads_are_edited(tiny_pipe, top, layers):
    hrv = vectors(tiny_pipe)
    edit = strengthen(hrv, "Color", "red", strength=5.0, top=top, layers=layers)
    row = hrv.sel(concept="Color")
    best = np.argsort(-row.values, kind="stable")[:top]
    allowed = np.isin(np.arange(row.size), best) & np.isin(
        row["layer"], row["layer"] if layers is None else layers
    )
    np.testing.assert_array_equal(edit.factors[~allowed], 1)
    np.testing.assert_allclose(edit.factors[allowed], 1 + 5 * (row.values[allowed] - 1))


def test_adjusting_picks_the_heads_in_which_the_concepts_differ_most(tiny_pipe):
    hrv = vectors(tiny_pipe)
    edit = adjust(hrv, toward="Color", away="Plants", word="rose", top=1)
    (changed,) = np.flatnonzero(edit.factors != 1)
    assert changed == np.abs(hrv.values[0] - hrv.values[1]).argmax()


def test_a_selection_without_heads_is_refused(tiny_pipe):
    with pytest.raises(ParameterError, match="leave no head to edit; layers go from 0 to"):
        strengthen(vectors(tiny_pipe), "Color", "red", layers=[99])


def test_an_unknown_concept_is_refused_with_the_known_ones(tiny_pipe):
    with pytest.raises(ConceptError, match="no concept 'Colour'; there are: Color, Plants"):
        strengthen(vectors(tiny_pipe), "Colour", "red")


def test_a_word_that_is_not_in_the_prompt_is_refused_before_generating(tiny_pipe):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(TokenError, match="blue"):
        hl.generate(tiny_pipe, "a red car", edit=strengthen(vectors(tiny_pipe), "Color", "blue"))
    assert not calls


def test_vectors_of_another_model_are_refused_unless_allowed(tiny_pipe):
    hrv = vectors(tiny_sd(seed=1))
    with pytest.raises(ModelError, match="made for model .*allow_other_model"):
        hl.generate(tiny_pipe, "a red car", edit=strengthen(hrv, "Color", "red"), **STEPS)
    allowed = strengthen(hrv, "Color", "red", allow_other_model=True)
    hl.generate(tiny_pipe, "a red car", edit=allowed, **STEPS)


@pytest.mark.parametrize("share", ["gain", "loss"])
def test_adjusting_without_bounds_is_refused(tiny_pipe, share):
    with pytest.raises(ParameterError, match=f"{share} is inf"):
        given = {"toward": "Color", "away": "Plants", "word": "red", share: float("inf")}
        hl.adjust(vectors(tiny_pipe), **given)
