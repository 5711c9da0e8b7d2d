"""Every keyword of every supported transformer's call: honored bit for bit, or refused."""

import inspect

import diffusers
import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from peft import LoraConfig

import hrvlab as hl
from hrvlab.errors import ParameterError
from hrvlab.faults import FAILING, NOT_REPEATED
from hrvlab.models.families import FAMILIES, denoiser_of, find_family
from hrvlab.models.heads import cross_attention_layers
from hrvlab.noise import global_noise
from tests.attention.oracle import explicit
from tests.joint_oracle import explicit_joint
from tests.joint_reference import Reference, lengths_given
from tests.pipelines import BETAS
from tests.test_every_keyword import (
    ADAPTED,
    PROMPTS,
    REFUSED,
    VALUES,
    control_images,
    generators,
    mask,
    picture,
)
from tests.tiny_families import FAMILIES as TINY_FAMILIES
from tests.transformer_variants import CALLS, family_name, transformer_variant

CLASSES = [n for family in FAMILIES if family.component == "transformer" for n in family.pipelines]
JOINT = [n for family in FAMILIES if family.by_mode for n in family.pipelines]
LORA = ("joint_attention_kwargs", "attention_kwargs")
NEVER = REFUSED | {"prompt_3"}
TARGETS = ["to_q", "to_k", "to_v", "add_k_proj", "add_v_proj", "to_out.0"]


def build(name, keyword):
    net = {"num_mode": 3} if keyword == "control_mode" else {}
    if keyword == "controlnet_pooled_projections":
        net = {"force_zeros_for_pooled_projection": False}
    scheduler = None
    if name.startswith("PixArt") and keyword in ("sigmas", "timesteps"):
        scheduler = EulerDiscreteScheduler(**BETAS)
    elif name.startswith("StableDiffusion3") and keyword == "mu":
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    pipe = transformer_variant(name, scheduler, **net)
    if keyword in LORA:
        lora = LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False)
        pipe.transformer.add_adapter(lora)
    return pipe


def required(name, keyword):
    """Return the keywords that a class cannot do without, and those that make one matter."""
    keywords = inspect.signature(getattr(diffusers, name).__call__).parameters
    call = dict(CALLS[family_name(name)])
    values = {"image": picture(0), "strength": 0.8, "mask_image": mask(), "control_mask": mask()}
    if "strength" in keywords:
        values |= {"num_inference_steps": 5}
    values |= {"control_image": picture(5)}
    if "SanaSprint" in name:
        values |= {"num_inference_steps": 2}
    refused = find_family([name]).keywords_refused
    call |= {key: own for key, own in values.items() if key in keywords and key not in refused}
    if "mask_image" in keywords or "control_image" in keywords:
        call |= {key: own for key, own in {"height": 16, "width": 16}.items() if key not in call}
    if "true_cfg_scale" in keywords and keyword.startswith("negative_"):
        call |= {"true_cfg_scale": 2.0}
    return call


def sides(pipe):
    """Return a side other than the usual that a class takes."""
    own = {"SanaTransformer2DModel": 64, "CogView4Transformer2DModel": 32}
    own |= {"LuminaNextDiT2DModel": 32, "HunyuanDiT2DModel": 32}
    if type(pipe).__name__ in ("ZImageImg2ImgPipeline", "ZImageInpaintPipeline"):
        return 16  # they do not fit an image to another size
    return own.get(type(pipe.transformer).__name__, 24)


def encoded(pipe, negative=False):
    """Encode the prompts as keywords of a call, of all text states that a class needs."""
    name = type(pipe).__name__
    there = inspect.signature(pipe.encode_prompt).parameters
    given = {"prompt_2": None, "prompt_3": None, "do_classifier_free_guidance": False}
    given |= {key: own for key, own in CALLS[family_name(name)].items() if key in there}
    given = {key: own for key, own in given.items() if key in there}
    if "device" in there:
        given["device"] = "cpu"
    states, *others = pipe.encode_prompt(
        prompt=["blue dog"] * 2 if negative else list(PROMPTS), **given
    )
    start = "negative_" * negative
    if name.startswith("StableDiffusion3"):
        return {f"{start}prompt_embeds": states, f"{start}pooled_prompt_embeds": others[1]}
    if name.startswith("Flux") and not name.startswith("Flux2"):
        return {f"{start}prompt_embeds": states, f"{start}pooled_prompt_embeds": others[0]}
    if name.startswith("Qwen"):
        return {f"{start}prompt_embeds": states, f"{start}prompt_embeds_mask": others[0]}
    if family_name(name) in TINY_FAMILIES and not name.startswith(("Aura", "Lumina")):
        return {f"{start}prompt_embeds": states}
    masks = others[1 if name.startswith("Chroma") else 0]
    return {f"{start}prompt_embeds": states, f"{start}prompt_attention_mask": masks}


