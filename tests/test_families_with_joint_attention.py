"""Families with joint attention, one by one, on tiny pipelines of the real classes."""

from copy import deepcopy

import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.attention import Rescale, TokenMeans, attach
from hrvlab.attention.word_keys import WordKeys
from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.families import family_of
from hrvlab.models.tokens import prompt_words, token_table, word_columns
from tests.joint_reference import Reference, lengths_given
from tests.tiny_families import FAMILIES

PROMPTS = ["a red car", "a photo of a strange tree"]
STEPS = 2


@pytest.fixture(scope="module", params=FAMILIES)
def kind(request):
    """Return what is known of a family, and a pipeline of it, which no test may change."""
    found = FAMILIES[request.param]
    return found, found.build()


def run(pipe, prompts, call):
    generator = torch.Generator().manual_seed(0)
    own = deepcopy(call)  # one pipeline changes the list of negative prompts
    return pipe(prompt=list(prompts), generator=generator, output_type="latent", **own).images


def positions(joint, call):
    """Return the positions of an image."""
    return call["height"] * call["width"] // joint.position**2


def variants(joint):
    return {
        "guided": joint.call | joint.guided | {"num_inference_steps": STEPS},
        "copies, not square": joint.call
        | {"num_inference_steps": 1, "num_images_per_prompt": 2, "width": 2 * joint.call["width"]},
    }


@pytest.mark.parametrize("variant", ["guided", "copies, not square"])
def test_observing_changes_nothing_and_sees_the_explicit_maps(kind, variant):
    joint, pipe = kind
    call = variants(joint)[variant]
    reference = Reference(joint, pipe, positions(joint, call), guided=variant == "guided")
    own, tap = family_of(pipe).encoding(pipe, call), TokenMeans()
    with attach(pipe, tap, prompts=PROMPTS, encoding=own) as session:
        observed = run(pipe, PROMPTS, call)
    assert torch.equal(run(pipe, PROMPTS, call), observed)
    assert session.scheduler_timesteps == pipe.scheduler.timesteps.tolist()
    found = tap.result()
    columns = found.shape[-1]
    assert [len(tokens) for tokens in session.tokens] == [columns] * len(found)
    with (
        reference.explicit(pipe) as calls,
        lengths_given(pipe) as given,
    ):
        run(pipe, PROMPTS, call)
    steps = [reference.step(number) for number in range(len(calls))]
    assert [step for step in steps if step is not None] == [*range(call["num_inference_steps"])]
    for step, maps_of_layers, lengths in zip(steps, calls, given, strict=True):
        assert [maps.shape[1] for maps in maps_of_layers] == reference.heads
        for layer, maps in enumerate(maps_of_layers if step is not None else ()):
            rows = zip(reference.rows(maps), found[:, step, layer], strict=True)
            for (row, means), length in zip(rows, lengths, strict=False):
                expected = reference.parts(row, columns, length).mean(dim=1)
                np.testing.assert_allclose(means[:, : expected.shape[1]], expected, atol=1e-5)
                assert not means[:, expected.shape[1] :].any()


def test_rescaling_equals_scaling_what_the_image_reads(kind):
    joint, pipe = kind
    call = variants(joint)["guided"]
    reference = Reference(joint, pipe, positions(joint, call), guided=True)
    own = family_of(pipe).encoding(pipe, call)
    factors = np.linspace(-2, 3, sum(reference.heads))
    with attach(pipe, Rescale(factors), TokenMeans(), prompts=PROMPTS, encoding=own) as session:
        edited = run(pipe, PROMPTS, call)
    plain = run(pipe, PROMPTS, call)
    with attach(pipe, Rescale(np.ones(len(factors))), prompts=PROMPTS, encoding=own):
        assert torch.equal(run(pipe, PROMPTS, call), plain)
    starts = np.cumsum([0, *reference.heads])

    def change(number, layer, maps):
        if reference.step(number) is not None:
            of_heads = torch.from_numpy(factors[starts[layer] : starts[layer + 1]]).float()
            rows = zip(reference.rows(maps), session.tokens, strict=True)
            for (row, tokens), length in zip(rows, given[number], strict=False):
                part = reference.parts(row, len(tokens), length)
                words = [column for column, token in enumerate(tokens) if token.kind == "content"]
                part[..., words] *= of_heads[:, None, None]
        return maps

    with lengths_given(pipe) as given, reference.explicit(pipe, change):
        expected = run(pipe, PROMPTS, call)
    assert not torch.allclose(edited, plain, atol=1e-4)
    torch.testing.assert_close(edited, expected, rtol=1e-5, atol=1e-5)


