"""The families that hrvlab knows, and those that a program registers for pipelines of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.families.aura_flow import AURA_FLOW
from hrvlab.models.families.bria import BRIA
from hrvlab.models.families.cogview import COGVIEW_3_PLUS, COGVIEW_4
from hrvlab.models.families.flux import CHROMA, FLUX
from hrvlab.models.families.flux_2 import FLUX_2, FLUX_2_KLEIN
from hrvlab.models.families.hunyuan_dit import HUNYUAN_DIT
from hrvlab.models.families.longcat_image import LONGCAT_IMAGE
from hrvlab.models.families.lumina_2 import LUMINA_2
from hrvlab.models.families.lumina_next import LUMINA_NEXT
from hrvlab.models.families.ovis_image import OVIS_IMAGE
from hrvlab.models.families.pixart import PIXART
from hrvlab.models.families.qwen_image import QWEN_IMAGE
from hrvlab.models.families.sana import SANA, SANA_SPRINT
from hrvlab.models.families.stable_diffusion import STABLE_DIFFUSION, STABLE_DIFFUSION_XL
from hrvlab.models.families.stable_diffusion_3 import STABLE_DIFFUSION_3
from hrvlab.models.families.z_image import Z_IMAGE
from hrvlab.models.unsupported import UNKNOWN_ROWS, find_refused, obstacles

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModelMixin
    from torch import nn

    from hrvlab.models.families.family import Family

FAMILIES: tuple[Family, ...] = (
    STABLE_DIFFUSION,
    STABLE_DIFFUSION_XL,
    PIXART,
    SANA,
    SANA_SPRINT,
    STABLE_DIFFUSION_3,
    FLUX,
    CHROMA,
    QWEN_IMAGE,
    FLUX_2,
    FLUX_2_KLEIN,
    AURA_FLOW,
    Z_IMAGE,
    LUMINA_2,
    COGVIEW_4,
    COGVIEW_3_PLUS,
    BRIA,
    LONGCAT_IMAGE,
    OVIS_IMAGE,
    HUNYUAN_DIT,
    LUMINA_NEXT,
)
_registered: list[Family] = []


def register_family(family: Family) -> None:
    """Make hrvlab treat pipeline classes as those of a family, until the program ends.

    Subclasses of supported pipelines need not be registered.

    Parameters
    ----------
    family : Family
        A known one with the names of other pipeline classes, or an object of a subclass whose
        methods say how those pipelines differ. It stands before all known families.

    Raises
    ------
    ParameterError
        If it names no pipeline class.

    Examples
    --------
    A pipeline of one's own that encodes and batches its prompts as Stable Diffusion's does:

    >>> from dataclasses import replace
    >>> from hrvlab.models.families import STABLE_DIFFUSION, register_family
    >>> register_family(replace(STABLE_DIFFUSION, name="Mine", pipelines=("MyPipeline",)))
    """
    if not family.pipelines:
        raise ParameterError(f"{family.name} names no pipeline class; give at least one")
    _registered.insert(0, family)


def family_of(pipe: DiffusionPipeline) -> Family:
    """Return the family of a pipeline.

    Raises
    ------
    ModelError
        If hrvlab does not support it, with the reason.
    """
    classes = [cls.__name__ for cls in type(pipe).__mro__]
    family = find_family(classes)
    if family is None:
        parts = {name: part for name, part in pipe.components.items() if part is not None}
        encoders = [type(part).__name__ for name, part in parts.items() if "text_encoder" in name]
        denoiser = parts.get("transformer", parts.get("unet"))
        raise ModelError(refusal(classes, denoiser, encoders))
    needed = [name for _, name in family.encoders if name not in family.optional]
    lacking = [name for name in needed if getattr(pipe, name) is None]
    if lacking:
        raise ModelError(
            f"this {type(pipe).__name__} lacks {lacking[0]}, whose tokens label the attention "
            "columns; load the pipeline with it. Of SDXL, hrvlab supports the base model, not its "
            "refiner"
        )
    return family


def denoiser_of(pipe: DiffusionPipeline) -> ModelMixin:
    """Return the denoiser of a pipeline.

    Raises
    ------
    ModelError
        If hrvlab does not support the pipeline.
    """
    return family_of(pipe).denoiser(pipe)


def find_family(classes: Sequence[str]) -> Family | None:
    """Return the family of a pipeline by the names of its class and parent classes, if any.

    The nearest class that hrvlab knows decides, also if it is refused.
    """
    for name in classes:
        for family in (*_registered, *FAMILIES):
            if name in family.pipelines:
                return family
        if find_refused([name]) is not None:
            break
    return None


def find_family_of_denoiser(classes: Sequence[str]) -> Family | None:
    """Return a family of a denoiser by the names of its class and parent classes, if any."""
    names = set(classes)
    return next((one for one in (*_registered, *FAMILIES) if names & {*one.denoisers}), None)


def refusal(
    pipelines: Sequence[str], denoiser: nn.Module | None, text_encoders: Sequence[str]
) -> str:
    """Build the message on why a pipeline is not supported.

    Parameters
    ----------
    pipelines : sequence of str
        Names of its class and parent classes.
    denoiser, text_encoders
        See `hrvlab.models.unsupported.obstacles`.
    """
    refused, yet = find_refused(pipelines), ""
    if refused is not None:
        reasons, yet = [refused.reason], " yet" if refused.verdict == "not yet" else ""
    else:
        classes = [cls.__name__ for cls in type(denoiser).__mro__]
        described = find_family_of_denoiser(classes) is not None
        reasons = obstacles(denoiser, text_encoders, described=described) or [UNKNOWN_ROWS]
    supported = ", ".join(family.name for family in FAMILIES)
    return (
        f"{pipelines[0]} is not supported{yet}: {'; '.join(reasons)}. hrvlab supports {supported}; "
        "its book lists their pipelines, on the page on supported models"
    )
