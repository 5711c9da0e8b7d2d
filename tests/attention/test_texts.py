from contextlib import ExitStack

import numpy as np
import pytest
import torch
from accelerate import cpu_offload_with_hook

import hrvlab as hl
from hrvlab.attention import Rescale, TokenMeans, attach
from hrvlab.attention.texts import TextRecord
from hrvlab.errors import ParameterError, TokenError
from tests.attention.loops import encode, noise
from tests.pipelines import tiny_sd, tiny_sdxl

RED = "a red car"
STEPS = {"num_inference_steps": 2, "progress": False}


def inverted(pipe, token="<my-cat>", vectors=3):
    """Return a pipeline with a token learned by textual inversion."""
    torch.manual_seed(5)
    pipe.load_textual_inversion({token: torch.randn(vectors, 16)})
    return pipe


def plainly(pipe, text):
    """Return the pipeline's reading of a learned token, as a text without any."""
    return pipe.maybe_convert_prompt(text, pipe.tokenizer)


@pytest.mark.parametrize("as_tuple", [False, True])
def test_the_record_has_ids_and_states_while_it_lasts(as_tuple):
    pipe = tiny_sd()
    record = TextRecord([pipe.text_encoder])
    length = {"padding": "max_length", "max_length": 20, "return_tensors": "pt"}
    ids = pipe.tokenizer([RED, "a cat"], **length).input_ids
    with ExitStack() as hooks, torch.no_grad():
        record.install(hooks)
        made = pipe.text_encoder(ids, return_dict=not as_tuple)
        with record.paused():
            pipe.text_encoder(ids)
        ((reading,),) = record.texts()
        assert torch.equal(reading.ids, ids)
        assert any(torch.equal(states, made[0]) for states in reading.states)
    assert record.texts() == []
    assert not pipe.text_encoder._forward_hooks


def test_a_loop_may_take_the_encoders_output_as_a_tuple():
    pipe = tiny_sd()
    length = {"padding": "max_length", "max_length": 20, "return_tensors": "pt"}
    with attach(pipe, prompts=RED) as session, torch.no_grad():
        ids = pipe.tokenizer(RED, **length).input_ids
        states = pipe.text_encoder(ids, return_dict=False)[0]
        pipe.unet(noise(0), 500, encoder_hidden_states=states)
    assert session.tokens[0][2].word == "red"


def compiled(pipe):
    pipe.text_encoder = torch.compile(pipe.text_encoder, backend="eager")


def offloaded(pipe):
    cpu_offload_with_hook(pipe.text_encoder, torch.device("cpu"))


@pytest.mark.parametrize("prepare", [compiled, offloaded])
def test_a_prepared_text_encoder_is_read_as_the_plain_one(prepare):
    pipe = tiny_sd()
    edit = Rescale(np.full(8, -2.0), "red")
    expected = hl.generate(pipe, RED, edit=edit, **STEPS)
    prepare(pipe)
    assert np.abs(hl.generate(pipe, RED, edit=edit, **STEPS).astype(int) - expected).max() <= 1
    torch._dynamo.reset()


def test_a_learned_token_keeps_its_columns_in_captures_edits_and_negative_prompts():
    pipe = inverted(tiny_sd())
    prompt = "a <my-cat> on red"
    tree = hl.capture(pipe, prompt, maps=["red", "<my-cat>"], negative_prompt="<my-cat>", **STEPS)
    ds = tree.to_dataset()
    words = ds["word"].values[0].tolist()
    assert words[1:7] == ["a", *["<my-cat>"] * 3, "on", "red"]
    layers = tree["grid_8"]["map_layer"].values
    maps = tree["grid_8"]["maps"].mean(("map_y", "map_x"))
    means = ds["attention"].isel(layer=layers)
    for word, columns in (("red", [6]), ("<my-cat>", [2, 3, 4])):
        found = maps.sel(map_word=word).values
        np.testing.assert_allclose(found, means.isel(token=columns).sum("token"), atol=1e-5)
    plain = hl.generate(pipe, prompt, **STEPS)
    edit = Rescale(np.full(8, -2.0), "<my-cat>")
    edited = hl.generate(pipe, prompt, edit=edit, **STEPS)
    assert (edited != plain).any()
    # Written out, each vector is a token of its own.
    written = plainly(pipe, prompt)
    pipe.maybe_convert_prompt = lambda prompt, tokenizer: prompt
    same = Rescale(np.full(8, -2.0), written.split()[1:4])
    np.testing.assert_array_equal(hl.generate(pipe, written, edit=same, **STEPS), edited)


def test_a_learned_token_is_aligned_with_the_word_that_it_replaces():
    pipe = inverted(tiny_sd())
    source, edited = hl.edit(pipe, "a cat on red", "a <my-cat> on red", **STEPS)
    assert source.shape == edited.shape == (16, 16, 3)
    assert (source != edited).any()


def test_learned_tokens_are_words_of_concepts():
    pipe = inverted(tiny_sd())
    concepts = hl.ConceptSet.from_dict({"Mine": ["<my-cat>"], "Color": ["red", "blue"]})
    votes = hl.collect_votes(pipe, concepts, ["a <my-cat> on red"], **STEPS)
    totals = votes["votes_by_timestep"].sum("concept")
    assert (totals == 1).all()


def test_a_learned_token_that_a_loop_does_not_write_out_is_refused():
    pipe = inverted(tiny_sd())
    with (
        pytest.raises(ParameterError, match="the run has other prompts"),
        attach(pipe, TokenMeans(), prompts="a <my-cat>"),
        torch.no_grad(),
    ):
        pipe.unet(noise(0), 500, encoder_hidden_states=encode(pipe, "a <my-cat>"))


@pytest.mark.parametrize("build", [tiny_sd, tiny_sdxl])
@pytest.mark.parametrize("prompt", ["!!!", "a red car, !", "red " * 30])
def test_punctuation_and_words_beyond_the_limit(build, prompt):
    pipe = build()
    ds = hl.capture(pipe, prompt, **STEPS)
    np.testing.assert_allclose(ds["attention"].sum("token", skipna=True).values.max(), 1, atol=1e-5)
    assert (ds["token_kind"].values[0] == "content").any()


def test_a_word_beyond_the_limit_is_refused_before_anything_runs():
    pipe = tiny_sd()
    calls = []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    prompt = "red " * 20 + "cat"
    with pytest.raises(TokenError, match="beyond the 20 tokens"):
        hl.capture(pipe, prompt, maps=["cat"], **STEPS)
    with pytest.raises(TokenError, match="beyond the 20 tokens"):
        hl.generate(pipe, prompt, edit=Rescale(np.ones(8), "cat"), **STEPS)
    assert not calls


@pytest.mark.parametrize("skip", [None, 1])
def test_clip_skip_reaches_prompts_and_concept_words_alike(concepts, skip):
    pipe = tiny_sdxl()
    votes = hl.collect_votes(pipe, concepts, [RED], clip_skip=skip, **STEPS)
    # The same states of words, given by hand.
    means = hl.capture(pipe, RED, clip_skip=skip, **STEPS)
    states, _, pooled, _ = pipe.encode_prompt(
        RED, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False,
        clip_skip=skip,
    )  # fmt: skip
    given = {"prompt_embeds": states, "pooled_prompt_embeds": pooled}
    embedded = hl.capture(pipe, RED, **given, **STEPS)
    np.testing.assert_allclose(embedded["attention"], means["attention"], atol=1e-5)
    assert (votes["votes_by_timestep"].sum("concept") == 1).all()
