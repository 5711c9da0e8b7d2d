"""The attention kernel and its log of the denominator, and what they cost."""

from time import perf_counter

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from hrvlab.attention.kernel import Kernel, TextSoftmax, score_scale


def joint(positions, heads, dim):
    """Draw queries, keys and values as a transformer's projections lay them out."""
    torch.manual_seed(0)
    return [torch.randn(1, positions, heads, dim).transpose(1, 2) for _ in range(3)]


class AttentionCalls(TorchDispatchMode):
    """Counts the queries whose attention is computed, over all rows and heads."""

    queries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "scaled_dot_product" in func.name():
            self.queries += args[0][..., 0].numel()
        return func(*args, **(kwargs or {}))


def test_attention_is_computed_once_in_the_first_layer_too():
    query, key, value = joint(512, 4, 8)
    with AttentionCalls() as calls:
        output, log_sum = Kernel().attend(query, key, value, None, None)
    assert calls.queries <= 1.1 * query[..., 0].numel()
    assert torch.equal(output, scaled_dot_product_attention(query, key, value))
    scores = query @ key.mT / 8**0.5
    torch.testing.assert_close(log_sum, scores.logsumexp(-1), atol=1e-5, rtol=1e-5)


def test_a_kernel_that_pytorch_does_not_take_is_not_taken():
    query, key, value = joint(64, 2, 8)
    sound = Kernel()
    sound.attend(query, key, value, None, None)
    with sdpa_kernel(SDPBackend.MATH):
        output, log_sum = sound.attend(query, key, value, None, None)
        assert torch.equal(output, scaled_dot_product_attention(query, key, value))
    scores = query @ key.mT / 8**0.5
    torch.testing.assert_close(log_sum, scores.logsumexp(-1))


@pytest.mark.full
def test_one_tokens_map_costs_a_fiftieth_of_the_attention_that_it_reads():
    """At the shape of FLUX's block, 512 words and 1,024 positions, with 6 of its heads."""
    query, key, value = joint(1536, 6, 128)
    kernel, text, image = Kernel(), slice(0, 512), slice(512, None)
    column = torch.tensor([5])

    def best(compute):
        times = []
        for _ in range(9):
            begun = perf_counter()
            compute()
            times.append(perf_counter() - begun)
        return min(times)

    _, log_sum = kernel.attend(query, key, value, None, None)

    def one_map():
        parts = query[:, :, image], key[:, :, text]
        softmax = TextSoftmax(*parts, score_scale(query, None), None, log_sum[:, :, image])
        return softmax.maps(column)

    plain = best(lambda: scaled_dot_product_attention(query, key, value))
    assert best(lambda: kernel.attend(query, key, value, None, None)) < 1.1 * plain
    assert best(one_map) < 0.02 * plain
