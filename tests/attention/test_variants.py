"""Pipelines around the same UNets: which rows of their batches are read, and which are edited."""

import diffusers
import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.attention import TokenMeans, attach
from hrvlab.attention.injection import Injection
from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.alignment import Aligned
from hrvlab.models.heads import cross_attention_layers
from tests.attention.oracle import explicit
from tests.pipelines import tiny_sd
from tests.test_every_keyword import required
from tests.variants import variant

PROMPTS = ["a red car", "a cat on red"]
SAME = tuple(PROMPTS)
RED = (2, 4)  # its column in each prompt
CONTROLNET = "StableDiffusionControlNetPipeline"
PIX2PIX = "StableDiffusionInstructPix2PixPipeline"
PAG = "StableDiffusionPAGPipeline"
LCM = "LatentConsistencyModelPipeline"
# For each class and its keywords, the rows that are read and those that are edited.
ROWS = {
    (CONTROLNET, ()): ((2, 4), (2, 4)),
    (CONTROLNET, (("guess_mode", True),)): ((2, 4), (2, 4)),
    (CONTROLNET, (("guidance_scale", 1.0),)): ((0, 2), (0, 2)),
    ("StableDiffusionXLControlNetUnionPipeline", ()): ((2, 4), (2, 4)),
    ("StableDiffusionXLAdapterPipeline", ()): ((2, 4), (2, 4)),
    (PIX2PIX, ()): ((0, 2), (0, 2)),
    (PIX2PIX, (("negative_prompt", SAME),)): ((0, 2), (0, 2)),
    (PIX2PIX, (("guidance_scale", 1.0),)): ((0, 2), (0, 2)),
    ("StableDiffusionXLInstructPix2PixPipeline", (("negative_prompt", SAME),)): (
        (0, 2),
        (0, 2),
    ),
    (PAG, ()): ((2, 4), (2, 6)),
    (PAG, (("negative_prompt", SAME),)): ((2, 4), (2, 6)),
    (PAG, (("pag_scale", 0.0),)): ((2, 4), (2, 4)),
    (PAG, (("guidance_scale", 1.0),)): ((0, 2), (0, 4)),
    (LCM, ()): ((0, 2), (0, 2)),
}
EVERYDAY = [
    (PIX2PIX, (("negative_prompt", SAME),)),
    (PAG, ()),
]
CASES = [one if one in EVERYDAY else pytest.param(*one, marks=pytest.mark.full) for one in ROWS]


def latents(pipe, **call):
    # Adapters do not repeat one image for several prompts.
    if "Adapter" in type(pipe).__name__:
        call["image"] = [call["image"]] * len(PROMPTS)
    generators = [torch.Generator().manual_seed(number) for number in range(len(PROMPTS))]
    return pipe(PROMPTS, generator=generators, output_type="latent", **call).images


@pytest.mark.parametrize(("name", "more"), CASES)
def test_the_prompts_rows_are_read_and_edited_and_no_others(name, more):
    first, last = ROWS[name, more][0]
    edited = slice(*ROWS[name, more][1])
    pipe, call = variant(name), required(name) | dict(more)
    if "negative_prompt" in call:
        call["negative_prompt"] = list(call["negative_prompt"])
    layers = cross_attention_layers(pipe.unet)
    plain = latents(pipe, **call)
    means = TokenMeans()
    with attach(pipe, means, prompts=PROMPTS) as session:
        observed = latents(pipe, **call)
    assert torch.equal(observed, plain)
    assert session.call.conditional == slice(first, last)
    assert [row[2].word for row in session.tokens] == ["red", "cat"]
    edit = hl.Rescale(np.full(sum(layer.heads for layer in layers), -2.0), "red")
    with attach(pipe, edit, prompts=PROMPTS):
        found = latents(pipe, **call)

    def weaken(maps):
        maps = maps.clone()
        for number, column in enumerate(RED):
            maps[edited][number :: len(PROMPTS), :, :, column] *= -2
        return maps

    read = explicit(pipe, layers)
    latents(pipe, **call)
    for layer, processor in zip(layers, read, strict=True):
        for number, maps in enumerate(processor.maps):
            own = means.result()[:, number, layer.index, : layer.heads]
            np.testing.assert_allclose(own, maps[first:last].mean(dim=2), atol=2e-3)
    explicit(pipe, layers, [weaken] * len(layers))
    torch.testing.assert_close(found, latents(pipe, **call), atol=1e-4, rtol=1e-4)
    assert (found - plain).abs().max() > 1e-2


