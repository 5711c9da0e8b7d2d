import numpy as np
import pytest
import torch

from hrvlab.attention import ConceptVotes, VotingRule, attach, drawn_words, voting
from hrvlab.relevance.votes import draw_words
from tests.pipelines import ARCHITECTURES, TINY, tiny_lora, tiny_sd

PROMPTS = ["a red car", "a photo of a blue cat on a tree"]
MASS = VotingRule(mass=True)


class Recorded(ConceptVotes):
    """Votes that also keep what they are given."""

    def begin(self, layers, modules):
        super().begin(layers, modules)
        self.layers, self.modules, self.observed = layers, modules, []

    def observe(self, call, layer, query, key, scale):
        super().observe(call, layer, query, key, scale)
        self.observed.append((call, layer, query.clone(), key, scale))


def tap_of(pipe, concepts, rule=MASS, kind=ConceptVotes):
    counts = [len(words) for words in concepts.words]

    def draw(call, layers, samples):
        return np.stack([draw_words(0, p, call, layers, counts) for p in range(samples)], axis=1)

    return kind(concepts.encode(pipe), counts, draw, rule)


def observed_by(tap, pipe, **call):
    call = {"num_inference_steps": 2, "output_type": "latent"} | call
    with attach(pipe, tap):
        pipe(PROMPTS, generator=torch.Generator().manual_seed(0), **call)
    return tap.result()


def votes_of(pipe, concepts, rule=MASS, **call):
    return observed_by(tap_of(pipe, concepts, rule), pipe, **call)


def assert_same(one, other):
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def alone(monkeypatch):
    """Let no layer and no call wait for another."""
    monkeypatch.setattr(voting, "WAITING", 1)
    monkeypatch.setattr(drawn_words, "TOGETHER", 1)


def a_few_layers(monkeypatch):
    """Let some layers wait, but not for the end of the call."""
    monkeypatch.setattr(voting, "WAITING", 3000)
    monkeypatch.setattr(drawn_words, "TOGETHER", 300)


def head_by_head(monkeypatch):
    monkeypatch.setattr(drawn_words, "AT_ONCE", 1)


def every_call(monkeypatch):
    monkeypatch.setattr(voting, "WAITING", 20_000)


@pytest.mark.parametrize("rule", [MASS, VotingRule(), VotingRule(start=False)])
@pytest.mark.parametrize("model", ARCHITECTURES)
def test_votes_do_not_depend_on_what_is_computed_together(model, rule, concepts, monkeypatch):
    pipe = TINY[model].build()
    together = votes_of(pipe, concepts, rule)
    for less in (every_call, a_few_layers, alone, head_by_head):
        less(monkeypatch)
        assert_same(votes_of(pipe, concepts, rule), together)


def test_a_lora_of_no_strength_leaves_the_votes_of_the_base_model(concepts):
    pipe, base = tiny_lora(), TINY["sdxl"].build()
    expected, _ = votes_of(base, concepts)
    found, _ = votes_of(pipe, concepts, cross_attention_kwargs={"scale": 0.0})
    full, _ = votes_of(pipe, concepts)
    rounding = 100  # millionths; a wrapped projection adds zeros, but rounds otherwise
    np.testing.assert_allclose(found, expected, atol=rounding)
    assert np.abs(full - expected).max() > 100 * rounding


def test_a_lora_has_the_strength_that_is_given_with_the_call(concepts):
    pipe = tiny_lora()
    given = votes_of(pipe, concepts, cross_attention_kwargs={"scale": 0.5})
    pipe.unet.set_adapters(["default"], [0.5])
    assert_same(given, votes_of(pipe, concepts))


def test_calls_that_wait_keep_the_strength_that_they_had(concepts, monkeypatch):
    pipe = tiny_lora()

    def weaken(pipe, step, timestep, tensors):
        pipe.unet.set_adapters(["default"], [1 - (step + 1) / 4])
        return tensors

    def weakening():
        pipe.unet.set_adapters(["default"], [1.0])
        return votes_of(pipe, concepts, callback_on_step_end=weaken, num_inference_steps=3)

    together = weakening()
    alone(monkeypatch)
    assert_same(weakening(), together)


def assert_as_in_float32(tap, again):
    """Check that votes are those of the same queries in float32."""
    again.begin(tap.layers, tap.modules)
    for call, layer, query, key, scale in tap.observed:
        assert query.dtype == torch.bfloat16
        again.observe(call, layer, query.float(), key, scale)
    assert_same(again.result(), tap.result())


@pytest.mark.parametrize("rule", [MASS, VotingRule()])
def test_in_mixed_precision_attention_is_computed_in_float32(concepts, rule):
    pipe = tiny_sd()
    tap = tap_of(pipe, concepts, rule, Recorded)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        observed_by(tap, pipe)
    assert_as_in_float32(tap, tap_of(pipe, concepts, rule))


@pytest.mark.parametrize("rule", [MASS, VotingRule()])
def test_attention_of_a_model_in_bfloat16_is_computed_in_float32(concepts, rule):
    pipe = tiny_sd().to(torch.bfloat16)
    tap = tap_of(pipe, concepts, rule, Recorded)
    observed_by(tap, pipe)
    assert_as_in_float32(tap, tap_of(pipe, concepts, rule))
