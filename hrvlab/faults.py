"""Keywords of a pipeline's call with which diffusers itself fails, alone or beside others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffusers.utils.torch_utils import unwrap_module

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# Those with which a class fails in diffusers 0.42 itself.
FAILING = {
    ("StableDiffusionPAGInpaintPipeline", "padding_mask_crop"),
    ("StableDiffusionPAGInpaintPipeline", "guidance_rescale"),
    ("StableDiffusionControlNetPAGPipeline", "guess_mode"),
    ("StableDiffusionInstructPix2PixPipeline", "ip_adapter_image_embeds"),
    ("StableDiffusionXLControlNetUnionPipeline", "guess_mode"),
    ("StableDiffusionXLControlNetUnionImg2ImgPipeline", "guess_mode"),
    ("StableDiffusionXLControlNetUnionInpaintPipeline", "guess_mode"),
    ("StableDiffusionXLControlNetUnionInpaintPipeline", "padding_mask_crop"),
    ("PixArtSigmaPAGPipeline", "pag_adaptive_scale"),
    ("SanaSprintPipeline", "timesteps"),
    ("SanaSprintImg2ImgPipeline", "timesteps"),
    ("StableDiffusion3ControlNetPipeline", "controlnet_pooled_projections"),
    ("StableDiffusion3ControlNetInpaintingPipeline", "controlnet_pooled_projections"),
    ("FluxFillPipeline", "masked_image_latents"),
    ("FluxControlInpaintPipeline", "masked_image_latents"),
    ("FluxControlInpaintPipeline", "latents"),
}
# Those whose one value a class does not repeat for several prompts.
NOT_REPEATED = {
    ("StableDiffusion3Img2ImgPipeline", "image"),
    ("FluxControlNetImg2ImgPipeline", "control_mode"),
    ("FluxControlNetInpaintPipeline", "control_mode"),
}


def check_taken(pipe: DiffusionPipeline, name: str, value: Any) -> None:
    """Check that a pipeline's class takes a keyword without failing in diffusers.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    name : str
        Of the keyword.
    value : object
        Of the keyword.

    Raises
    ------
    ParameterError
        If it does not.
    """
    if (type(pipe).__name__, name) in FAILING and not _is_off(value):
        raise ParameterError(
            f"{type(pipe).__name__} fails with {name} in diffusers itself; leave out {name}"
        )
    if name == "clip_skip" and value is not None:
        _check_clip_skip(pipe)


def _is_off(value: Any) -> bool:
    """Return whether a keyword's value means that it is not used."""
    return value is None or value is False or (isinstance(value, float) and value == 0)


def check_pairs(call: Mapping[str, Any], *, masked: bool) -> None:
    """Check keywords that pipelines take together only.

    Parameters
    ----------
    call : mapping of str to object
    masked : bool
        Whether text states come with a mask that hides padding.

    Raises
    ------
    ParameterError
        With what to give besides.
    """
    given = {name for name, value in call.items() if value is not None}
    both = "prompt_embeds" in given and call.get("negative_prompt", "") is None
    if masked and "negative_prompt_embeds" in given and not both:
        raise ParameterError(
            "negative_prompt_embeds are taken beside prompt_embeds and negative_prompt=None alone; "
            "give these too, or a negative_prompt"
        )
    pair = [call.get(name) for name in ("control_image", "control_mask")]
    if {"control_image", "control_mask"} <= given and len({isinstance(v, list) for v in pair}) > 1:
        raise ParameterError(
            "control_image and control_mask have other numbers of images; give each once for all "
            "prompts, or both for each"
        )


def _check_clip_skip(pipe: DiffusionPipeline) -> None:
    """Check that the pipeline can skip layers of its text encoder."""
    joined = hasattr(pipe, "text_encoder_2")
    if not joined and not hasattr(unwrap_module(pipe.text_encoder), "text_model"):
        raise ParameterError(
            "this diffusers looks for the text encoder's layers where this transformers does not "
            "keep them, and cannot skip any; leave out clip_skip, or give prompt_embeds"
        )
