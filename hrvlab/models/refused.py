"""Pipelines of diffusers around a UNet whose heads are not read, each with the reason."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Refused(NamedTuple):
    """Pipelines of diffusers that hrvlab does not support, for one reason.

    Parameters
    ----------
    verdict : {"not yet", "never"}
    reason : str
    pipelines : tuple of str
        Names of their classes.
    """

    verdict: Literal["not yet", "never"]
    reason: str
    pipelines: tuple[str, ...]


UNETS = (
    Refused(
        "not yet",
        "its UNet is read, but its text encoder is ChatGLM, for which no family says how a word is "
        "encoded",
        ("KolorsPipeline", "KolorsImg2ImgPipeline", "KolorsPAGPipeline"),
    ),
    Refused(
        "not yet",
        "its text encoder is not CLIP's, whose start token has the same state before every word",
        ("AltDiffusionPipeline", "AltDiffusionImg2ImgPipeline", "LDMTextToImagePipeline"),
    ),
    Refused(
        "not yet",
        "its UNet and its ControlNet are one module, whose layers have no published order",
        ("StableDiffusionControlNetXSPipeline", "StableDiffusionXLControlNetXSPipeline"),
    ),
    Refused(
        "not yet",
        "its UNet is of other blocks, whose heads have no published order",
        ("StableDiffusionLatentUpscalePipeline",),
    ),
    Refused(
        "not yet",
        "its UNet attends to the prompt in attn1 too, whose heads have no published order",
        ("StableDiffusionUpscalePipeline",),
    ),
    Refused(
        "not yet",
        "its batches have rows of other texts too, by which it edits the prompt's image",
        (
            "CycleDiffusionPipeline",
            "LEditsPPPipelineStableDiffusion",
            "LEditsPPPipelineStableDiffusionXL",
            "SemanticStableDiffusionPipeline",
            "StableDiffusionPipelineSafe",
        ),
    ),
    Refused(
        "not yet",
        "it calls its UNet more than once a step, on other latents",
        (
            "StableDiffusionPanoramaPipeline",
            "StableDiffusionPix2PixZeroPipeline",
            "StableDiffusionSAGPipeline",
        ),
    ),
    Refused(
        "not yet",
        "it needs a mask and latents from calls of its own, whose texts are not the prompt",
        ("StableDiffusionDiffEditPipeline",),
    ),
    Refused(
        "not yet",
        "the rows of its batches are of several timesteps",
        ("StableDiffusionParadigmsPipeline",),
    ),
    Refused(
        "not yet",
        "it returns a depth map with every image",
        ("StableDiffusionLDM3DPipeline",),
    ),
    Refused(
        "never",
        "words and image share one softmax in a UNet of several stages, for which no relevance "
        "vectors are defined",
        (
            "IFPipeline",
            "IFImg2ImgPipeline",
            "IFImg2ImgSuperResolutionPipeline",
            "IFInpaintingPipeline",
            "IFInpaintingSuperResolutionPipeline",
            "IFSuperResolutionPipeline",
            "KandinskyPipeline",
            "KandinskyCombinedPipeline",
            "KandinskyImg2ImgPipeline",
            "KandinskyImg2ImgCombinedPipeline",
            "KandinskyInpaintPipeline",
            "KandinskyInpaintCombinedPipeline",
            "Kandinsky3Pipeline",
            "StableCascadeCombinedPipeline",
            "UnCLIPPipeline",
            "UnCLIPImageVariationPipeline",
            "WuerstchenCombinedPipeline",
        ),
    ),
    Refused(
        "never",
        "its UNet is conditioned on an image, and no prompt whose words have columns",
        (
            "KandinskyV22Pipeline",
            "KandinskyV22CombinedPipeline",
            "KandinskyV22ControlnetPipeline",
            "KandinskyV22ControlnetImg2ImgPipeline",
            "KandinskyV22Img2ImgPipeline",
            "KandinskyV22Img2ImgCombinedPipeline",
            "KandinskyV22InpaintPipeline",
            "KandinskyV22InpaintCombinedPipeline",
            "MarigoldDepthPipeline",
            "MarigoldIntrinsicsPipeline",
            "MarigoldNormalsPipeline",
            "PaintByExamplePipeline",
            "StableDiffusionImageVariationPipeline",
            "VersatileDiffusionImageVariationPipeline",
        ),
    ),
    Refused(
        "never",
        "an image embedding acts beside the prompt's words, and no column shows it",
        ("StableUnCLIPPipeline", "StableUnCLIPImg2ImgPipeline"),
    ),
    Refused(
        "never",
        "an image takes columns among those of the prompt's words",
        ("BlipDiffusionPipeline", "BlipDiffusionControlNetPipeline"),
    ),
    Refused(
        "never",
        "its boxes have texts of their own, which reach the image through other attention layers",
        ("StableDiffusionGLIGENPipeline", "StableDiffusionGLIGENTextImagePipeline"),
    ),
    Refused(
        "never",
        "it has two UNets, and exchanges their attention blocks",
        (
            "VersatileDiffusionPipeline",
            "VersatileDiffusionDualGuidedPipeline",
            "VersatileDiffusionTextToImagePipeline",
        ),
    ),
    Refused(
        "never",
        "it replaces the attention processors by its own, which would count hrvlab's maps as "
        "theirs; call hl.excite with a StableDiffusionPipeline",
        ("StableDiffusionAttendAndExcitePipeline",),
    ),
    Refused(
        "never",
        "it changes the projections of its UNet; give the changed UNet to a "
        "StableDiffusionPipeline, which is supported",
        ("StableDiffusionModelEditingPipeline",),
    ),
    Refused(
        "never",
        "diffusers replaced it by StableDiffusionInpaintPipeline, which is supported",
        ("StableDiffusionInpaintPipelineLegacy",),
    ),
    Refused(
        "never",
        "the rows of its batches are the frames of a video, which attend to one another",
        (
            "AnimateDiffPipeline",
            "AnimateDiffControlNetPipeline",
            "AnimateDiffPAGPipeline",
            "AnimateDiffSDXLPipeline",
            "AnimateDiffSparseControlNetPipeline",
            "AnimateDiffVideoToVideoPipeline",
            "AnimateDiffVideoToVideoControlNetPipeline",
            "PIAPipeline",
            "TextToVideoZeroPipeline",
            "TextToVideoZeroSDXLPipeline",
        ),
    ),
    Refused(
        "never",
        "it makes sound, not images",
        (
            "AudioDiffusionPipeline",
            "AudioLDMPipeline",
            "AudioLDM2Pipeline",
            "MusicLDMPipeline",
        ),
    ),
)
