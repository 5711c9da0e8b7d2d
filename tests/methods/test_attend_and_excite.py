import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLInpaintPipeline,
)
from PIL import Image

import hrvlab as hl
from hrvlab.errors import ConceptError, CoverageError, ModelError, ParameterError, TokenError
from hrvlab.methods.attend_and_excite import weigh_heads
from hrvlab.methods.excitation import PRESETS, Excitation
from hrvlab.models.heads import cross_attention_layers
from hrvlab.noise import initial_noise
from tests.methods.test_steering import vectors
from tests.pipelines import add_ip_adapter, tiny_sd, tiny_sdxl, tiny_unet

PROMPT, WORDS = "a car and a cat", ["car", "cat"]
CALL = {"num_inference_steps": 4, "progress": False}
QUIET = {"side": 1 / 2, "thresholds": {}}


def state(pipe):
    return {
        "attributes": {name: id(value) for name, value in vars(pipe.unet).items()},
        "pipeline": set(vars(pipe)) - {"_guidance_scale", "_num_timesteps"},
        "hooks": [
            (name, len(m._forward_hooks), len(m._forward_pre_hooks))
            for name, m in pipe.unet.named_modules()
        ],
        "flags": [p.requires_grad for p in pipe.unet.parameters()],
        "gradients": [p.grad is None for p in pipe.unet.parameters()],
        "checkpoints": pipe.unet.is_gradient_checkpointing,
        "values": torch.cat([p.detach().flatten() for p in pipe.unet.parameters()]).tolist(),
        "gradients enabled": torch.is_grad_enabled(),
    }


def run_once(pipe):
    """Generate once, so that the pipeline sets what every call sets."""
    hl.generate(pipe, PROMPT, num_inference_steps=1)


@pytest.mark.parametrize("scheduler", ["PNDM", "noisy DDIM"])
def test_a_step_size_of_0_yields_the_plain_image_bit_for_bit(scheduler):
    pipe = tiny_sd()
    call = {"num_inference_steps": 4}
    if scheduler == "noisy DDIM":
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
        call["eta"] = 1.0
    plain = hl.generate(pipe, PROMPT, seed=[3, 4], **call)
    still = hl.excite(
        pipe,
        PROMPT,
        WORDS,
        seed=[3, 4],
        batch_size=2,
        preset=Excitation(1 / 2, step_size=0),
        **call,
    )
    np.testing.assert_array_equal(still.images, plain)
    updated = hl.excite(pipe, PROMPT, WORDS, seed=[3, 4], preset=Excitation(1 / 2), **call)
    assert (updated.images != plain).any()


def test_the_same_seed_yields_the_same_image_and_nearly_so_in_batches(tiny_pipe):
    preset = Excitation(step_size=2.0, **QUIET)
    call = {"preset": preset, **CALL}
    first = hl.excite(tiny_pipe, PROMPT, WORDS, seed=[1, 2], **call)
    again = hl.excite(tiny_pipe, PROMPT, WORDS, seed=[1, 2], **call)
    np.testing.assert_array_equal(first.images, again.images)
    alone = hl.excite(tiny_pipe, PROMPT, WORDS, seed=2, **call)
    np.testing.assert_array_equal(first.images[1:], alone.images)
    together = hl.excite(tiny_pipe, PROMPT, WORDS, seed=[1, 2], batch_size=2, **call)
    np.testing.assert_allclose(first.images.astype(float), together.images, atol=1)


@pytest.mark.parametrize("name", PRESETS)
def test_the_unet_runs_as_often_as_the_pipeline_calls_it_and_passes_are_counted(name):
    pipe = tiny_sd()
    rows = {True: 0, False: 0}

    def count(_, args, __):
        rows[torch.is_grad_enabled()] += len(args[0])

    pipe.unet.register_forward_hook(count)
    # The tiny latents have no grid of a quarter.
    preset = replace(PRESETS[name], side=1.0)
    call = {"num_inference_steps": 10, "progress": False}
    excited = hl.excite(pipe, PROMPT, WORDS, preset=preset, seed=[0, 1], batch_size=2, **call)
    guided_calls = 11  # PNDM calls once more
    assert rows[False] == guided_calls * 2 * 2
    assert rows[True] == excited.passes.sum()
    # Latents are updated before five calls, with up to twenty refinements before three of them.
    assert (excited.passes > 5 + 20).all()
    assert (excited.passes <= 5 + 3 * 20).all()