def negative(pipe):
    """Encode a negative prompt, beside which PixArt and Sana take no text."""
    name = type(pipe).__name__
    beside = {} if name in JOINT else {"negative_prompt": None, **encoded(pipe)}
    if name.startswith(("CogView", "Lumina", "Ovis", "AuraFlow")):
        beside = encoded(pipe)
    return beside | encoded(pipe, negative=True)


def latents(pipe):
    """Return latents as a class takes them: packed, or of the size of its images."""
    name = type(pipe).__name__
    if name.startswith("Flux2"):
        return {"latents": torch.randn(2, 16, 4, 4)}
    if name.startswith(("Flux", "Chroma", "Qwen", "Bria", "Ovis", "LongCat")):
        return {"latents": torch.randn(2, 16, 64 if name.startswith("LongCat") else 16)}
    side = 16 if name.startswith("Sana") else 8
    return {"latents": torch.randn(2, pipe.vae.config.latent_channels, side, side)}


def masked_latents(pipe):
    """Return what a mask leaves: latents, where these have 16 channels, or images."""
    channels = pipe.vae.config.latent_channels
    shape = (2, 3, 16, 16) if channels == 4 else (2, channels, 8, 8)
    return {"masked_image_latents": torch.ones(shape)}


def control(pipe):
    """Return an image for each prompt, and a mask, where a class takes one."""
    more = {"control_mask": [mask(), mask()]} if "Inpainting" in type(pipe).__name__ else {}
    return control_images(pipe) | more


def steps(pipe):
    """Return a number of steps; Sana-Sprint has two unless told otherwise."""
    own = {"intermediate_timesteps": None} if "Sprint" in type(pipe).__name__ else {}
    return {"num_inference_steps": np.int64(3), **own}


def sigmas(pipe):
    """Return sigmas; CogView 4 takes as many as steps."""
    own = [0.9, 0.6, 0.3, 0.1]
    return {"sigmas": own[:3] if type(pipe).__name__.startswith("CogView4") else own}


