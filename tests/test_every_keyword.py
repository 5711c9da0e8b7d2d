"""Every keyword of every supported pipeline's call: honored bit for bit, or refused beforehand."""

import inspect

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from peft import LoraConfig
from PIL import Image

import hrvlab as hl
from hrvlab.errors import ParameterError
from hrvlab.faults import FAILING
from hrvlab.models.families import FAMILIES
from hrvlab.models.heads import cross_attention_layers
from tests.attention.oracle import explicit
from tests.pipelines import BETAS, add_ip_adapter
from tests.variants import variant

PROMPTS = ["a red car", "a cat on red"]
UNETS = [family for family in FAMILIES if family.component == "unet"]
CLASSES = [name for family in UNETS for name in family.pipelines]
# Refused for every class; the message names the keyword and says why.
REFUSED = {"prompt_2", "output_type", "return_dict"}
NEGATIVE_SIZES = {"negative_original_size": (8, 8), "negative_target_size": (16, 16)}
ADAPTED = {"ip_adapter_image", "ip_adapter_image_embeds"}


def build(name, keyword):
    euler = keyword in ("timesteps", "sigmas")
    scheduler = (
        EulerDiscreteScheduler(**BETAS)
        if euler
        else DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False)
    )
    pipe = variant(name, scheduler, add_ip_adapter if keyword in ADAPTED else None)
    if keyword == "cross_attention_kwargs":
        targets = ["to_q", "to_k", "to_v", "to_out.0"]
        pipe.unet.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    return pipe


def picture(number):
    noise = np.random.default_rng(number).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def mask():
    lower = np.zeros((16, 16), np.uint8)
    lower[8:] = 255
    return Image.fromarray(lower)


