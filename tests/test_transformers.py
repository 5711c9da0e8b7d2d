"""All functions of the engine, on a tiny pipeline of every transformer that is supported."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import PixArtTransformer2DModel, SanaTransformer2DModel

import hrvlab as hl
from hrvlab.attention import Rescale, TokenMeans, attach
from hrvlab.attention.word_keys import WordKeys
from hrvlab.errors import ModelError, ParameterError, TokenError
from hrvlab.models.families import (
    STABLE_DIFFUSION,
    denoiser_of,
    family_of,
    known,
    register_family,
)
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.load import fingerprint
from hrvlab.models.tokens import content_columns, token_table, word_columns
from tests.attention.oracle import explicit
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd
from tests.scores import Brightness
from tests.tiny_transformers import INSTRUCTION, TRANSFORMERS, tiny_pixart, tiny_sana

PROMPTS = ["a red car", "a photo of a strange tree"]
HEADS = 6


# PixArt-Σ is PixArt-α with longer texts, and Sana what is normed less its norms.
LIKE_OTHERS = ("pixart-sigma", "sana")
KINDS = [
    pytest.param(kind, marks=pytest.mark.full) if kind in LIKE_OTHERS else kind
    for kind in TRANSFORMERS
]


@pytest.fixture(scope="module", params=KINDS)
def tiny(request):
    """Return a pipeline, which no test may change, and the keywords of its call."""
    kind = TRANSFORMERS[request.param]
    return kind.build(), {"num_inference_steps": 3} | kind.call


@pytest.fixture
def fresh(request, tiny):
    """Return a pipeline that a test may change, and the keywords of its call."""
    kind = TRANSFORMERS[request.node.callspec.params["tiny"]]
    return kind.build(), tiny[1]


def run(pipe, prompts, call):
    generator = torch.Generator().manual_seed(0)
    return pipe(list(prompts), generator=generator, output_type="latent", **call).images


def encoding_of(pipe, call):
    return family_of(pipe).encoding(pipe, call)


def conditional_half(pipe, call, maps):
    """Return the rows that the pipeline's own layout makes conditional."""
    guided = "Sprint" not in type(pipe).__name__ and call.get("guidance_scale", 4.5) > 1
    return maps[len(maps) // 2 :] if guided else maps


VARIANTS = [
    {},
    {"guidance_scale": 1.0},
    {"num_images_per_prompt": 2, "height": 32, "width": 64},
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_observing_changes_nothing_and_sees_the_explicit_maps(fresh, variant):
    pipe, call = fresh
    call = call | variant
    plain = run(pipe, PROMPTS, call)
    tap = TokenMeans()
    with attach(pipe, tap, prompts=PROMPTS, encoding=encoding_of(pipe, call)) as session:
        observed = run(pipe, PROMPTS, call)
    assert torch.equal(plain, observed)
    layers = cross_attention_layers(denoiser_of(pipe))
    processors = explicit(pipe, layers)
    run(pipe, PROMPTS, call)
    calls = len(session.scheduler_timesteps)
    for layer, processor in zip(layers, processors, strict=True):
        assert len(processor.maps) == calls
        for number, maps in enumerate(processor.maps):
            expected = conditional_half(pipe, call, maps).mean(dim=2)
            found = tap.result()[:, number, layer.index]
            np.testing.assert_allclose(found, expected.detach(), atol=1e-5)


def test_masked_columns_have_no_attention_and_rows_sum_to_one(tiny):
    pipe, call = tiny
    captured = hl.capture(pipe, PROMPTS, progress=False, **call)
    attention = captured["attention"]
    np.testing.assert_allclose(attention.sum("token"), 1, atol=1e-5)
    padding = captured["token_kind"] == "padding"
    assert padding.any("token").all()
    assert (attention.where(padding, 0) == 0).all()
    assert set(captured["block"].values) == {"cross"}
    timesteps = captured["scheduler_timestep"].values
    assert {float(one) for one in timesteps} <= {*map(float, pipe.scheduler.timesteps)}


def test_maps_of_words_are_their_columns_on_the_grid(tiny):
    pipe, call = tiny
    tree = hl.capture(pipe, PROMPTS, maps=["a"], progress=False, **call)
    (node,) = tree.children.values()
    captured = tree.to_dataset()
    columns = [word_columns(pipe, text, "a", **encoding_of(pipe, call)) for text in PROMPTS]
    for prompt, own in enumerate(columns):
        found = node["maps"].isel(prompt=prompt, map_word=0).mean(("map_y", "map_x"))
        expected = captured["attention"].isel(prompt=prompt, token=own).sum("token")
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rescaling_equals_scaling_the_explicit_maps(fresh, variant):
    pipe, call = fresh
    pipe.to(torch.float64)
    call = call | variant
    copies = call.get("num_images_per_prompt", 1)
    factors = np.linspace(-2, 3, HEADS)
    own = encoding_of(pipe, call)
    with attach(pipe, Rescale(factors), prompts=PROMPTS, encoding=own):
        edited = run(pipe, PROMPTS, call)
    assert not torch.allclose(edited, run(pipe, PROMPTS, call), atol=1e-2)
    with attach(pipe, Rescale(np.ones(HEADS)), prompts=PROMPTS, encoding=own):
        unchanged = run(pipe, PROMPTS, call)
    assert torch.equal(unchanged, run(pipe, PROMPTS, call))
    columns = [content_columns(pipe, text, **own) for text in PROMPTS for _ in range(copies)]

    def change(layer):
        def multiply(maps):
            maps = maps.clone()
            rows = conditional_half(pipe, call, maps)
            for row, chosen in zip(rows, columns, strict=True):
                by_head = torch.from_numpy(factors[layer.head_positions])
                row[:, :, chosen] *= by_head[:, None, None]
            return maps

        return multiply

    layers = cross_attention_layers(denoiser_of(pipe))
    explicit(pipe, layers, [change(layer) for layer in layers])
    torch.testing.assert_close(edited, run(pipe, PROMPTS, call), rtol=1e-5, atol=1e-5)


def test_the_key_of_a_word_alone_is_the_key_in_a_run_of_that_word(tiny):
    pipe, call = tiny
    family, own = family_of(pipe), encoding_of(pipe, call)
    denoiser = family.denoiser(pipe)
    layers = family.layers(denoiser)
    seen = {}
    handles = [
        denoiser.get_submodule(f"{layer.module}.{layer.key}").register_forward_hook(
            lambda _, __, output, index=layer.index: seen.setdefault(index, output)
        )
        for layer in layers
    ]
    run(pipe, ["Red", ""], call)
    for handle in handles:
        handle.remove()
    words = family.encode_words(pipe, ["Red"], **own)
    modules = [denoiser.get_submodule(layer.module) for layer in layers]
    states = torch.cat([words.start[None], words.content[0]])
    keys = WordKeys(modules, layers, states, words.through)
    sink = [token.kind for token in token_table(pipe, "", **own)].index(family.sink)
    columns = [token.kind == "content" for token in token_table(pipe, "Red", **own)]
    for layer, module in zip(layers, modules, strict=True):
        keys.project(layer.index, torch.device("cpu"))
        found = keys.read(
            slice(layer.index, layer.index + 1), torch.arange(len(states))[None, None]
        )
        red, empty = conditional_half(pipe, call, seen[layer.index])
        expected = torch.cat([empty[sink][None], red[columns]]) * module.scale
        torch.testing.assert_close(found[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_every_head_votes_once_per_call_and_prompt(tiny, concepts, tmp_path):
    pipe, call = tiny
    votes = hl.collect_votes(
        pipe, concepts, PROMPTS, store=tmp_path, batch_size=1, progress=False, **call
    )
    assert votes.sizes["head_position"] == HEADS
    assert (votes["votes_by_timestep"].sum("concept") == len(PROMPTS)).all()
    assert votes["label"].values[4] == "cross, layer: 1, head: 1"


def test_vectors_steer_the_image(tiny, concepts):
    pipe, call = tiny
    call = call | {"progress": False}
    hrv = hl.collect_votes(pipe, concepts, PROMPTS, **call).hrv.relevance()
    plain = hl.generate(pipe, "a red car", **call)
    for edit in (
        hl.strengthen(hrv, "Color", word="red"),
        hl.adjust(hrv, toward="Color", away="Style", word="red", clamp=2.0),
    ):
        assert (hl.generate(pipe, "a red car", edit=edit, **call) != plain).any()


def test_an_exception_leaves_no_trace(tiny):
    pipe, _ = tiny
    denoiser = denoiser_of(pipe)
    with pytest.raises(KeyError), attach(pipe, TokenMeans(), prompts=PROMPTS):
        raise KeyError
    for module in (*denoiser.modules(), *pipe.text_encoder.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_saved_pipeline_is_loaded_as_the_same_model(tiny, tmp_path):
    pipe, call = tiny
    pipe.save_pretrained(tmp_path)
    loaded = hl.load(tmp_path, device="cpu")
    assert fingerprint(loaded) == fingerprint(pipe)
    assert torch.equal(run(loaded, PROMPTS, call), run(pipe, PROMPTS, call))


def test_an_offloaded_model_is_the_same_and_votes(tiny, fresh, concepts):
    pipe, call = fresh
    cpu_offload(pipe.transformer, torch.device("cpu"))
    assert fingerprint(pipe) == fingerprint(tiny[0])
    call = call | {"progress": False}
    votes = [hl.collect_votes(one, concepts, PROMPTS, **call) for one in (pipe, tiny[0])]
    assert votes[0].drop_attrs().identical(votes[1].drop_attrs())


def test_weakening_has_equal_ends_in_every_order():
    pipe, call = tiny_pixart(), TRANSFORMERS["pixart-alpha"].call
    call = call | {"num_inference_steps": 2, "progress": False}
    given = {"texts": ["red"], "score": Brightness(), "cuts": [HEADS // 2], "draws": 1}
    curves = hl.weaken(pipe, vectors(pipe), "Color", PROMPTS[:1], **given, **call).data
    ends = curves["score"].isel(weakened=[0, -1]).squeeze()
    np.testing.assert_allclose(ends, ends.isel(order=0).broadcast_like(ends), atol=1e-3)


def test_a_loop_of_ones_own_is_read_by_its_text_states():
    pipe, call = tiny_sana(), TRANSFORMERS["sana"].call
    own = encoding_of(pipe, call)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    tap = TokenMeans()
    with torch.no_grad(), attach(pipe, tap, prompts=PROMPTS[0], encoding=own) as session:
        states, mask, *_ = pipe.encode_prompt(PROMPTS[0], negative_prompt="a tree", **own)
        empty = torch.zeros_like(states)
        for timestep in (900.0, 400.0):
            for text in (empty, states):
                pipe.transformer(
                    latents,
                    encoder_hidden_states=text,
                    encoder_attention_mask=mask,
                    timestep=torch.tensor([timestep]),
                )
    assert session.scheduler_timesteps == [900.0, 400.0]
    assert [token.word for token in session.tokens[0]][1] == "a"
    assert tap.result().shape[:3] == (1, 2, 2)


def test_methods_that_are_not_defined_are_refused_with_the_reason(tiny):
    pipe, _ = tiny
    with pytest.raises(ModelError, match="does not support attention injection: a source's keys"):
        hl.edit(pipe, "a red car", "a blue car")
    with pytest.raises(ModelError, match="does not support attention excitation: .* UNets"):
        hl.excite(pipe, "a red car", "red")


def test_texts_of_another_length_than_was_said_are_refused(tiny):
    pipe, call = tiny
    call = call | {"max_sequence_length": 12}
    with (
        pytest.raises(ParameterError, match="encoding"),
        attach(pipe, TokenMeans(), prompts=PROMPTS),
    ):
        run(pipe, PROMPTS, call)


def test_a_negative_prompt_does_not_move_the_rows():
    pipe, call = tiny_pixart(), TRANSFORMERS["pixart-alpha"].call | {"num_inference_steps": 2}
    plain = hl.capture(pipe, PROMPTS, progress=False, **call)
    other = hl.capture(pipe, PROMPTS, progress=False, negative_prompt="a tree", **call)
    first = {"timestep": 0}
    np.testing.assert_allclose(plain["attention"][first], other["attention"][first], atol=1e-5)
    equal = hl.capture(pipe, PROMPTS, progress=False, negative_prompt=PROMPTS, **call)
    np.testing.assert_allclose(plain["attention"][first], equal["attention"][first], atol=1e-5)


def test_given_text_states_have_numbered_columns():
    pipe, call = tiny_pixart(), TRANSFORMERS["pixart-alpha"].call | {"num_inference_steps": 2}
    states, mask, *_ = pipe.encode_prompt("a red car", do_classifier_free_guidance=False)
    given = {"prompt_embeds": states, "prompt_attention_mask": mask, "guidance_scale": 1.0}
    captured = hl.capture(pipe, "anything", progress=False, **call, **given)
    assert set(captured["token_kind"].values.ravel()) == {"unnamed"}
    plain = hl.capture(pipe, "a red car", progress=False, guidance_scale=1.0, **call)
    np.testing.assert_allclose(plain["attention"], captured["attention"], atol=1e-5)


def test_fused_projections_are_refused():
    pipe = tiny_pixart()
    pipe.transformer.fuse_qkv_projections()
    with (
        pytest.raises(ModelError, match=r"call pipe.transformer.unfuse_qkv_projections\(\) first"),
        attach(pipe, TokenMeans(), prompts="a red car"),
    ):
        pass


# With T5, words are cleaned: lower case, and no blanks around them.
WORDS = {
    "  A Red CAR ": {"red": 1, "Car": 1},
    "a  red,  red tree": {"red": 2, "red (2)": 1, "tree": 1},
    "a rose-red vase.": {"rose": 1, "rose-red": 1, "vase": 1},
}


@pytest.mark.parametrize("build", [tiny_pixart, tiny_sana])
@pytest.mark.parametrize("prompt", WORDS)
def test_a_word_has_the_columns_that_spell_it(build, prompt):
    pipe = build()
    how = {"max_sequence_length": 30}
    table = token_table(pipe, prompt, **how)
    assert len(table) == 30
    for word, times in WORDS[prompt].items():
        columns = word_columns(pipe, prompt, word, **how)
        spelled = "".join(table[column].text for column in columns).replace("▁", "")
        assert spelled.replace("<unk>", "-") == word.removesuffix(" (2)").lower() * times
    for token in table:
        assert (token.word != "") == (token.kind == "content")


def test_every_column_of_t5_has_its_kind():
    table = token_table(tiny_pixart(), "a red car", max_sequence_length=12)
    kinds = [token.kind for token in table]
    content = kinds.count("content")
    assert kinds == ["content"] * content + ["end"] + ["padding"] * (11 - content)


def test_gemma_keeps_the_start_token_and_the_end_of_its_instruction():
    pipe = tiny_sana()
    own = {"max_sequence_length": 12, "complex_human_instruction": INSTRUCTION}
    table = token_table(pipe, "a red car", **own)
    kinds = [token.kind for token in table]
    assert kinds[0] == "start"
    assert kinds.count("content") == sum(
        token.kind == "content"
        for token in token_table(
            pipe, "a red car", max_sequence_length=12, complex_human_instruction=None
        )
    )
    longer = ["a cat", "User Prompt: a"]  # whose last word stays in the first column
    table = token_table(pipe, " red car", **own | {"complex_human_instruction": longer})
    assert table[1].kind == "template"


def test_a_truncated_word_is_refused():
    with pytest.raises(TokenError, match="beyond the 4 tokens"):
        word_columns(tiny_pixart(), "a red blue green tree", "tree", max_sequence_length=4)


def test_a_family_without_end_tokens_has_no_end_column():
    with pytest.raises(TokenError, match="Sana marks no end"):
        word_columns(tiny_sana(), "a red car", "⟨end⟩")


@pytest.mark.parametrize(
    ("cls", "layers", "heads", "grid"),
    [(PixArtTransformer2DModel, 28, 16, 64), (SanaTransformer2DModel, 20, 20, 32)],
)
def test_head_tables_of_the_published_sizes(cls, layers, heads, grid):
    with torch.device("meta"):
        table = hl.head_table(cls())
    assert table.sizes["head_position"] == layers * heads
    assert table["label"].values[-1] == f"cross, layer: {layers - 1}, head: {heads - 1}"
    assert set(table["grid"].values) == {grid}


def test_a_pipeline_of_ones_own_is_supported_once_its_family_is_registered(monkeypatch):
    monkeypatch.setattr(known, "_registered", [])
    pipe = tiny_sd()
    pipe.__class__ = type("Other", (type(pipe).__mro__[1],), dict(vars(type(pipe))))
    with pytest.raises(ModelError, match="Other is not supported"):
        family_of(pipe)
    mine = replace(STABLE_DIFFUSION, name="Mine", pipelines=("Other",))
    register_family(mine)
    assert family_of(pipe) == mine
    assert known.find_family(["StableDiffusionPipeline"]) == STABLE_DIFFUSION
    plain = hl.capture(tiny_sd(), "a red car", num_inference_steps=2, progress=False)
    found = hl.capture(pipe, "a red car", num_inference_steps=2, progress=False)
    np.testing.assert_array_equal(plain["attention"], found["attention"])
    with pytest.raises(ParameterError, match="names no pipeline class"):
        register_family(replace(mine, pipelines=()))