SLG = {"skip_guidance_layers": [1], "skip_layer_guidance_stop": 0.9}
# True guidance does nothing without a negative prompt.
OWN = {
    "prompt_3": lambda pipe: {"prompt_3": "a dog"},
    "image": lambda pipe: {"image": [picture(0), picture(1)]},
    "control_image": control,
    "control_mode": lambda pipe: {"control_mode": 1},
    "num_inference_steps": steps,
    "masked_image_latents": masked_latents,
    "height": lambda pipe: {"height": np.int64(sides(pipe))},
    "width": lambda pipe: {"width": 2 * sides(pipe)},
    "strength": lambda pipe: {"strength": 0.5},
    "timesteps": lambda pipe: {"timesteps": np.array([900, 600, 300])},
    "sigmas": sigmas,
    "negative_prompt_3": lambda pipe: {"negative_prompt_3": ["blue dog", "a tree"]},
    "latents": latents,
    "prompt_embeds": encoded,
    "prompt_attention_mask": encoded,
    "pooled_prompt_embeds": encoded,
    "negative_prompt_embeds": negative,
    "negative_prompt_attention_mask": negative,
    "negative_pooled_prompt_embeds": negative,
    "clean_caption": lambda pipe: {"clean_caption": True},
    "use_resolution_binning": lambda pipe: {"use_resolution_binning": False},
    "max_sequence_length": lambda pipe: {"max_sequence_length": 28},
    "attention_kwargs": lambda pipe: {"attention_kwargs": {"scale": 0.5}},
    "joint_attention_kwargs": lambda pipe: {"joint_attention_kwargs": {"scale": 0.5}},
    "complex_human_instruction": lambda pipe: {"complex_human_instruction": ["a cat", "day: "]},
    "max_timesteps": lambda pipe: {"max_timesteps": 1.5},
    "intermediate_timesteps": lambda pipe: {"intermediate_timesteps": 1.1},
    "skip_guidance_layers": lambda pipe: SLG,
    "skip_layer_guidance_scale": lambda pipe: SLG | {"skip_layer_guidance_scale": 2.0},
    "skip_layer_guidance_start": lambda pipe: SLG | {"skip_layer_guidance_start": 0.4},
    "skip_layer_guidance_stop": lambda pipe: SLG | {"skip_layer_guidance_stop": 0.6},
    "mu": lambda pipe: {"mu": 0.7},
    "control_mask": control,
    "controlnet_pooled_projections": lambda pipe: {
        "controlnet_pooled_projections": torch.randn(2, 32)
    },
    "true_cfg_scale": lambda pipe: {"true_cfg_scale": 2.0, "negative_prompt": "blue dog"},
    "prompt_embeds_mask": encoded,
    "negative_prompt_embeds_mask": negative,
    "text_encoder_out_layers": lambda pipe: {"text_encoder_out_layers": (0, 1, 2)},
    "caption_upsample_temperature": lambda pipe: {"caption_upsample_temperature": 0.2},
    "cfg_normalization": lambda pipe: {"cfg_normalization": True},
    "cfg_truncation": lambda pipe: {"cfg_truncation": 0.5},
    "system_prompt": lambda pipe: {"system_prompt": "a style"},
    "cfg_trunc_ratio": lambda pipe: {"cfg_trunc_ratio": 1.0},
    "enable_cfg_renorm": lambda pipe: {"enable_cfg_renorm": False},
    "cfg_renorm_min": lambda pipe: {"cfg_renorm_min": 0.5},
    "enable_prompt_rewrite": lambda pipe: {"enable_prompt_rewrite": False},
    "clip_value": lambda pipe: {"clip_value": 1.0},
    "normalize": lambda pipe: {"normalize": True},
    "negative_ip_adapter_image": lambda pipe: {"negative_ip_adapter_image": picture(2)},
    "negative_ip_adapter_image_embeds": lambda pipe: {
        "negative_ip_adapter_image_embeds": [torch.randn(2, 1, 8)]
    },
}
EVERY = [
    (name, keyword)
    for name in CLASSES
    for keyword in inspect.signature(getattr(diffusers, name).__call__).parameters
    if keyword not in ("self", "prompt", "kwargs")
]
EVERYDAY = {
    ("PixArtSigmaPAGPipeline", "pag_scale"),
    ("SanaControlNetPipeline", "control_image"),
    ("SanaSprintImg2ImgPipeline", "strength"),
    ("StableDiffusion3InpaintPipeline", "mask_image"),
    ("StableDiffusion3ControlNetPipeline", "control_image"),
    ("FluxImg2ImgPipeline", "image"),
    ("FluxFillPipeline", "mask_image"),
    ("FluxControlPipeline", "num_images_per_prompt"),
    ("FluxControlNetPipeline", "joint_attention_kwargs"),
    ("FluxPipeline", "ip_adapter_image"),
    ("ChromaImg2ImgPipeline", "strength"),
    ("QwenImagePipeline", "true_cfg_scale"),
    ("QwenImageInpaintPipeline", "mask_image"),
    ("ZImageImg2ImgPipeline", "strength"),
    ("ZImagePipeline", "cfg_truncation"),
    ("Flux2KleinPipeline", "image"),
    ("CogView4ControlPipeline", "control_image"),
    ("Lumina2Pipeline", "negative_prompt"),
}


def test_negative_states_beside_a_prompt_are_refused_where_diffusers_takes_none():
    pipe = transformer_variant("SanaPipeline")
    given = encoded(pipe, negative=True)
    with pytest.raises(ParameterError, match="beside prompt_embeds and negative_prompt=None alone"):
        hl.generate(pipe, PROMPTS, **CALLS["Sana"], **given)


def test_a_list_of_one_image_is_that_image_for_all_prompts():
    pipe = transformer_variant("StableDiffusion3Img2ImgPipeline")
    call = CALLS["Stable Diffusion 3 and 3.5"] | {"progress": False}
    one, listed = (
        hl.generate(pipe, PROMPTS, image=own, **call) for own in (picture(0), [picture(0)])
    )
    np.testing.assert_array_equal(one, listed)


def test_a_mask_for_all_prompts_beside_an_image_for_each_is_refused():
    pipe = transformer_variant("StableDiffusion3ControlNetInpaintingPipeline")
    with pytest.raises(ParameterError, match="have other numbers of images"):
        hl.generate(pipe, PROMPTS, control_image=[picture(0)] * 2, control_mask=mask())


class Watch:
    """Counts the calls of a denoiser that are steps of the prompts."""

    def __init__(self, pipe):
        self.calls = 0
        pipe.transformer.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, _, args, kwargs):
        self.calls += 1


