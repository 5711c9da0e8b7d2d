"""Why the heads of a pipeline are not read: of those in diffusers, and of any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrvlab.models.refused import UNETS, Refused

if TYPE_CHECKING:
    from torch import nn


REFUSED = (
    Refused(
        "not yet",
        "words and image share one softmax (joint attention), and the keys of words change with "
        "the image, so that a word alone has no key",
        (
            "HunyuanImagePipeline",
            "HiDreamImagePipeline",
            "ErnieImagePipeline",
            "Krea2Pipeline",
            "Ideogram4Pipeline",
        ),
    ),
    Refused(
        "not yet",
        "words and image share one softmax (joint attention), though the keys of words are the "
        "same in all calls",
        ("PRXPipeline", "NucleusMoEImagePipeline", "OmniGenPipeline", "QwenImage21Pipeline"),
    ),
    Refused(
        "not yet",
        "its cross-attention rotates, gates or groups queries and keys in a way that no family "
        "describes",
        (
            "HunyuanDiTPAGPipeline",
            "Kandinsky5T2IPipeline",
            "Cosmos2TextToImagePipeline",
        ),
    ),
    Refused(
        "not yet",
        "it fails in diffusers itself, which looks for guidance_embeds among its transformer's "
        "settings",
        ("ChromaInpaintPipeline",),
    ),
    Refused(
        "not yet",
        "it takes a ControlNet, with which no model of its family has been tested",
        (
            "QwenImageControlNetPipeline",
            "QwenImageControlNetInpaintPipeline",
            "ZImageControlNetPipeline",
            "ZImageControlNetInpaintPipeline",
        ),
    ),
    Refused(
        "not yet",
        "it perturbs joint attention itself, in two parts of a batch that are computed one by one",
        ("StableDiffusion3PAGPipeline", "StableDiffusion3PAGImg2ImgPipeline"),
    ),
    Refused(
        "never",
        "its words act through an autoregressive prior; text columns are quoted letters only",
        ("GlmImagePipeline",),
    ),
    Refused(
        "never",
        "images to edit or refer to stand among its keys, so that no head has a map of words alone",
        (
            "FluxKontextPipeline",
            "FluxKontextInpaintPipeline",
            "VisualClozePipeline",
            "VisualClozeGenerationPipeline",
            "ZImageOmniPipeline",
            "QwenImageEditPipeline",
            "QwenImageEditInpaintPipeline",
            "QwenImageEditPlusPipeline",
            "QwenImageLayeredPipeline",
            "Flux2KleinKVPipeline",
            "Flux2KleinInpaintPipeline",
            "LongCatImageEditPipeline",
        ),
    ),
    Refused("never", "it makes videos", ("HeliosPipeline", "HeliosPyramidPipeline")),
    *UNETS,
)
UNKNOWN_ROWS = (
    "it is unknown which samples of its batch are conditioned on the prompt; attach to a supported "
    "pipeline of the same parts, with prompts=, and run this one in the block"
)

CLIP = ("CLIPTextModel", "CLIPTextModelWithProjection")


def find_refused(classes: Sequence[str]) -> Refused | None:
    """Return why a pipeline of diffusers is not supported, if its class or a parent is listed.

    Parameters
    ----------
    classes : sequence of str
        Names of its class and parent classes; the first that is listed decides.
    """
    reasons = {name: refused for refused in REFUSED for name in refused.pipelines}
    return next((reasons[name] for name in classes if name in reasons), None)


def obstacles(
    denoiser: nn.Module | None, text_encoders: Sequence[str], *, described: bool
) -> list[str]:
    """List the properties of an architecture that hrvlab cannot handle.

    Parameters
    ----------
    denoiser : torch.nn.Module, optional
        The transformer or UNet; it may lie on the meta device. None: it is not considered.
    text_encoders : sequence of str
        Names of the text encoders' classes.
    described : bool
        Whether a family describes denoisers of this class.

    Returns
    -------
    list of str
        Empty if only the way in which the pipeline batches its samples is unknown.
    """
    named = list(denoiser.named_modules()) if denoiser is not None else []
    if any(getattr(module, "add_k_proj", None) is not None for _, module in named):
        joint = "words and image share one softmax (joint attention), which no family describes"
        return [] if described else [joint]
    cross = any(
        name.endswith("attn2") and getattr(module, "is_cross_attention", False)
        for name, module in named
    )
    if named and not cross:
        return ["it has no cross-attention layers (attn2), in which an image attends to its prompt"]
    if named and not described:
        return [
            f"no family describes how the layers of {type(denoiser).__name__} are read, and how "
            "its texts become columns"
        ]
    if not hasattr(denoiser, "mid_block"):
        return []
    return [
        f"its text encoder {name} is not CLIP's, whose start token has the same state before "
        "every word, as votes require"
        for name in text_encoders
        if name not in CLIP
    ]
