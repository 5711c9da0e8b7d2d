"""Edits bound to the pipeline and the prompts of one generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hrvlab.attention.edits import NO_WORDS, BoundRescale, Rescale, check_fingerprint
from hrvlab.attention.injection import BoundInjection, Injection
from hrvlab.errors import ModelError, ParameterError, TokenError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.attention.calls import BoundEdit
    from hrvlab.models.families import Family
    from hrvlab.models.layers import Layer

Edit = Rescale | Injection


def bind_edits(
    edits: Sequence[Edit],
    pipe: DiffusionPipeline,
    family: Family,
    layers: Sequence[Layer],
    modules: Sequence[Any],
    *,
    prompts: Sequence[str] | None,
    named: bool,
    encoding: Mapping[str, Any],
) -> list[BoundEdit]:
    """Bind edits to a pipeline and to the prompts that they act on.

    Parameters
    ----------
    edits : sequence of Rescale or Injection
    pipe : diffusers.DiffusionPipeline
    family : Family
        The pipeline's.
    layers : sequence of Layer
    modules : sequence of torch.nn.Module
        The layers' attention modules.
    prompts : sequence of str or None
    named : bool
        Whether the prompts are the pipeline's texts; False: text states are given in their place.
    encoding : mapping of str to object
        See `hrvlab.attention.session.attach`.

    Returns
    -------
    list of BoundEdit

    Raises
    ------
    ParameterError, TokenError, ModelError
        If an edit does not fit the prompts or the model.
    """
    if edits and not prompts:
        raise ParameterError(
            "an edit needs the prompts it acts on: attach(pipe, edit, prompts=['a red car'])"
        )
    if edits and not named:
        raise TokenError(NO_WORDS)
    for model in {edit.model for edit in edits if edit.model}:
        check_fingerprint(pipe, model)
    texts = list(prompts or ())
    bound: list[BoundEdit] = []
    for edit in edits:
        if isinstance(edit, Rescale):
            mask = edit.columns(pipe, texts, **encoding)
            bound.append(BoundRescale(edit, mask, layers, family.padding))
            continue
        family.check_method("attention injection")
        if any(hasattr(module.processor, "to_k_ip") for module in modules):
            raise ModelError(
                "with an IP-Adapter, injected queries would attend to its image too; call "
                "pipe.unload_ip_adapter() first"
            )
        bound.append(BoundInjection(edit, len(texts), layers))
    return bound
