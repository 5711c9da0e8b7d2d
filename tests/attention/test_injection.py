from dataclasses import replace

import numpy as np
import pytest
import torch

from hrvlab.attention import Injection, attach
from hrvlab.errors import ParameterError
from hrvlab.models.alignment import Aligned, align
from hrvlab.models.heads import cross_attention_layers
from tests.attention.oracle import ExplicitMaps
from tests.pipelines import ARCHITECTURES, TINY, tiny_sd

HEADS = 8
STEPS = 4
PAIRS = [["a red car", "a blue car"], ["a photo of a cat", "a photo of a zebra"]]
FOUR = [*PAIRS, ["a rose vase on red", "a tree vase on blue"], ["a dog", "a fountain"]]


def flat(pairs):
    return [prompt for pair in pairs for prompt in pair]


def run(pipe, pairs, width=16, **call):
    call = {"num_inference_steps": STEPS, "output_type": "latent", "width": width} | call
    # The scheduler's own noise is the same for both images of a pair, too.
    call["generator"] = [torch.Generator().manual_seed(n) for n in range(len(pairs)) for _ in "st"]
    noise = torch.randn(len(pairs), 4, 8, width // 2, generator=torch.Generator().manual_seed(0))
    return pipe(flat(pairs), latents=noise.to(pipe.dtype).repeat_interleave(2, 0), **call).images


def injection(pipe, pairs, **settings):
    aligned = [align(pipe, *pair) for pair in pairs]
    settings = {"cross_share": 0.6, "self_share": 0.5, "self_side": 0.5} | settings
    return Injection(aligned, **settings)


def some_factors(pipe):
    heads = sum(layer.heads for layer in cross_attention_layers(pipe.unet))
    return np.random.default_rng(0).gamma(0.7, size=heads) * 3


def oracle(pipe, edit, pairs, guided=True, **call):
    """Prompt-to-Prompt as its authors wrote it: every map is materialized, then changed."""
    calls = {}
    pipe.scheduler.set_timesteps(STEPS)
    cross_calls, self_calls = edit.injected_calls(len(pipe.scheduler.timesteps), STEPS)

    def cross(layer):
        def change(maps):
            number = calls[layer.module] = calls.get(layer.module, -1) + 1
            if number >= cross_calls:
                return maps
            maps = maps.clone()
            first = len(maps) // 2 if guided else 0
            for pair, aligned in enumerate(edit.aligned):
                source, target = maps[first + 2 * pair], maps[first + 2 * pair + 1]
                replaced = source @ torch.from_numpy(aligned.mapper).to(maps)
                plain = edit.factors is None
                for head in range(layer.heads):
                    for column in aligned.added if plain else aligned.new:
                        factor = 1 if plain else edit.factors[layer.start + head]
                        replaced[head, :, column] = target[head, :, column] * factor
                maps[first + 2 * pair + 1] = replaced
            return maps

        return change

    def own(name):
        def change(maps):
            number = calls[name] = calls.get(name, -1) + 1
            largest = 8 * call.get("width", 16) / 2 * edit.self_side**2
            if number >= self_calls or maps.shape[-1] > largest:
                return maps
            maps = maps.clone()
            first = len(maps) // 2 if guided else 0
            for pair in range(len(edit.aligned)):
                maps[first + 2 * pair + 1] = maps[first + 2 * pair]
            return maps

        return change

    for layer in cross_attention_layers(pipe.unet):
        pipe.unet.get_submodule(layer.module).set_processor(ExplicitMaps(cross(layer)))
        name = layer.module.removesuffix("attn2") + "attn1"
        pipe.unet.get_submodule(name).set_processor(ExplicitMaps(own(name)))
    return run(pipe, pairs, **call)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("rescaled", [True, False])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_injection_equals_prompt_to_prompt_with_explicit_maps(name, count, guided, rescaled):
    pipe, pairs = TINY[name].build(), FOUR[:count]
    factors = some_factors(pipe) if rescaled else None
    edit = injection(pipe, pairs, factors=factors)
    scale = {"guidance_scale": 7.5 if guided else 1.0}
    plain = run(pipe, pairs, **scale)
    with attach(pipe, edit, prompts=flat(pairs)):
        ours = run(pipe, pairs, **scale)
    theirs = oracle(pipe, edit, pairs, guided=guided, **scale)
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)
    assert (ours - plain)[1::2].abs().max() > 0.01


def by_hand(columns, new, added):
    """An alignment whose target columns each list the source columns that they sum."""
    mapper = np.zeros((20, 20))
    for target, sources in enumerate(columns):
        mapper[sources, target] = 1
    return Aligned(mapper, new, added)