def test_without_thresholds_there_is_one_pass_for_each_update(tiny_pipe):
    excited = hl.excite(tiny_pipe, PROMPT, WORDS, preset=Excitation(**QUIET), **CALL)
    assert excited.passes.tolist() == [2]


def test_vectors_weigh_each_word_by_its_own_concept(tiny_pipe):
    hrv = vectors(tiny_pipe)
    weights = weigh_heads(tiny_pipe, 2, hrv, ["Color", "Plants"])
    np.testing.assert_allclose(weights, hrv.sel(concept=["Color", "Plants"]))
    both = weigh_heads(tiny_pipe, 2, hrv, "Plants")
    np.testing.assert_allclose(both, hrv.sel(concept=["Plants", "Plants"]))
    assert (weigh_heads(tiny_pipe, 2, None, None) == 1).all()
    call = {"preset": Excitation(step_size=200.0, **QUIET), **CALL}
    alike = hl.excite(tiny_pipe, PROMPT, WORDS, **call)
    weighed = hl.excite(tiny_pipe, PROMPT, WORDS, hrv=hrv, concept="Plants", **call)
    ones = hl.excite(
        tiny_pipe, PROMPT, WORDS, hrv=hrv * 0 + 1, concept="Plants", **call, allow_other_model=True
    )
    assert (alike.images != weighed.images).any()
    np.testing.assert_array_equal(alike.images, ones.images)


def test_the_pipeline_is_left_as_it_was(tiny_pipe):
    next(tiny_pipe.unet.parameters()).requires_grad_(False)
    run_once(tiny_pipe)
    before = state(tiny_pipe)
    plain = hl.generate(tiny_pipe, PROMPT, num_inference_steps=4)
    hl.excite(tiny_pipe, PROMPT, WORDS, preset=Excitation(**QUIET), **CALL)
    assert state(tiny_pipe) == before
    np.testing.assert_array_equal(hl.generate(tiny_pipe, PROMPT, num_inference_steps=4), plain)


@pytest.mark.parametrize("at", [0, 1])
def test_the_pipeline_is_left_as_it_was_after_an_exception(tiny_pipe, at):
    run_once(tiny_pipe)
    before = state(tiny_pipe)
    layer = tiny_pipe.unet.get_submodule(cross_attention_layers(tiny_pipe.unet)[0].module)
    passes = 0

    def break_at(_, __, output):
        nonlocal passes
        passes += torch.is_grad_enabled()
        return output * torch.nan if torch.is_grad_enabled() and passes > at else output

    with (
        layer.to_q.register_forward_hook(break_at),
        pytest.raises(CoverageError, match=f"call {at}"),
    ):
        hl.excite(tiny_pipe, PROMPT, WORDS, preset=Excitation(**QUIET), **CALL)
    assert state(tiny_pipe) == before


def test_gradient_checkpointing_changes_nothing(tiny_pipe):
    call = {"preset": Excitation(step_size=2.0, **QUIET), **CALL}
    expected = hl.excite(tiny_pipe, PROMPT, WORDS, **call)
    tiny_pipe.unet.enable_gradient_checkpointing()
    tiny_pipe.unet.train()
    saved = hl.excite(tiny_pipe, PROMPT, WORDS, **call)
    np.testing.assert_array_equal(saved.images, expected.images)


def test_it_runs_without_guidance_and_at_other_sizes(tiny_pipe):
    call = {"preset": Excitation(step_size=2.0, **QUIET), "guidance_scale": 1.0, **CALL}
    excited = hl.excite(tiny_pipe, PROMPT, WORDS, height=16, width=32, **call)
    assert excited.images.shape == (1, 16, 32, 3)
    assert excited.passes.tolist() == [2]


