import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import TokenError
from hrvlab.experiments.head_effects.trial import (
    effects_beside_attention,
    head_effects,
    word_attention,
)
from hrvlab.models.tokens import word_columns
from tests.experiments.weakening.test_trial import PROMPTS, TEXTS
from tests.scores import Brightness, Redness

GIVEN = {"texts": TEXTS, "score": Brightness(), "num_inference_steps": 2, "progress": False}


def test_an_effect_is_what_the_score_loses_when_one_head_is_weakened(tiny_pipe):
    measured = head_effects(tiny_pipe, PROMPTS, seeds=[0, 3], factor=0.5, **GIVEN).data
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
    np.testing.assert_array_equal(first.data["label"], hl.head_table(tiny_pipe.unet)["label"])
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    again = head_effects(tiny_pipe, PROMPTS, store=tmp_path, **GIVEN)
    xr.testing.assert_identical(again.data, first.data)
    assert not calls


def test_attention_is_measured_beside_the_effects_of_every_evaluator(tiny_pipe, tmp_path):
    given = {**GIVEN, "score": {"one": Brightness(), "two": Redness()}}
    run = effects_beside_attention(tiny_pipe, PROMPTS, store=tmp_path, **given)
    assert run.data["effect"].dims == ("evaluator", "head_position", "prompt", "seed")
    assert run.data["attention"].dims == ("head_position",)
    alone = head_effects(tiny_pipe, PROMPTS, store=tmp_path, **given)
    assert run.folder == alone.folder
    np.testing.assert_array_equal(run.data["effect"], alone.data["effect"])


def test_attention_to_a_word_is_that_of_its_tokens_in_published_order(tiny_pipe):
    captured = hl.capture(tiny_pipe, PROMPTS, num_inference_steps=2, progress=False)
    table = hl.head_table(tiny_pipe.unet)
    columns = [word_columns(tiny_pipe, *pair) for pair in zip(PROMPTS, TEXTS, strict=True)]
    found = word_attention(captured, columns, table)
    for head in range(table.sizes["head_position"]):
        layer, number = table["layer"].values[head], table["head"].values[head]
        both = [
            captured["attention"].values[prompt, :, layer, number][:, columns[prompt]].sum(-1)
            for prompt in range(2)
        ]
        assert float(found[head]) == pytest.approx(np.mean(both), rel=1e-5)


def test_a_word_that_is_not_in_the_prompt_is_refused_before_anything_is_generated(tiny_pipe):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(TokenError, match="red"):
        head_effects(tiny_pipe, PROMPTS, tokens="red", **GIVEN)
    assert not calls