def zebra():
    columns = [[0], [1], [2], [2], [2], [2], [2], [3], [], [4], *[[n] for n in range(5, 14)]]
    aligned = by_hand([*columns, list(range(14, 20))], [2, 3, 4, 5, 6, 8], [8])
    aligned.mapper[2] /= 5
    return aligned


# Words added, dropped, replaced by two, and several changes at once; "zebra" is five tokens.
REFINED = {
    ("a car", "a red car"): by_hand(
        [[0], [1], [], *[[n] for n in range(2, 18)], [18, 19]], [2], [2]
    ),
    ("a red car", "a car"): by_hand([[0], [1], *[[n] for n in range(3, 20)], []], [], []),
    ("a red car and a dog", "a rose vase car and dog"): by_hand(
        [[0], [1], [], [], [3], [4], [6], *[[n] for n in range(7, 20)]], [2, 3], [2, 3]
    ),
    ("a cat on tree", "a zebra on red tree"): zebra(),
}


@pytest.mark.parametrize("rescaled", [True, False])
@pytest.mark.parametrize("name", ["sd1", pytest.param("sdxl", marks=pytest.mark.full)])
def test_added_and_dropped_words_equal_prompt_refinement_with_explicit_maps(name, rescaled):
    pipe, pairs = TINY[name].build().to(torch.float64), list(map(list, REFINED))
    factors = some_factors(pipe) if rescaled else None
    edit = injection(pipe, pairs, factors=factors)
    with attach(pipe, edit, prompts=flat(pairs)):
        ours = run(pipe, pairs)
    unaligned = run(pipe, pairs)
    theirs = oracle(pipe, replace(edit, aligned=list(REFINED.values())), pairs)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert ((ours - unaligned)[1::2].abs().amax(dim=(1, 2, 3)) > 0.01).all()


@pytest.mark.parametrize("name", ["sd1", "sdxl"])
def test_non_square_images_work(name):
    pipe = TINY[name].build()
    edit = injection(pipe, PAIRS, factors=some_factors(pipe))
    with attach(pipe, edit, prompts=flat(PAIRS)):
        ours = run(pipe, PAIRS, width=32)
    theirs = oracle(pipe, edit, PAIRS, width=32)
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_half_precision_stays_half_precision(name):
    pipe = TINY[name].build().to(torch.bfloat16)
    edit = injection(pipe, PAIRS, factors=some_factors(pipe))
    with attach(pipe, edit, prompts=flat(PAIRS)):
        latents = run(pipe, PAIRS)
    assert latents.dtype == torch.bfloat16
    assert torch.isfinite(latents).all()


def test_the_sources_are_generated_as_without_injection():
    pipe = tiny_sd()
    plain = run(pipe, PAIRS)
    with attach(pipe, injection(pipe, PAIRS), prompts=flat(PAIRS)):
        edited = run(pipe, PAIRS)
    torch.testing.assert_close(edited[::2], plain[::2], rtol=1e-4, atol=1e-4)


def test_injecting_everything_from_the_same_prompt_generates_the_source_twice():
    pipe, pairs = tiny_sd(), [["a red car", "a red car"]]
    same = Aligned(np.eye(20), [], [])
    edit = Injection([same], cross_share=1.0, self_share=1.0, self_side=1.0)
    with attach(pipe, edit, prompts=flat(pairs)):
        source, target = run(pipe, pairs)
    torch.testing.assert_close(source, target)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_self_attention_is_injected_on_small_grids_only(share):
    pipe = tiny_sd()
    plain = run(pipe, PAIRS)
    edit = injection(pipe, PAIRS, cross_share=0.0, self_side=share)
    with attach(pipe, edit, prompts=flat(PAIRS)):
        edited = run(pipe, PAIRS)
    changed = (edited - plain).abs().max() > 1e-6
    # The tiny model's smallest grid is half as wide as its latents.
    assert changed == (share == 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cross_share": 0.1, "self_share": 0.1}, "are less than one call; give more steps"),
        ({"factors": np.full(HEADS, np.nan)}, "finite"),
        ({"factors": np.ones(3)}, "3 head positions, the model has 8"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    pipe = tiny_sd()
    with (
        pytest.raises(ParameterError, match=message),
        attach(pipe, injection(pipe, PAIRS, **settings), prompts=flat(PAIRS)),
    ):
        run(pipe, PAIRS)


def test_prompts_that_are_not_pairs_are_refused():
    pipe = tiny_sd()
    edit = injection(pipe, PAIRS)
    with pytest.raises(ParameterError, match="2 prompts are not the 2 pairs"):
        attach(pipe, edit, prompts=PAIRS[0]).__enter__()
    with (
        pytest.raises(ParameterError, match="8 images are not 2 pairs"),
        attach(pipe, edit, prompts=flat(PAIRS)),
    ):
        pipe(flat(PAIRS), num_images_per_prompt=2, num_inference_steps=1)