def test_latents_replace_the_seeded_noise(tiny_pipe):
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    call = {"preset": Excitation(step_size=0.0, **QUIET), **CALL}
    excited = hl.excite(tiny_pipe, PROMPT, WORDS, seed=[0, 1], latents=noise, **call)
    plain = hl.generate(
        tiny_pipe, PROMPT, seed=[0, 1], latents=noise, num_inference_steps=4, batch_size=1
    )
    np.testing.assert_array_equal(excited.images, plain)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"words": ["car", "zebra"]}, TokenError, "'zebra' is not a word"),
        ({"words": []}, ParameterError, "list of words is empty"),
        ({"concept": "Color"}, ParameterError, "both hrv and concept"),
        ({"preset": "best"}, ParameterError, "no preset 'best'; there are: published-hrv"),
        ({"preset": "published-baseline"}, ParameterError, "no layer's grid has 0.25 .* 1/1, 1/2"),
        ({"preset": Excitation(1 / 8)}, ParameterError, "have one position and cannot be smoothed"),
        ({"num_images_per_prompt": 2}, ParameterError, "leave out num_images_per_prompt"),
        ({"latents": torch.zeros(2, 4, 8, 8)}, ParameterError, "latents has 2 values"),
        ({"seed": []}, ParameterError, "list of seeds is empty"),
        ({"batch_size": 0}, ParameterError, "batch_size is 0"),
    ],
)
def test_bad_calls_are_refused_before_anything_runs(tiny_pipe, given, error, message):
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: pytest.fail("the UNet ran"))
    with pytest.raises(error, match=message):
        hl.excite(tiny_pipe, PROMPT, **{"words": WORDS, "preset": Excitation(1 / 2), **given})


@pytest.mark.parametrize(
    ("concept", "error", "message"),
    [
        (["Color"], ParameterError, "2 words need one concept or one for each, got 1"),
        ("Hue", ConceptError, "no concept 'Hue'"),
        (None, ParameterError, "both hrv and concept"),
    ],
)
def test_concepts_must_fit_the_words(tiny_pipe, concept, error, message):
    with pytest.raises(error, match=message):
        hl.excite(tiny_pipe, PROMPT, WORDS, hrv=vectors(tiny_pipe), concept=concept)


def test_fused_projections_are_refused(tiny_pipe):
    tiny_pipe.fuse_qkv_projections()
    with pytest.raises(ModelError, match="unfuse_qkv_projections"):
        hl.excite(tiny_pipe, PROMPT, WORDS, preset=Excitation(1 / 2))


def test_vectors_of_another_model_and_pipelines_that_start_from_an_image_are_refused(tiny_pipe):
    with pytest.raises(ModelError, match="built from model"):
        hl.excite(tiny_pipe, PROMPT, WORDS, hrv=vectors(tiny_sd(seed=1)), concept="Color")
    other = StableDiffusionImg2ImgPipeline(**tiny_pipe.components, requires_safety_checker=False)
    with pytest.raises(ModelError, match="starts from an image"):
        hl.excite(other, PROMPT, WORDS)


def test_a_negative_prompt_and_an_image_prompt_are_those_of_the_plain_pipeline():
    pipe = add_ip_adapter(tiny_sd())
    call = {"num_inference_steps": 2, "progress": False, "negative_prompt": "a tree"}
    call["ip_adapter_image_embeds"] = [torch.randn(2, 1, 8)]
    plain = hl.generate(pipe, PROMPT, **call)
    still = hl.excite(pipe, PROMPT, WORDS, preset=Excitation(1 / 2, step_size=0), **call)
    np.testing.assert_array_equal(still.images, plain)
    updated = hl.excite(pipe, PROMPT, WORDS, preset=Excitation(1 / 2), **call)
    assert (updated.images != plain).any()
    silent = add_ip_adapter(tiny_sd(), scale=0.0)
    scaled = hl.excite(silent, PROMPT, WORDS, preset=Excitation(1 / 2), **call)
    call.pop("ip_adapter_image_embeds")
    without = hl.excite(tiny_sd(), PROMPT, WORDS, preset=Excitation(1 / 2), **call)
    np.testing.assert_allclose(scaled.images.astype(int), without.images, atol=1)


def test_a_negative_prompt_that_is_the_prompt_is_not_updated_in_its_place():
    # Refinements would multiply the rounding of another batch size.
    pipe, how = tiny_sd(), Excitation(1 / 2, thresholds={}, step_size=1.0)
    equal = hl.excite(pipe, PROMPT, WORDS, preset=how, negative_prompt=PROMPT, **CALL)
    alone = hl.excite(pipe, PROMPT, WORDS, preset=how, guidance_scale=1.0, **CALL)
    np.testing.assert_allclose(equal.images.astype(int), alone.images, atol=1)