@pytest.mark.parametrize(
    ("name", "keyword"),
    [one if one in EVERYDAY else pytest.param(*one, marks=pytest.mark.full) for one in EVERY],
)
def test_a_keyword_is_honored_as_by_the_plain_pipeline_or_refused_beforehand(name, keyword):
    pipe = build(name, keyword)
    torch.manual_seed(3)
    value = (OWN | {key: own for key, own in VALUES.items() if key not in OWN})[keyword](pipe)
    call = required(name, keyword) | value
    copies = call.get("num_images_per_prompt", 1)
    random = {"generator": [g for g in generators() for _ in range(copies)]}
    watch = Watch(pipe)
    adapted = keyword.removeprefix("negative_") in ADAPTED
    failing = (name, keyword) in FAILING
    refused = keyword in find_family([name]).keywords_refused
    if keyword in NEVER or adapted or failing or refused:
        with pytest.raises(ParameterError, match=f"leave out {keyword}"):
            hl.capture(pipe, PROMPTS, progress=False, **random, **call)
        assert not watch.calls
        if failing:
            with pytest.raises((RuntimeError, ValueError, TypeError, NameError, AttributeError)):
                pipe(prompt=list(PROMPTS), **random, **call)
        return
    ds = hl.capture(pipe, PROMPTS, progress=False, **random, **call)
    seen, watch.calls = watch.calls, 0
    call = {key: own.item() if isinstance(own, np.generic) else own for key, own in call.items()}
    for one in ("image", "control_mode"):
        if (name, one) in NOT_REPEATED and one in call and not isinstance(call[one], list):
            call[one] = [call[one]] * len(PROMPTS) * copies
    prompts = None if "prompt_embeds" in call else PROMPTS
    kind = {"output_type": "pil" if "padding_mask_crop" in call else "np"}

    def run():
        again = [g for g in generators() for _ in range(copies)]
        with global_noise(pipe, 0, 0):
            # Z-Image changes the lists of texts that it is given.
            texts = {
                key: list(own) if isinstance(own, list) else own
                for key, own in {"prompt": prompts, **call}.items()
            }
            return pipe(generator=again, **kind, **texts).images

    images = np.stack([np.asarray(image) for image in run()])
    expected = images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)
    np.testing.assert_array_equal(ds["image"], expected)
    assert watch.calls == seen
    every = {float(one) for one in pipe.scheduler.timesteps}
    assert {float(one) for one in ds["scheduler_timestep"].values} <= every
    check = check_joint if name in JOINT else check_cross
    if family_name(name) in TINY_FAMILIES:
        check = check_family
    check(pipe, ds, run)


def check_cross(pipe, ds, run):
    """Compare with maps that attention processors materialize in the same run."""
    layers = cross_attention_layers(denoiser_of(pipe))
    processors = explicit(pipe, layers)
    run()
    rows = ds.sizes["prompt"]
    perturbed = getattr(pipe, "do_perturbed_attention_guidance", False)
    for layer, processor in zip(layers, processors, strict=True):
        assert len(processor.maps) == ds.sizes["timestep"]
        for number, maps in enumerate(processor.maps):
            # The prompts' rows stand before those that are perturbed.
            own = maps[-2 * rows : -rows] if perturbed else maps[-rows:]
            read = ds["attention"].values[:, number, layer.index, : layer.heads]
            np.testing.assert_allclose(read, own.detach().mean(dim=2), atol=1e-4)


def check_joint(pipe, ds, run):
    """Compare with the text columns of maps that are materialized in the same run."""
    with explicit_joint(pipe.transformer) as calls:
        run()
    steps, rows, columns = (ds.sizes[dim] for dim in ("timestep", "prompt", "token"))
    first = family_name(type(pipe).__name__) in ("FLUX.1", "Chroma")
    assert len(calls) in ((steps, 2 * steps) if first else (steps,))
    for number, maps_of_layers in enumerate(calls[:: len(calls) // steps]):
        for layer, maps in enumerate(maps_of_layers):
            own = maps.detach()[-rows:]
            own = own[:, :, columns:, :columns] if first else own[:, :, :-columns, -columns:]
            read = ds["attention"].values[:, number, layer]
            np.testing.assert_allclose(read, own.mean(dim=2), atol=1e-4)


def check_family(pipe, ds, run):
    """Compare with the text columns of maps that are materialized in the same run."""
    joint = TINY_FAMILIES[family_name(type(pipe).__name__)]
    pixels = ds.sizes["y"] * ds.sizes["x"] // joint.position**2
    reference = Reference(joint, pipe, pixels, guided=False)
    with (
        lengths_given(pipe) as given,
        reference.explicit(pipe) as calls,
    ):
        run()
    steps, rows = ds.sizes["timestep"], ds.sizes["prompt"]
    each = len(calls) // steps
    assert len(calls) == steps * each
    for number, maps_of_layers in enumerate(calls[::each]):
        for layer, maps in enumerate(maps_of_layers):
            own = maps[:rows] if joint.branches == "prompt first" else maps[-rows:]
            read = ds["attention"].values[:, number, layer]
            for means, row, length in zip(read, own, given[number * each], strict=False):
                expected = reference.parts(row, means.shape[1], length).mean(dim=1)
                np.testing.assert_allclose(means[:, : expected.shape[1]], expected, atol=1e-4)