def test_columns_are_those_that_the_text_encoder_read(kind):
    joint, pipe = kind
    call = joint.call | {"num_inference_steps": 1}
    read = []
    encoder = (
        family_of(pipe)
        .text_encoders(pipe)[-1]
        .register_forward_pre_hook(
            lambda _, args, kwargs: read.append(args[0] if args else kwargs["input_ids"]),
            with_kwargs=True,
        )
    )
    prompt = "a  red car, a strange tree"
    own = family_of(pipe).encoding(pipe, call)
    with attach(pipe, TokenMeans(), prompts=prompt, encoding=own) as session:
        run(pipe, [prompt], call)
    encoder.remove()
    (table,), ids = session.tokens, read[0][0].tolist()
    assert len(table) == len(token_table(pipe, prompt, **own))
    last = table[-1].encoder  # of those that have columns of their own
    numbers = [
        token.number
        for token in table
        if token.kind not in ("padding", "register") and token.encoder == last
    ]
    begin = next(at for at in range(len(ids)) if ids[at : at + len(numbers)] == numbers)
    assert len(numbers) > 6
    assert begin == 0 or joint.call.get("text_encoder_out_layers") or table[0].kind != "start"
    words = [token.word for token in table if token.kind == "content" and token.encoder == last]
    assert [*dict.fromkeys(words)] == ["a", "red", "car,", "strange", "tree"]
    assert all(word.whole for word in prompt_words(pipe, prompt, **own))
    red = word_columns(pipe, prompt, "red", **own)
    spelled = "".join(table[column].text for column in red if table[column].encoder == last)
    assert spelled.strip("Ġ▁ ") == "red"


def test_a_capture_is_the_same_whatever_the_batches(kind):
    joint, pipe = kind
    call = joint.call | {"num_inference_steps": 1, "progress": False}
    apart, together = (
        hl.capture(pipe, PROMPTS, maps="a", batch_size=size, **call) for size in (1, 2)
    )
    for tree, size in ((apart, 1), (together, 2)):
        plain = hl.generate(pipe, PROMPTS, batch_size=size, **call)
        np.testing.assert_array_equal(tree["image"], plain)
        mass = tree["text_mass"] if joint.text != "alone" else 1
        np.testing.assert_allclose(tree["attention"].sum("token"), mass, atol=1e-5)
        (node,) = tree.children.values()
        for prompt in range(2):
            a = (tree["word"].values[prompt] == "a") & (
                tree["token_kind"].values[prompt] == "content"
            )
            found = node["maps"].isel(prompt=prompt, map_word=0).mean(("map_y", "map_x"))
            expected = tree["attention"].isel(prompt=prompt, token=np.flatnonzero(a)).sum("token")
            np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(apart["word"], together["word"])
    if family_of(pipe).padding == "right":  # padding on the left changes what is read
        np.testing.assert_allclose(apart["attention"], together["attention"], atol=1e-4)


STATIC = [name for name, joint in FAMILIES.items() if joint.text == "alone"]


@pytest.mark.parametrize("name", STATIC)
def test_the_key_of_a_word_alone_is_the_key_in_a_run_of_that_word(name):
    joint = FAMILIES[name]
    pipe, call = joint.build(), joint.call | {"num_inference_steps": 1, "guidance_scale": 2.0}
    family, own = family_of(pipe), family_of(pipe).encoding(pipe, call)
    layers = family.layers(pipe.transformer)
    words = family.encode_words(pipe, ["red"], **own)
    states = torch.cat([words.start[None], words.content[0]])
    modules = [pipe.transformer.get_submodule(layer.module) for layer in layers]
    keys, seen = WordKeys(modules, layers, states, words.through), []

    class Keep(TokenMeans):
        def observe(self, call, layer, query, key, scale):
            seen.append(key * scale)
            super().observe(call, layer, query, key, scale)

    with attach(pipe, Keep(), prompts="red", encoding=own):
        run(pipe, ["red"], call)
    columns = {}
    for text, kinds in (("", ("start", "end")), ("red", ("content",))):
        table = token_table(pipe, text, **own)
        columns[text] = [
            n
            for n, one in enumerate(table)
            if one.encoder == table[-1].encoder and one.kind in kinds
        ]
    for layer, found in zip(layers, seen, strict=True):
        keys.project(layer.index, torch.device("cpu"))
        rows = torch.arange(len(states))[None, None]
        mine = keys.read(slice(layer.index, layer.index + 1), rows)
        red, empty = found if joint.branches == "prompt first" else found.flip(0)
        expected = torch.cat([empty[columns[""][:1]], red[columns["red"]]])
        torch.testing.assert_close(mine[0, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STATIC)
def test_every_head_votes_once_per_call_and_prompt(name, concepts):
    pipe, call = FAMILIES[name].build(), FAMILIES[name].call | {"num_inference_steps": 2}
    votes = hl.collect_votes(pipe, concepts, PROMPTS, batch_size=1, progress=False, **call)
    assert votes.sizes["head_position"] == 8
    assert (votes["votes_by_timestep"].sum("concept") == len(PROMPTS)).all()


def test_methods_that_are_not_defined_are_refused_with_the_reason(concepts):
    pipe = FAMILIES["Qwen-Image"].build()
    with pytest.raises(ModelError, match="does not support votes: the keys of words change"):
        hl.collect_votes(pipe, concepts, PROMPTS, progress=False)
    with pytest.raises(ModelError, match="does not support attention injection"):
        hl.edit(pipe, "a red car", "a blue car")


def test_longcat_rewrites_no_prompts():
    pipe = FAMILIES["LongCat-Image"].build()
    with pytest.raises(ParameterError, match="give enable_prompt_rewrite=False"):
        hl.generate(pipe, "a red car")
