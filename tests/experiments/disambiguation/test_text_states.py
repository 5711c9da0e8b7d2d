import numpy as np
import pytest
import torch

from hrvlab.errors import ConceptError, ModelError, TokenError
from hrvlab.experiments.disambiguation.text_states import (
    Swapped,
    read_states,
    swapped_conditions,
)
from hrvlab.experiments.disambiguation.trial import disambiguate
from hrvlab.generation import Batch, run_batch
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.models.families import family_of
from tests.experiments.disambiguation.test_trial import CALL, CASE, OTHER
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd, tiny_sdxl

CONCEPTS = ConceptSet.from_dict({"Color": ["red", "blue"], "Plants": ["rose", "cat", "dog"]})
STEPS = {"num_inference_steps": 2, "output_type": "np"}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


def test_text_states_generate_what_their_prompt_generates(pipe):
    batch = Batch(("a red vase",), (0,), (3,))
    by_text = run_batch(pipe, batch, **STEPS).images
    states = family_of(pipe).encode(pipe, ["a red vase"])
    by_states = run_batch(pipe, batch, prompt_embeds=states, **STEPS).images
    np.testing.assert_array_equal(by_states, by_text)


def test_all_states_swapped_are_the_plainer_prompt_s_but_for_words_before_the_sense(pipe):
    # "a rose vase" and "a red vase" differ in one word; the one after it keeps its own state.
    states = Swapped(CASE, 0, ("word", "end")).states(pipe)
    own, plainer = family_of(pipe).encode(pipe, [CASE.prompt, CASE.reworded])
    same = (states == plainer).all(1)
    assert same.tolist() == [True, True, True, False] + [True] * 16
    torch.testing.assert_close(states[3], own[3], rtol=0, atol=0)


def test_only_the_given_parts_are_swapped(pipe):
    own = family_of(pipe).encode(pipe, [CASE.prompt])[0]
    changed = {
        parts: (Swapped(CASE, 0, parts).states(pipe) != own).any(1).tolist()
        for parts in (("word",), ("end",))
    }
    assert changed["word",] == [False, False, True] + [False] * 17
    assert changed["end",] == [False] * 4 + [True] * 16


def test_swapped_conditions_start_from_the_noise_of_the_others(pipe, tmp_path):
    same = CASE.model_copy(update={"prompt": CASE.reworded, "word": "red"})
    run = disambiguate(
        pipe, vectors(pipe), [same], others=swapped_conditions([same]), store=tmp_path, **CALL
    )
    margins = run.data["margin"].isel(prompt=0)
    for condition in ("word swapped", "end swapped", "word and end swapped", "reworded"):
        np.testing.assert_allclose(
            margins.sel(condition=condition), margins.sel(condition="plain"), atol=1e-4
        )


def test_states_that_cannot_be_swapped_are_refused(pipe):
    hidden = CASE.model_copy(update={"reworded": "a vase"})
    with pytest.raises(TokenError, match="'red' is not a word"):
        Swapped(hidden, 0, ("word",)).check(pipe)
    with pytest.raises(ModelError, match="one text encoder only"):
        Swapped(CASE, 0, ("word",)).check(tiny_sdxl())


def test_a_word_lies_nearest_to_the_concept_that_it_belongs_to(pipe):
    table = pipe.text_encoder.get_input_embeddings().weight
    before = table.detach().clone()
    kinds = (("red", "blue", "rose"), ("cat", "dog"))
    with torch.no_grad():  # two kinds of words, and the ambiguous one among the colors
        for kind in kinds:
            ids = [pipe.tokenizer(word).input_ids[1] for word in kind]
            table[ids] = table[ids[0]] + 0.1 * table[ids]
        found = read_states(pipe, CONCEPTS, [CASE, OTHER])
        table.copy_(before)
    assert found["position"].dims == ("state", "prompt")
    assert (found["accuracy"] == 1).all()
    assert (found["position"].sel(state="word") > 0.5).all()


def test_concepts_that_cannot_be_told_apart_are_refused(pipe):
    with pytest.raises(ConceptError, match="no concept 'Plants'"):
        read_states(pipe, ConceptSet.from_dict({"Color": ["red", "blue"], "A": ["cat"]}), [CASE])
    few = ConceptSet.from_dict({"Color": ["red", "blue"], "Plants": ["rose", "tree"]})
    with pytest.raises(ConceptError, match="'Plants' needs two words other than 'rose'"):
        read_states(pipe, few, [CASE])
