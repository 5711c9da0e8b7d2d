import numpy as np
import torch

from hrvlab.reservoir.kernel import (
    attention_to_concepts,
    correction_factor,
    lay_out,
    shares,
    winners,
)

TOKENS = np.array([1, 3, 2, 1, 1])
FIRST = 1 + TOKENS.cumsum() - TOKENS


def test_attention_to_concepts_is_that_of_the_published_rule():
    rng = np.random.default_rng(0)
    blocks, draws, heads, positions, channels = 3, 2, 4, 6, 5
    queries = rng.normal(size=(blocks, heads, positions, channels))
    keys = rng.normal(size=(heads, 1 + TOKENS.sum(), channels))
    words = np.stack([rng.integers(0, 3, (blocks, draws)), rng.integers(3, 5, (blocks, draws))], -1)
    found = attention_to_concepts(
        torch.from_numpy(queries).float(),
        torch.from_numpy(keys).float(),
        lay_out(words, FIRST, TOKENS),
        parts=2,
    ).numpy()
    assert found.shape == (blocks, heads, draws, 2, 2)
    for at in np.ndindex(blocks, heads, draws, 2):
        block, head, draw, part = at
        own = [keys[head, FIRST[w] : FIRST[w] + TOKENS[w]] for w in words[block, draw]]
        every = np.concatenate([keys[head, :1], *own])
        scores = queries[block, head, part * 3 : part * 3 + 3] @ every.T
        maps = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        means = np.split(maps.mean(0)[1:], [len(own[0])])
        assert np.allclose(found[at], [mean.mean() for mean in means], atol=1e-6)


def test_words_of_a_single_token_leave_no_further_columns():
    columns = lay_out(np.array([[[0, 3]]]), FIRST, TOKENS)
    assert columns.rows.tolist() == [[[0, 1, 7]]]
    assert columns.owners.shape == (1, 1, 0)


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
    won = winners(torch.from_numpy(sample))
    naive = shares(won[None, :, 0], 2)[0, 0].item()
    halves = shares(won[:, 1:].reshape(1, -1), 2)[0, 0].item()
    corrected = naive + correction_factor(population, kept) * (naive - halves)
    assert truth - naive > 0.01
    assert abs(truth - corrected) < (truth - naive) / 3


def test_every_vote_is_cast_once():
    attention = torch.rand(50, 2, 3)
    won = winners(attention)
    assert won.shape == (50, 3)
    assert (won[:, 0] == attention.mean(1).argmax(-1)).all()
    assert (won[:, 1:] == attention.argmax(-1)).all()
    assert winners(attention[:, :1]).shape == (50, 1)
    assert torch.allclose(shares(won, 3).sum(-1), torch.ones(50))
    assert shares(torch.tensor([[2, 0, 2, 2]]), 3).tolist() == [[0.25, 0.0, 0.75]]