def test_an_edit_by_injection_acts_on_the_perturbed_pass_too():
    pipe, call = variant(PAG), {"num_inference_steps": 3}
    layers = cross_attention_layers(pipe.unet)
    pair = ["a red car", "a blue car"]
    heads = sum(layer.heads for layer in layers)
    injection = Injection([Aligned(np.eye(20), [2], [])], np.full(heads, 2.0), cross_share=1.0)
    with attach(pipe, injection, prompts=pair):
        found = pipe(pair, generator=seeded(), output_type="latent", **call).images

    def inject(maps):
        maps = maps.clone()
        for target in (3, 5):  # after two rows of the negative prompt, source and target twice
            own = maps[target, :, :, 2] * 2
            maps[target] = maps[target - 1]
            maps[target, :, :, 2] = own
        return maps

    explicit(pipe, layers, [inject] * len(layers))
    expected = pipe(pair, generator=seeded(), output_type="latent", **call).images
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def seeded():
    return [torch.Generator().manual_seed(number) for number in range(2)]


def test_a_run_that_fails_leaves_no_perturbed_processors():
    pipe = variant(PAG)
    before = dict(pipe.unet.attn_processors)
    with pytest.raises(ParameterError, match="other prompts"), attach(pipe, prompts="a dog"):
        pipe("a red car", num_inference_steps=2)
    assert pipe.unet.attn_processors == before


def test_perturbed_rows_are_not_taken_for_a_loops_own():
    pipe = variant(PAG)
    other = diffusers.StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)
    refused = pytest.raises(ParameterError, match="attach to the pipeline that guides")
    with refused, attach(other, prompts="a red car"):
        pipe("a red car", num_inference_steps=2)


class Unknown(diffusers.DiffusionPipeline):
    """A pipeline as people write them, whose batches are laid out in an order of its own."""

    def __init__(self, vae, text_encoder, tokenizer, unet, scheduler):
        super().__init__()
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler
        )

    @torch.no_grad()
    def __call__(self, prompt):
        ids = self.tokenizer([prompt, ""], padding="max_length", return_tensors="pt").input_ids
        states = self.text_encoder(ids).last_hidden_state
        self.scheduler.set_timesteps(2)
        sample = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        for timestep in self.scheduler.timesteps:
            own, other = self.unet(torch.cat([sample] * 2), timestep, states).sample.chunk(2)
            sample = self.scheduler.step(3 * own - 2 * other, timestep, sample).prev_sample
        return sample


def test_an_unknown_class_is_refused_with_a_remedy_that_works():
    parts = tiny_sd().components
    parts = {name: parts[name] for name in Unknown.__init__.__code__.co_varnames[1:6]}
    pipe = Unknown(**parts)
    with pytest.raises(
        ModelError, match="attach to a supported pipeline of the same parts"
    ) as refused:
        hl.capture(pipe, "a red car")
    assert "with prompts=" in str(refused.value)
    plain = pipe("a red car")
    means = TokenMeans()
    checker = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    base = diffusers.StableDiffusionPipeline(**pipe.components, **checker)
    with attach(base, means, prompts=["a red car"]) as session:
        observed = pipe("a red car")
    assert torch.equal(observed, plain)
    assert session.call.conditional == slice(0, 1)
    assert means.result().shape[:2] == (1, 3)


def test_an_inpainting_unet_of_nine_channels_is_read():
    pipe = variant("StableDiffusionInpaintPipeline", in_channels=9)
    call = required("StableDiffusionInpaintPipeline")
    means = TokenMeans()
    with attach(pipe, means, prompts=PROMPTS) as session:
        observed = latents(pipe, **call)
    assert torch.equal(observed, latents(pipe, **call))
    assert session.call.conditional == slice(2, 4)
