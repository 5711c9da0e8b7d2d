import numpy as np
import pytest
import torch

from hrvlab.attention import ConceptVotes, SpatialMaps, TokenMeans, VotingRule, attach
from hrvlab.errors import CoverageError
from hrvlab.models.families import family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.votes import draw_words
from tests.attention.oracle import explicit
from tests.pipelines import tiny_sd

PROMPTS = ["a red car", "a photo of a blue cat on a tree"]


def first_words(call, layers, samples):
    return np.zeros((layers, samples, 3), np.int64)


def run(pipe, **call):
    call = {"num_inference_steps": 3, "output_type": "latent"} | call
    return pipe(PROMPTS, generator=torch.Generator().manual_seed(0), **call).images


def conditional_maps(pipe, **call):
    """Return the conditional half of all explicit maps, by layer and call."""
    layers = cross_attention_layers(pipe.unet)
    processors = explicit(pipe, layers)
    run(pipe, **call)
    return [[maps[len(maps) // 2 :] for maps in p.maps] for p in processors]


@pytest.mark.parametrize("size", [{}, {"height": 16, "width": 32}])
def test_token_means_are_the_spatial_means_of_the_explicit_maps(size):
    tap, pipe = TokenMeans(), tiny_sd()
    with attach(pipe, tap):
        run(pipe, **size)
    means = tap.result()
    for layer, calls in enumerate(conditional_maps(pipe, **size)):
        for call, maps in enumerate(calls):
            np.testing.assert_allclose(means[:, call, layer], maps.mean(2), rtol=2e-4, atol=1e-6)


def test_spatial_maps_sum_the_columns_of_a_word():
    pipe = tiny_sd()
    words = ["a", "photo of"]
    columns = [[[1], [2, 3]], [[1, 5], [2, 3]]]
    assert word_columns(pipe, PROMPTS[1], words[1]) == columns[1][1]
    layers = cross_attention_layers(pipe.unet)
    tap = SpatialMaps(columns, {layer.index: 8 // layer.grid for layer in layers})
    with attach(pipe, tap):
        run(pipe, height=16, width=32)
    result = tap.result()
    for layer, calls in enumerate(conditional_maps(pipe, height=16, width=32)):
        for call, maps in enumerate(calls):
            found = result[call, layer]
            assert found.shape[-2] * 2 == found.shape[-1]
            for sample in range(2):
                for word in range(2):
                    expected = maps[sample][..., columns[sample][word]].sum(-1)
                    np.testing.assert_allclose(
                        found[sample, :, word].reshape(expected.shape),
                        expected,
                        rtol=1e-4,
                        atol=1e-5,
                    )


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("mass", [True, False])
def test_votes_equal_the_published_update_computed_step_by_step(concepts, mass, start):
    pipe = tiny_sd()
    counts = [len(words) for words in concepts.words]

    layers = cross_attention_layers(pipe.unet)

    def drawn_words(prompt, call):
        return draw_words(0, prompt, call, len(layers), counts)

    def draw(call, _, samples):
        return np.stack([drawn_words(prompt, call) for prompt in range(samples)], axis=1)

    tap = ConceptVotes(concepts.encode(pipe), counts, draw, VotingRule(mass, start))
    with attach(pipe, tap):
        run(pipe)
    by_sample, by_call = tap.result()

    queries = {layer.index: [] for layer in layers}
    hooks = [
        pipe.unet.get_submodule(layer.module).to_q.register_forward_hook(
            lambda _, __, output, index=layer.index: queries[index].append(output[2:])
        )
        for layer in layers
    ]
    run(pipe)
    for hook in hooks:
        hook.remove()
    expected = np.zeros((2, by_call.shape[0], *by_sample.shape[1:]), np.int64)
    encode = family_of(pipe).encode_words
    for layer in layers:
        module = pipe.unet.get_submodule(layer.module)
        for call, query in enumerate(queries[layer.index]):
            for sample in range(2):
                words = drawn_words(sample, call)[layer.index]
                drawn = [concepts.words[c][j] for c, j in enumerate(words)]
                encoded = encode(pipe, drawn)
                states = torch.cat([encoded.start[None], *encoded.content])
                with torch.no_grad():
                    keys = module.to_k(states)
                for head in range(layer.heads):
                    part = slice(head * 4, (head + 1) * 4) if keys.shape[1] == 8 else None
                    part = part or slice(head * 8, (head + 1) * 8)
                    scores = query[sample][:, part] @ keys[:, part].T * module.scale
                    mean = torch.softmax(scores if start else scores[:, 1:], -1).mean(0)
                    first, means = int(start), []
                    for rows in encoded.content:
                        means.append(mean[first : first + len(rows)].mean())
                        first += len(rows)
                    votes = expected[sample, call, layer.start + head]
                    if mass:
                        votes[:] = torch.stack(means).mul(1e6).round()
                    else:
                        votes[torch.stack(means).argmax()] += 1
    rounding = 10 if mass else 0  # millionths
    np.testing.assert_allclose(by_sample, expected.sum(1), atol=rounding)
    np.testing.assert_allclose(by_call, expected.sum(0), atol=rounding)


def test_ties_go_to_the_first_concept(tiny_pipe):
    encodings = family_of(tiny_pipe).encode_words(tiny_pipe, ["red", "red", "red"])
    tap = ConceptVotes(encodings, [1, 1, 1], first_words)
    with attach(tiny_pipe, tap):
        run(tiny_pipe)
    by_sample, _ = tap.result()
    assert by_sample[..., 1:].sum() == 0


def test_every_head_casts_one_vote_per_call_and_sample(tiny_pipe, concepts):
    counts = [len(words) for words in concepts.words]
    tap = ConceptVotes(concepts.encode(tiny_pipe), counts, first_words)
    with attach(tiny_pipe, tap):
        run(tiny_pipe)
    by_sample, by_call = tap.result()
    assert (by_sample.sum(-1) == 4).all()
    assert (by_call.sum(-1) == 2).all()


@pytest.mark.parametrize("tap", ["means", "votes", "mass"])
def test_nan_in_the_attention_is_an_error(tiny_pipe, concepts, tap):
    layer = cross_attention_layers(tiny_pipe.unet)[1]
    tiny_pipe.unet.get_submodule(layer.module).to_q.weight.data[:] = float("nan")
    counts = [len(words) for words in concepts.words]
    taps = {
        "means": TokenMeans(),
        "votes": ConceptVotes(concepts.encode(tiny_pipe), counts, first_words),
        "mass": ConceptVotes(
            concepts.encode(tiny_pipe), counts, first_words, VotingRule(mass=True)
        ),
    }
    with attach(tiny_pipe, taps[tap]):
        run(tiny_pipe)
    with pytest.raises(CoverageError, match="NaN"):
        taps[tap].result()
