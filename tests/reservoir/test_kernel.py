import numpy as np
import torch

from hrvlab.reservoir.kernel import (
    attention_to_concepts,
    correction_factor,
    lay_out,
    winning,
)

TOKENS = np.array([1, 3, 2, 1, 1])
FIRST = 1 + TOKENS.cumsum() - TOKENS


def test_attention_to_concepts_is_that_of_the_published_rule():
    rng = np.random.default_rng(0)
    blocks, layers, heads, prompts, positions, channels = 3, 2, 4, 2, 6, 5
    queries = rng.normal(size=(blocks, layers, heads, prompts, positions, channels))
    keys = rng.normal(size=(layers, heads, 1 + TOKENS.sum(), channels))
    words = np.stack(
        [rng.integers(0, 3, (blocks, layers)), rng.integers(3, 5, (blocks, layers))], -1
    )
    rows, outside, weights = lay_out(words, FIRST, TOKENS)
    number = torch.arange(layers)[:, None, None]
    drawn = torch.from_numpy(keys)[number, torch.arange(heads)[:, None], rows[:, :, None]].float()
    found = attention_to_concepts(
        torch.from_numpy(queries).float(), drawn, outside, weights, parts=2
    ).numpy()
    assert found.shape == (blocks, layers, heads, prompts, 2, 2)
    for at in np.ndindex(blocks, layers, heads, prompts, 2):
        block, layer, head, prompt, part = at
        own = [
            keys[layer, head, FIRST[word] : FIRST[word] + TOKENS[word]]
            for word in words[block, layer]
        ]
        every = np.concatenate([keys[layer, head, :1], *own])
        scores = queries[block, layer, head, prompt, part * 3 : part * 3 + 3] @ every.T
        maps = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        means = np.split(maps.mean(0)[1:], [len(own[0])])
        assert np.allclose(found[at], [mean.mean() for mean in means], atol=1e-6)


def test_the_correction_removes_the_error_of_small_samples():
    rng = np.random.default_rng(1)
    population, kept, repeats = 64, 8, 20000
    # The first concept leads narrowly in most calls.
    lead = rng.normal(0.5, 1.0, size=(repeats, 1))
    noise = rng.normal(0, 1.5, size=(repeats, population))
    noise -= noise.mean(1, keepdims=True)
    margin = lead + noise
    attention = np.stack([margin, np.zeros_like(margin)], axis=-1)
    truth = (lead > 0).mean()
    sample = attention[:, :kept].reshape(repeats, 2, kept // 2, 2).mean(2)
    asked = torch.tensor([0])
    factor = correction_factor(population, kept)
    won, lacking = winning(torch.from_numpy(sample), asked, factor)
    naive, corrected = won.mean().item(), (won + lacking).mean().item()
    assert truth - naive > 0.01
    assert abs(truth - corrected) < (truth - naive) / 3


def test_every_vote_is_cast_once_also_with_the_correction():
    attention = torch.rand(50, 2, 3)
    for factor in (0.0, 0.75):
        won, lacking = winning(attention, torch.arange(3), factor)
        assert (won.sum(-1) == 1).all()
        assert torch.allclose(lacking.sum(-1), torch.zeros(50), atol=1e-6)