def encoded(pipe, negative=False):
    """Encode the prompts as keywords of a call, of all text states that a class needs."""
    texts = ["blue dog"] * 2 if negative else PROMPTS
    if not hasattr(pipe, "encode_prompt"):
        states = pipe._encode_prompt(texts, "cpu", 1, False)
        return {f"{'negative_' * negative}prompt_embeds": states}
    states, _, *pooled = pipe.encode_prompt(
        prompt=texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    start = "negative_" if negative else ""
    given = {f"{start}prompt_embeds": states}
    return given | ({f"{start}pooled_prompt_embeds": pooled[0]} if pooled else {})


def note(pipe, step, timestep, given):
    return given


def latents_of_a_start(pipe):
    """Return a start with latents, which the other inpainting pipelines do not take as images."""
    name = type(pipe).__name__
    if "Inpaint" in name and name != "StableDiffusionXLInpaintPipeline":
        return {"denoising_start": 0.5}
    return {"denoising_start": 0.5, "image": torch.ones(2, 4, 8, 8)}


def control_images(pipe):
    """Return an image for each prompt; those of a union are listed by its control modes."""
    images = [picture(0), picture(1)]
    return {"control_image": [images] if "Union" in type(pipe).__name__ else images}


VALUES = {
    "prompt_2": lambda pipe: {"prompt_2": "a dog"},
    "image": lambda pipe: {"image": [picture(0), picture(1)]},
    "mask_image": lambda pipe: {"mask_image": [mask(), mask()]},
    "masked_image_latents": lambda pipe: {"masked_image_latents": torch.ones(2, 4, 8, 8)},
    "height": lambda pipe: {"height": np.int64(24)},
    "width": lambda pipe: {"width": 32},
    "padding_mask_crop": lambda pipe: {"padding_mask_crop": 2},
    "strength": lambda pipe: {"strength": 0.5},
    "num_inference_steps": lambda pipe: {"num_inference_steps": np.int64(3)},
    "timesteps": lambda pipe: {"timesteps": np.array([900, 600, 300, 100])},
    "sigmas": lambda pipe: {"sigmas": [10.0, 4.0, 1.0, 0.2]},
    "denoising_start": latents_of_a_start,
    "denoising_end": lambda pipe: {"denoising_end": 0.5},
    "guidance_scale": lambda pipe: {"guidance_scale": 1.0},
    "negative_prompt": lambda pipe: {"negative_prompt": ["blue dog", "a tree"]},
    "negative_prompt_2": lambda pipe: {"negative_prompt_2": ["blue dog", "a tree"]},
    "num_images_per_prompt": lambda pipe: {"num_images_per_prompt": 2},
    "eta": lambda pipe: {"eta": 0.5},
    "generator": lambda pipe: {},
    "latents": lambda pipe: {"latents": torch.randn(2, 4, 8, 8)},
    "prompt_embeds": encoded,
    "pooled_prompt_embeds": encoded,
    "negative_prompt_embeds": lambda pipe: encoded(pipe, negative=True),
    "negative_pooled_prompt_embeds": lambda pipe: encoded(pipe, negative=True),
    "ip_adapter_image": lambda pipe: {"ip_adapter_image": picture(2)},
    "ip_adapter_image_embeds": lambda pipe: {
        # One for each branch of the guidance.
        "ip_adapter_image_embeds": [torch.randn(3 if "Pix2Pix" in type(pipe).__name__ else 2, 1, 8)]
    },
    "output_type": lambda pipe: {"output_type": "pil"},
    "return_dict": lambda pipe: {"return_dict": False},
    "cross_attention_kwargs": lambda pipe: {"cross_attention_kwargs": {"scale": 0.5}},
    "guidance_rescale": lambda pipe: {"guidance_rescale": 0.7},
    "original_size": lambda pipe: {"original_size": (32, 16)},
    "crops_coords_top_left": lambda pipe: {"crops_coords_top_left": (4, 0)},
    "target_size": lambda pipe: {"target_size": (32, 16)},
    "negative_original_size": lambda pipe: NEGATIVE_SIZES,
    "negative_crops_coords_top_left": lambda pipe: {"negative_crops_coords_top_left": (2, 2)},
    "negative_target_size": lambda pipe: NEGATIVE_SIZES,
    "aesthetic_score": lambda pipe: {"aesthetic_score": 7.0},
    "negative_aesthetic_score": lambda pipe: {"negative_aesthetic_score": 1.0},
    "clip_skip": lambda pipe: {"clip_skip": 1},
    "control_image": control_images,
    "controlnet_conditioning_scale": lambda pipe: {"controlnet_conditioning_scale": 0.3},
    "guess_mode": lambda pipe: {"guess_mode": True},
    "control_guidance_start": lambda pipe: {"control_guidance_start": 0.3},
    "control_guidance_end": lambda pipe: {"control_guidance_end": [0.6]},
    "control_mode": lambda pipe: {"control_mode": [1]},
    "adapter_conditioning_scale": lambda pipe: {"adapter_conditioning_scale": 0.3},
    "adapter_conditioning_factor": lambda pipe: {"adapter_conditioning_factor": 0.5},
    "pag_scale": lambda pipe: {"pag_scale": np.float64(1.5)},
    "pag_adaptive_scale": lambda pipe: {"pag_adaptive_scale": 0.01},
    "image_guidance_scale": lambda pipe: {"image_guidance_scale": 2.0},
    "original_inference_steps": lambda pipe: {"original_inference_steps": 20},
    "depth_map": lambda pipe: {"depth_map": torch.rand(2, 8, 8)},
    "callback": lambda pipe: {"callback": lambda *_: None},
    "callback_steps": lambda pipe: {"callback": lambda *_: None, "callback_steps": 2},
    "callback_on_step_end": lambda pipe: {"callback_on_step_end": note},
    "callback_on_step_end_tensor_inputs": lambda pipe: {
        "callback_on_step_end": note,
        "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"],
    },
}
EVERY = [
    (name, keyword)
    for name in CLASSES
    for keyword in inspect.signature(getattr(diffusers, name).__call__).parameters
    if keyword not in ("self", "prompt", "kwargs")
]
EVERYDAY = {
    ("StableDiffusionPipeline", "num_images_per_prompt"),
    ("StableDiffusionPipeline", "clip_skip"),
    ("StableDiffusionPipeline", "output_type"),
    ("StableDiffusionImg2ImgPipeline", "image"),
    ("StableDiffusionInpaintPipeline", "padding_mask_crop"),
    ("StableDiffusionXLPipeline", "prompt_embeds"),
    ("StableDiffusionXLPipeline", "denoising_end"),
    ("StableDiffusionControlNetPipeline", "guess_mode"),
    ("StableDiffusionControlNetImg2ImgPipeline", "control_image"),
    ("StableDiffusionXLControlNetUnionPipeline", "control_image"),
    ("StableDiffusionXLAdapterPipeline", "denoising_end"),
    ("StableDiffusionPAGPipeline", "pag_scale"),
    ("StableDiffusionInstructPix2PixPipeline", "image"),
    ("StableDiffusionXLInstructPix2PixPipeline", "negative_prompt"),
    ("LatentConsistencyModelImg2ImgPipeline", "original_inference_steps"),
    ("StableDiffusionDepth2ImgPipeline", "depth_map"),
}


