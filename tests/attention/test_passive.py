"""Words carried through joint attention beside the prompt, on tiny pipelines of real classes."""

import numpy as np
import pytest
import torch
from torch.overrides import _get_current_function_mode_stack

import hrvlab as hl
from hrvlab.attention import (
    PUBLISHED_RULE,
    ConceptVotes,
    PassiveVotes,
    Rescale,
    TokenMeans,
    VotingRule,
    attach,
    passive,
)
from hrvlab.attention.passive import word_scores
from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.families import denoiser_of, family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.relevance.draws import draw_words
from tests.attention.extended import calls_of, encoding_of, extended, heat_maps
from tests.models.test_memory import GROUPS_NEED_AN_ACCELERATOR
from tests.pipelines import tiny_sd
from tests.tiny_joint import JOINT, tiny_flux, tiny_sd35

PROMPTS = ["a red car", "a photo of a strange tree"]
KINDS = [pytest.param(kind, marks=pytest.mark.full) if kind == "sd3" else kind for kind in JOINT]
STEPS = 2


@pytest.fixture(scope="module", params=KINDS)
def tiny(request):
    """Return a pipeline in float64, which no test may change, and the keywords of its call."""
    kind = JOINT[request.param]
    return kind.build().to(torch.float64), {"num_inference_steps": STEPS} | kind.call


class Recorded(PassiveVotes):
    """Keeps what every call drew, and what every layer saw."""

    def begin(self, layers, modules):
        super().begin(layers, modules)
        self.drawn, self.seen = [], {}

    def draw_slots(self, call, device):
        self.drawn.append(super().draw_slots(call, device))
        return self.drawn[-1]

    def observe_words(self, call, layer, words):
        self.seen[call.index, layer.index] = words
        super().observe_words(call, layer, words)


def tap_of(pipe, call, concepts, rule=PUBLISHED_RULE, draw=None, kind=Recorded):
    counts = [len(words) for words in concepts.words]

    def drawn(index, layers, samples):
        return np.stack([draw_words(0, n, index, layers, counts) for n in range(samples)], axis=1)

    return kind(concepts.encode(pipe, **encoding_of(pipe, call)), counts, draw or drawn, rule)


def run(pipe, call, prompts=PROMPTS):
    generator = torch.Generator().manual_seed(0)
    return pipe(list(prompts), generator=generator, output_type="latent", **call).images


def carried(pipe, call, tap, *edits, prompts=PROMPTS):
    with attach(pipe, *edits, tap, prompts=prompts, encoding=encoding_of(pipe, call)):
        return run(pipe, call, prompts)


RULES = [PUBLISHED_RULE, VotingRule(mass=True, start=False), VotingRule(mass=True, space="output")]