def test_inference_mode_around_it_changes_nothing():
    pipe, how = tiny_sd(), Excitation(1 / 2)
    expected = hl.excite(pipe, PROMPT, WORDS, preset=how, **CALL)
    with torch.inference_mode():
        inferred = hl.excite(pipe, PROMPT, WORDS, preset=how, **CALL)
    np.testing.assert_array_equal(inferred.images, expected.images)


def test_within_attach_it_is_refused_with_the_remedy():
    pipe = tiny_sd()
    with hl.attach(pipe, prompts=PROMPT):
        with pytest.raises(ParameterError, match="call it outside the block"):
            hl.excite(pipe, PROMPT, WORDS, preset=Excitation(1 / 2), **CALL)
        hl.generate(pipe, PROMPT, **CALL)


@pytest.mark.parametrize(
    ("scheduler", "call", "moves"),
    [
        (EulerDiscreteScheduler, {"num_inference_steps": 8}, 4),
        (HeunDiscreteScheduler, {"num_inference_steps": 8}, 8),
        (EulerDiscreteScheduler, {"timesteps": [999, 857, 714, 571, 428, 285, 142, 1]}, 4),
    ],
)
def test_latents_are_updated_in_the_share_of_the_steps_whatever_the_scheduler(
    scheduler, call, moves
):
    pipe = tiny_sd()
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    how = Excitation(side=1, step_size=1.0, thresholds={}, until=0.5)
    excited = hl.excite(pipe, PROMPT, WORDS, preset=how, progress=False, **call)
    assert excited.passes.tolist() == [moves]


def inpainting(kind):
    """A pipeline for inpainting, whose UNet may be given the mask and the masked image too."""
    if kind == "sdxl":
        return StableDiffusionXLInpaintPipeline.from_pipe(tiny_sdxl())
    pipe = tiny_sd()
    if kind == "9 channels":
        pipe.register_modules(unet=tiny_unet(in_channels=9, attention_head_dim=2))
    return StableDiffusionInpaintPipeline.from_pipe(pipe)


MASKED = {
    "image": Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)),
    "mask_image": Image.fromarray(np.pad(np.full((8, 16), 255, np.uint8), ((8, 0), (0, 0)))),
    "height": 16,
    "width": 16,
    "num_inference_steps": 4,
}


@pytest.mark.parametrize(
    "kind", ["4 channels", "9 channels", pytest.param("sdxl", marks=pytest.mark.full)]
)
def test_every_word_is_excited_in_the_hole_of_an_image(kind):
    pipe, samples = inpainting(kind), []
    pipe.unet.register_forward_pre_hook(
        lambda _, args, given: samples.append(args[0] if args else given["sample"]),
        with_kwargs=True,
    )
    excite = {"seed": [3, 4], "batch_size": 2, "progress": False, **MASKED}
    settings = Excitation(**QUIET, until=1.0, step_size=0.0)
    still = hl.excite(pipe, PROMPT, WORDS, preset=settings, **excite)
    # Each pass with gradients is given what the pipeline's next call gives the conditional rows.
    passes = [(one, rest) for one, rest in itertools.pairwise(samples) if len(one) < len(rest)]
    assert len(passes) == still.passes[0] >= 4
    assert all(torch.equal(one, rest[2:]) for one, rest in passes)
    noise = initial_noise(pipe, [3, 4], 0)
    plain = {**MASKED, "seed": [3, 4], "strength": 1.0}
    np.testing.assert_array_equal(still.images, hl.generate(pipe, PROMPT, latents=noise, **plain))
    if kind == "9 channels":
        np.testing.assert_array_equal(still.images, hl.generate(pipe, PROMPT, **plain))
    excited = hl.excite(pipe, PROMPT, WORDS, preset=Excitation(**QUIET), **excite)
    assert (excited.images != still.images).any(axis=(1, 2, 3)).all()


def test_a_hole_that_starts_from_the_image_is_refused():
    with pytest.raises(ParameterError, match="strength is 0.5; excite updates noise alone"):
        hl.excite(inpainting("4 channels"), PROMPT, WORDS, strength=0.5, **MASKED)