def required(name):
    """Return the keywords that a class cannot do without, and a size where it takes one."""
    call = {"num_inference_steps": 4}
    keywords = inspect.signature(getattr(diffusers, name).__call__).parameters
    if "strength" in keywords or "Pix2Pix" in name:
        call |= {"image": picture(0)}
    if "strength" in keywords:
        call |= {"strength": 0.8}
    if "Inpaint" in name:
        call |= {"mask_image": mask(), "height": 16, "width": 16}
    if "ControlNet" in name or "Adapter" in name:
        call |= {"control_image" if "control_image" in keywords else "image": picture(5)}
    if "Union" in name:
        call |= {"control_mode": 0}
    if "Depth2Img" in name:
        call |= {"depth_map": torch.rand(1, 8, 8)}
    return call


class Watch:
    """Counts the calls of a pipeline's UNet, with their timesteps and numbers of rows."""

    def __init__(self, pipe):
        self.timesteps, self.rows = [], []
        pipe.unet.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, _, args, kwargs):
        sample, timestep = args[:2]
        self.timesteps.append(float(timestep))
        self.rows.append(len(sample))


def has_text_model(pipe):
    return hasattr(pipe.text_encoder, "text_model")


def generators():
    return [torch.Generator().manual_seed(number) for number in range(2)]


@pytest.mark.parametrize(
    ("name", "keyword"),
    [one if one in EVERYDAY else pytest.param(*one, marks=pytest.mark.full) for one in EVERY],
)
def test_a_keyword_is_honored_as_by_the_plain_pipeline_or_refused_beforehand(name, keyword):
    pipe = build(name, keyword)
    torch.manual_seed(3)
    call = required(name) | VALUES[keyword](pipe)
    copies = call.get("num_images_per_prompt", 1)
    random = {"generator": [g for g in generators() for _ in range(copies)]}
    watch = Watch(pipe)
    # diffusers looks for a part of CLIPTextModel that transformers has renamed.
    unread = keyword == "clip_skip" and "XL" not in name and not has_text_model(pipe)
    failing = (name, keyword) in FAILING
    if keyword in REFUSED or unread or failing:
        with pytest.raises(ParameterError, match=f"leave out {keyword}"):
            hl.capture(pipe, PROMPTS, progress=False, **random, **call)
        assert not watch.timesteps
        if failing:
            with pytest.raises((RuntimeError, ValueError, TypeError, NameError, AttributeError)):
                pipe(PROMPTS, **random, **call)
        return
    ds = hl.capture(pipe, PROMPTS, progress=False, **random, **call)
    seen = list(watch.timesteps)
    call = {key: own.item() if isinstance(own, np.generic) else own for key, own in call.items()}
    if "Adapter" in name and not isinstance(call["image"], list):
        call["image"] = [call["image"]] * len(PROMPTS)  # diffusers repeats it for no prompts
    watch.timesteps.clear()
    watch.rows.clear()
    random["generator"] = [g for g in generators() for _ in range(copies)]
    prompts = None if "prompt_embeds" in call else PROMPTS
    kind = {"output_type": "pil" if "padding_mask_crop" in call else "np"}
    plain = pipe(prompts, **random, **kind, **call).images
    images = np.stack([np.asarray(image) for image in plain])
    expected = images if images.dtype == np.uint8 else np.round(images * 255).astype(np.uint8)
    np.testing.assert_array_equal(ds["image"], expected)
    assert ds["scheduler_timestep"].values.tolist() == watch.timesteps == seen
    _check_tokens(ds, call, copies)
    if keyword not in ADAPTED:
        random["generator"] = [g for g in generators() for _ in range(copies)]
        _check_maps(pipe, ds, lambda: pipe(prompts, **random, **kind, **call))


def _check_tokens(ds, call, copies):
    if "prompt_embeds" in call:
        assert ds["token_text"].values[0].tolist() == [str(n) for n in range(20)]
        return
    for text, words in zip(np.repeat(PROMPTS, copies), ds["word"].values, strict=True):
        assert [word for word in words if word] == text.split()


def _check_maps(pipe, ds, run):
    """Compare with maps that attention processors materialize in the same run."""
    layers = cross_attention_layers(pipe.unet)
    processors = explicit(pipe, layers)
    run()
    for layer, processor in zip(layers, processors, strict=True):
        rows = ds.sizes["prompt"]
        for number, maps in enumerate(processor.maps):
            means = _of_prompts(type(pipe).__name__, maps, rows).mean(dim=2).numpy()
            read = ds["attention"].values[:, number, layer.index, : layer.heads]
            np.testing.assert_allclose(read, means, atol=2e-3)


def _of_prompts(name, maps, rows):
    """Select the rows of the prompts: as a rule, after those of the negative prompts."""
    if "Pix2Pix" in name:
        return maps[:rows]  # before those of the image alone, and of neither
    if "PAG" in name:
        return maps[-2 * rows : -rows]  # before those that are perturbed
    return maps[-rows:]