@pytest.mark.parametrize("rule", RULES)
def test_words_are_read_as_in_a_masked_extended_run(tiny, concepts, rule):
    pipe, call = tiny
    tap = tap_of(pipe, call, concepts, rule)
    plain = run(pipe, call)
    assert torch.equal(carried(pipe, call, tap), plain)
    each, _ = calls_of(pipe)
    with extended(pipe, tap) as calls:
        torch.testing.assert_close(run(pipe, call), plain, rtol=1e-6, atol=1e-6)
    layers = cross_attention_layers(denoiser_of(pipe))
    by_sample, by_call = tap.result()
    assert by_call.shape == (STEPS, 2 * len(layers), 3)
    for number, found in enumerate(calls[::each]):
        words, mass = tap.drawn[number], []
        for layer, (query, seen, key, read) in zip(layers, found, strict=True):
            own = tap.seen[number, layer.index]
            torch.testing.assert_close(own.key, key, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(own.read, read, rtol=1e-6, atol=1e-6)
            output = rule.space == "output"
            scores = seen @ read.mT if output else query @ key.mT * query.shape[-1] ** -0.5
            maps = scores.masked_fill(~words.full[:, None, None], -torch.inf).softmax(dim=-1)
            mass.append(maps.mean(dim=2) @ words.weights.to(maps))
        mass = torch.cat(mass, dim=1)
        if rule.mass:
            np.testing.assert_allclose(by_call[number], (mass.sum(dim=0) * 1e6), atol=3)
        else:
            expected = torch.nn.functional.one_hot(mass.argmax(dim=-1), 3).sum(dim=0)
            np.testing.assert_array_equal(by_call[number], expected)
    np.testing.assert_array_equal(by_sample.sum(axis=0), by_call.sum(axis=0))


VARIANTS = [
    {"guidance_scale": 1.0},
    {"num_images_per_prompt": 2, "height": 16, "width": 32},
    {"skip_guidance_layers": [1], "skip_layer_guidance_stop": 0.9},
    {"true_cfg_scale": 2.0, "negative_prompt": "a vase"},
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_are_bit_for_bit_the_same(variant, concepts):
    kind = "sd3.5" if "skip_guidance_layers" in variant else "flux"
    pipe, call = JOINT[kind].build(), JOINT[kind].call | variant | {"num_inference_steps": 3}
    tap = tap_of(pipe, call, concepts)
    assert torch.equal(carried(pipe, call, tap), run(pipe, call))
    by_sample, by_call = tap.result()
    assert len(by_sample) == 2 * variant.get("num_images_per_prompt", 1)
    assert (by_call.sum(axis=-1) == len(by_sample)).all()
    edits = [TokenMeans(), Rescale(np.linspace(-1, 2, by_call.shape[1]), "a")]
    assert torch.equal(
        carried(pipe, call, tap, *edits),
        carried(pipe, call, edits[0], edits[1]),
    )


def test_a_words_keys_do_not_depend_on_the_other_words_nor_on_the_other_prompts(tiny, concepts):
    pipe, call = tiny
    one, other = ([[0, 0, 0]], [[0, 0, 0]]), ([[0, 0, 0]], [[2, 0, 0]])
    taps = [
        tap_of(pipe, call, concepts, draw=lambda *_, own=own: np.stack(own, axis=1))
        for own in (one, other)
    ]
    for tap in taps:
        carried(pipe, call, tap)
    (width,) = {len(tap.drawn[0].full[0]) for tap in taps}
    color = slice(1, width - (tap.drawn[0].weights[0, :, 1:] > 0).any(dim=-1).sum())
    differing = 0
    for place, before in taps[0].seen.items():
        after = taps[1].seen[place]
        assert torch.equal(before.key[0], after.key[0])
        same = torch.ones(width, dtype=torch.bool)
        same[color] = False
        assert torch.equal(before.key[1, :, same], after.key[1, :, same])
        assert torch.equal(before.read[1, :, same], after.read[1, :, same])
        differing += not torch.equal(before.key[1, :, color], after.key[1, :, color])
    assert differing == len(taps[0].seen)


def test_outputs_summed_over_heads_are_the_heat_maps_of_concept_attention():
    pipe = tiny_flux().to(torch.float64)
    call = JOINT["flux"].call | {"num_inference_steps": STEPS}
    concepts = hl.ConceptSet.from_dict({"Color": ["red"], "Animals": ["cat"], "Other": ["tree"]})
    tap = tap_of(pipe, call, concepts, VotingRule(start=False, space="output"))
    carried(pipe, call, tap, prompts=PROMPTS[:1])
    maps = [
        word_scores(words, slice(None), output=True).sum(dim=1)[0].softmax(dim=-1)
        for (_, layer), words in tap.seen.items()
        if layer < 2  # double blocks
    ]
    states = tap.drawn[0].states[0]
    assert states.shape[0] == 3  # one token a concept, and no sink
    expected = heat_maps(pipe, lambda: run(pipe, call, PROMPTS[:1]), states)
    torch.testing.assert_close(torch.stack(maps).mean(dim=0), expected, rtol=1e-6, atol=1e-9)
    assert expected.std(dim=0).max() > 1e-4  # it depends on the position


def test_few_heads_at_a_time_give_the_same_votes(tiny, concepts, monkeypatch):
    pipe, call = tiny
    taps = [tap_of(pipe, call, concepts, VotingRule(mass=True)) for _ in range(2)]
    carried(pipe, call, taps[0])
    monkeypatch.setattr(passive, "AT_ONCE", 1)
    carried(pipe, call, taps[1])
    np.testing.assert_array_equal(*(tap.result()[0] for tap in taps))


def test_votes_are_those_of_every_prompt_alone_and_resume(tiny, concepts, tmp_path):
    pipe, call = tiny
    call = call | {"progress": False}
    votes = hl.collect_votes(pipe, concepts, PROMPTS, store=tmp_path, **call)
    assert (votes["votes_by_timestep"].sum("concept") == len(PROMPTS)).all()
    alone = hl.collect_votes(pipe, concepts, PROMPTS, batch_size=1, **call)
    assert votes.drop_attrs().identical(alone.drop_attrs())
    again = hl.collect_votes(pipe, concepts, PROMPTS, store=tmp_path, **call)
    assert votes.identical(again)
    assert "space" not in str(votes.attrs["parameters"])
    outputs = hl.collect_votes(
        pipe, concepts, PROMPTS, store=tmp_path, voting_rule=VotingRule(space="output"), **call
    )
    assert (outputs["votes_by_prompt"] != votes["votes_by_prompt"]).any()
    hrv = votes.hrv.relevance()
    np.testing.assert_allclose(hrv.sum("head_position"), hrv.sizes["head_position"], rtol=1e-5)
    edited = hl.generate(pipe, "a red car", edit=hl.strengthen(hrv, "Color", "red"), **call)
    assert (edited != hl.generate(pipe, "a red car", **call)).any()


def test_words_are_encoded_in_as_many_columns_as_text_states_that_are_given(tiny):
    pipe, call = tiny
    family = family_of(pipe)
    states = family.encode(pipe, ["a red car"], **encoding_of(pipe, call))
    for given in (states, [states[0]]):
        length = family.encoding(pipe, {"prompt_embeds": given})["max_sequence_length"]
        assert length == call["max_sequence_length"]


def offloaded_groups(pipe):
    cpu = torch.device("cpu")
    pipe.transformer.enable_group_offload(cpu, cpu, "block_level", 1)


def offloaded_leaves(pipe):
    cpu = torch.device("cpu")
    pipe.transformer.enable_group_offload(cpu, cpu, "leaf_level")


def sequential(pipe):
    from accelerate import cpu_offload

    cpu_offload(pipe.transformer, torch.device("cpu"))


def wrapped_by_compile(pipe):
    for blocks in (pipe.transformer.transformer_blocks, pipe.transformer.single_transformer_blocks):
        for number, block in enumerate(blocks):
            blocks[number] = torch.compile(block)


@pytest.mark.parametrize(
    "prepare", [offloaded_groups, offloaded_leaves, sequential, wrapped_by_compile]
)
def test_a_prepared_model_votes_as_the_plain_one(prepare, concepts):
    if prepare in (offloaded_groups, offloaded_leaves) and GROUPS_NEED_AN_ACCELERATOR:
        pytest.skip("this diffusers offloads groups beside an accelerator only")
    pipes = [tiny_flux(), tiny_flux()]
    prepare(pipes[1])
    check_alike(pipes, concepts)


def check_alike(pipes, concepts):
    call, found = JOINT["flux"].call | {"num_inference_steps": STEPS}, []
    for pipe in pipes:
        tap = tap_of(pipe, call, concepts, VotingRule(mass=True))
        found.append((carried(pipe, call, tap), tap.result()[0]))
    (image, votes), (other_image, other_votes) = found
    np.testing.assert_allclose(votes, other_votes, atol=2)  # millionths
    assert torch.equal(image, other_image)


def test_weights_of_eight_bits_vote_as_the_same_weights_in_float32(concepts):
    pipe, plain = tiny_flux(), tiny_flux()
    pipe.transformer.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    weights = {name: value.float() for name, value in pipe.transformer.state_dict().items()}
    plain.transformer.load_state_dict(weights)
    check_alike([pipe, plain], concepts)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_exception_among_the_words_leaves_no_trace(error, concepts):
    pipe, call = tiny_sd35(), JOINT["sd3.5"].call | {"num_inference_steps": STEPS}
    plain, seen = run(pipe, call), []
    width = tap_of(pipe, call, concepts).slots.places("cpu").shape[0]

    def fail(_, given, __):
        seen.append(given[0].shape[1])
        if seen[-1] == width:
            raise error

    handle = pipe.transformer.transformer_blocks[1].attn.add_k_proj.register_forward_hook(fail)
    with pytest.raises(error):
        carried(pipe, call, tap_of(pipe, call, concepts))
    handle.remove()
    assert len(seen) == 2  # its own run, then that of the words
    assert not _get_current_function_mode_stack()
    for module in pipe.transformer.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.equal(plain, run(pipe, call))


def test_words_have_the_columns_of_the_chosen_encoder(concepts):
    pipe, call = tiny_sd35(), JOINT["sd3.5"].call | {"num_inference_steps": 1, "progress": False}
    votes = [
        hl.collect_votes(
            pipe, concepts, PROMPTS, voting_rule=VotingRule(mass=True, encoder=encoder), **call
        )["votes_by_prompt"]
        for encoder in ("", "t5", "clip")
    ]
    np.testing.assert_array_equal(votes[0], votes[1])
    assert (votes[0] != votes[2]).any()
    own = encoding_of(pipe, call)
    rows = family_of(pipe).encode(pipe, ["", "Cat"], **own)
    words = family_of(pipe).encode_words(pipe, ["Cat"], encoder="clip", **own)
    assert torch.equal(words.start, rows[0, 0])
    assert torch.equal(words.content[0], rows[1, 1:2])
    words = family_of(pipe).encode_words(pipe, ["Cat"], **own)
    assert torch.equal(words.start, rows[0, pipe.tokenizer_max_length + 1])
    with pytest.raises(ParameterError, match="no choice of a text encoder 'bert' .* give t5, clip"):
        hl.collect_votes(pipe, concepts, PROMPTS, voting_rule=VotingRule(encoder="bert"), **call)
    with pytest.raises(ParameterError, match="leave out encoder"):
        hl.collect_votes(tiny_sd(), concepts, PROMPTS, voting_rule=VotingRule(encoder="clip"))


@pytest.mark.parametrize("zeros", [0, 8])
def test_without_a_t5_words_are_those_of_clip(zeros, concepts):
    pipe = tiny_sd35()
    pipe.register_modules(text_encoder_3=None, tokenizer_3=None)
    call = {"max_sequence_length": zeros, "num_inference_steps": STEPS, "progress": False}
    captured = hl.capture(pipe, PROMPTS, **call)
    assert captured.sizes["token"] == pipe.tokenizer_max_length + zeros
    np.testing.assert_array_equal(captured["image"], hl.generate(pipe, PROMPTS, **call))
    assert [word.columns for word in hl.prompt_words(pipe, "a red car")] == [[1], [2], [3]]
    votes = hl.collect_votes(pipe, concepts, PROMPTS, **call)
    assert (votes["votes_by_timestep"].sum("concept") == len(PROMPTS)).all()
    factors = np.zeros(votes.sizes["head_position"])
    edited = hl.generate(pipe, PROMPTS, edit=Rescale(factors, "a"), **call)
    assert (edited != captured["image"].values).any()


def test_what_has_no_meaning_is_refused(concepts):
    pipe = tiny_sd()
    with pytest.raises(ParameterError, match="words read nothing in cross-attention"):
        hl.collect_votes(pipe, concepts, PROMPTS, voting_rule=VotingRule(space="output"))
    with pytest.raises(ModelError, match="count votes by ConceptVotes"):
        tap_of(pipe, {}, concepts)
    with pytest.raises(ModelError, match="count votes by PassiveVotes"):
        tap_of(tiny_flux(), {}, concepts, kind=ConceptVotes)
    pipe, call = tiny_flux(), JOINT["flux"].call | {"num_inference_steps": STEPS}
    own = {"joint_attention_kwargs": {"attention_mask": torch.zeros(1, 1, 1, 40)}}
    with pytest.raises(ParameterError, match="votes take no attention_mask"):
        hl.collect_votes(pipe, concepts, PROMPTS, progress=False, **call, **own)
    with pytest.raises(ModelError, match="without a token of its padding"):
        family_of(pipe).encode_words(pipe, ["red"], max_sequence_length=1)
