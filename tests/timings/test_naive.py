import numpy as np
import torch

import hrvlab as hl
from hrvlab.attention import TokenMeans, attach
from hrvlab.models.heads import cross_attention_layers
from tests.pipelines import tiny_sd
from timings.clocks import in_situ
from timings.miniature import naive_votes
from timings.naive import make_explicit, weakener

PROMPTS = ["a red car", "a photo of a blue cat on a tree"]
STEPS = {"num_inference_steps": 3, "progress": False}


def test_the_naive_implementation_casts_the_same_votes(concepts):
    votes = hl.collect_votes(tiny_sd(), concepts, PROMPTS, batch_size=1, **STEPS)
    naive = naive_votes(tiny_sd(), concepts, PROMPTS, steps=3)
    np.testing.assert_array_equal(votes["votes_by_prompt"], naive)


def test_the_naive_implementation_weakens_the_same_heads():
    pipe, naive = tiny_sd(), tiny_sd()
    factors = np.where(np.arange(8) % 3, 1.0, -2.0)
    make_explicit(
        naive.unet,
        [
            weakener(factors[a.head_positions], [1, 2, 3])
            for a in cross_attention_layers(naive.unet)
        ],
    )
    weakened = hl.generate(pipe, PROMPTS[0], edit=hl.Rescale(factors), **STEPS)
    difference = weakened.astype(int) - hl.generate(naive, PROMPTS[0], **STEPS)
    assert np.abs(difference).max() <= 1
    assert (weakened != hl.generate(pipe, PROMPTS[0], **STEPS)).any()


def test_the_clock_times_every_hook_and_removes_its_own():
    pipe = tiny_sd()
    with attach(pipe, TokenMeans()), in_situ(pipe.unet) as clock, torch.no_grad():
        pipe(PROMPTS[0], num_inference_steps=2)
    assert all(0 < hooks < call for hooks, call in zip(clock.hooks, clock.calls, strict=True))
    assert 0 < clock.overhead() < 1
    hooks = [
        hook
        for module in pipe.unet.modules()
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    ]
    assert not hooks
