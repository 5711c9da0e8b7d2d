import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrvlab.attention import Rescale, attach
from hrvlab.errors import ParameterError
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import content_columns
from tests.attention.oracle import explicit
from tests.pipelines import ARCHITECTURES, TINY, tiny_sd

HEADS = 8
PROMPTS = ["a red car", "a photo of a blue cat on a tree"]
FOUR = [*PROMPTS, "a rose vase", "red and blue"]


def run(pipe, prompts, **call):
    call = {"num_inference_steps": 3, "output_type": "latent"} | call
    return pipe(list(prompts), generator=torch.Generator().manual_seed(0), **call).images


def oracle(pipe, prompts, factors, copies=1, guided=True, window=None, **call):
    """Multiply columns of the conditional half of every explicit map, as published."""
    calls = {}

    def change(layer):
        def multiply(maps):
            number = calls[layer.index] = calls.get(layer.index, -1) + 1
            if window and not window[0] <= number < window[1]:
                return maps
            maps = maps.clone()
            first = len(maps) // 2 if guided else 0
            for row, prompt in enumerate(p for p in prompts for _ in range(copies)):
                rows = factors if factors.ndim == 1 else factors[row // copies]
                for head in range(layer.heads):
                    for column in content_columns(pipe, prompt):
                        maps[first + row, head, :, column] *= rows[layer.start + head]
            return maps

        return multiply

    layers = cross_attention_layers(pipe.unet)
    explicit(pipe, layers, [change(layer) for layer in layers])
    return run(pipe, prompts, **call)


def head_count(pipe):
    return sum(layer.heads for layer in cross_attention_layers(pipe.unet))


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rescaling_equals_scaling_the_explicit_maps(name, count, guided):
    pipe = TINY[name].build()
    factors = np.random.default_rng(count).normal(size=head_count(pipe)) * 2
    prompts, scale = FOUR[:count], 7.5 if guided else 1.0
    with attach(pipe, Rescale(factors), prompts=prompts):
        ours = run(pipe, prompts, guidance_scale=scale)
    plain = run(pipe, prompts, guidance_scale=scale)
    theirs = oracle(pipe, prompts, factors, guided=guided, guidance_scale=scale)
    close(ours, theirs)
    assert (ours - plain).abs().max() > 0.01


def test_each_prompt_may_have_its_own_factors_and_several_images():
    factors = np.random.default_rng(3).normal(size=(2, HEADS))
    pipe = tiny_sd()
    with attach(pipe, Rescale(factors), prompts=PROMPTS):
        ours = run(pipe, PROMPTS, num_images_per_prompt=2)
    theirs = oracle(pipe, PROMPTS, factors, copies=2, num_images_per_prompt=2)
    close(ours, theirs)


@settings(max_examples=12, deadline=None)
@given(
    data=st.data(),
    count=st.integers(1, 3),
    share=st.floats(0, 1),
    factor=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]),
)
def test_rescaling_any_heads_of_any_sample_equals_scaling_the_explicit_maps(
    data, count, share, factor
):
    """As in a weakening trial: every image of a batch has its own weakened heads."""
    prompts = data.draw(st.lists(st.sampled_from(PROMPTS), min_size=count, max_size=count))
    seed = data.draw(st.integers(0, 2**32 - 1))
    weakened = np.random.default_rng(seed).random((count, HEADS)) < share
    factors = np.where(weakened, factor, 1.0)
    pipe = tiny_sd()
    with attach(pipe, Rescale(factors), prompts=prompts):
        ours = run(pipe, prompts)
    close(ours, oracle(pipe, prompts, factors))


def test_an_edit_does_nothing_outside_its_window():
    factors = np.full(HEADS, -2.0)
    pipe = tiny_sd()
    with attach(pipe, Rescale(factors, window=(1, 3)), prompts=PROMPTS):
        ours = run(pipe, PROMPTS)
    close(ours, oracle(pipe, PROMPTS, factors, window=(1, 3)))


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_non_square_images_work(name):
    pipe = TINY[name].build()
    factors = np.random.default_rng(5).normal(size=head_count(pipe))
    size = {"height": 16, "width": 32}
    with attach(pipe, Rescale(factors), prompts=PROMPTS):
        ours = run(pipe, PROMPTS, **size)
    close(ours, oracle(pipe, PROMPTS, factors, **size))


def test_factors_of_one_change_nothing():
    pipe = tiny_sd()
    plain = run(pipe, PROMPTS)
    with attach(pipe, Rescale(np.ones(HEADS)), prompts=PROMPTS):
        assert torch.equal(run(pipe, PROMPTS), plain)


def test_two_edits_multiply():
    pipe = tiny_sd()
    with attach(pipe, Rescale(np.full(HEADS, 2.0)), Rescale(np.full(HEADS, 3.0)), prompts=PROMPTS):
        two = run(pipe, PROMPTS)
    with attach(pipe, Rescale(np.full(HEADS, 6.0)), prompts=PROMPTS):
        close(run(pipe, PROMPTS), two)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_half_precision_stays_half_precision(name, dtype):
    pipe = TINY[name].build().to(dtype)
    with attach(pipe, Rescale(np.full(head_count(pipe), 0.5)), prompts=PROMPTS):
        latents = run(pipe, PROMPTS)
    assert latents.dtype == dtype
    assert torch.isfinite(latents).all()


def test_only_the_columns_of_the_given_words_are_marked():
    mask = Rescale(np.ones(HEADS), ["red", "car"]).columns(tiny_sd(), ["a red car"])
    assert np.flatnonzero(mask[0]).tolist() == [2, 3]


def test_every_prompt_may_have_words_of_its_own():
    edit = Rescale(np.ones(HEADS), [["red"], ["blue", "cat"]])
    pipe = tiny_sd()
    mask = edit.columns(pipe, PROMPTS)
    for row, prompt, words in zip(mask, PROMPTS, edit.words, strict=True):
        alone = Rescale(np.ones(HEADS), words).columns(pipe, [prompt])
        np.testing.assert_array_equal(row, alone[0])
    second = edit.for_prompts([1]).columns(pipe, PROMPTS[1:])
    np.testing.assert_array_equal(second, mask[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": [1.0, float("nan")]}, "finite"),
        ({"factors": np.ones((2, 2, 2))}, "got shape"),
        ({"factors": [1.0], "window": (3, 3)}, "contains no denoiser call"),
    ],
)
def test_impossible_edits_are_refused_when_made(arguments, message):
    with pytest.raises(ParameterError, match=message):
        Rescale(**arguments)
