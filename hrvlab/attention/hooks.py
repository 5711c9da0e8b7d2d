"""Attach taps and edits to a pipeline's cross-attention by PyTorch's own forward hooks.

No attention processor is replaced and no forward is patched: hooks on the projections read and
change what passes, and removing them restores the model exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hrvlab.attention.borrow import Borrow, BoundBorrow
from hrvlab.attention.calls import BoundEdit, Call, Hook, Tap
from hrvlab.attention.edits import BoundRescale, Rescale
from hrvlab.errors import CoverageError, ModelError, ParameterError
from hrvlab.models.families import family_of
from hrvlab.models.heads import Layer, cross_attention_layers
from hrvlab.models.load import fingerprint

Edit = Rescale | Borrow
Part = Tap | Edit


class Attachment:
    """The hooks of one `attach`, and the clock that counts UNet calls.

    Attributes
    ----------
    layers : list of Layer
    noise_levels : list of float
        The scheduler's timestep of every finished UNet call.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        parts: Sequence[Part],
        prompts: Sequence[str] | None,
    ) -> None:
        self.family = family_of(pipe)
        self.pipe = pipe
        self.unet = unwrap_module(pipe.unet)
        self.layers = cross_attention_layers(self.unet)
        self.modules = [readable(self.unet, layer) for layer in self.layers]
        self.noise_levels: list[float] = []
        edits = [part for part in parts if isinstance(part, Edit)]
        self.taps = [part for part in parts if not isinstance(part, Edit)]
        if edits and not prompts:
            raise ParameterError(
                "an edit needs the prompts it acts on: attach(pipe, edit, prompts=['a red car'])"
            )
        for model in {edit.model for edit in edits if edit.model}:
            _check_fingerprint(pipe, model)
        self.edits = [self._bind(edit, prompts or []) for edit in edits]
        begins = [edit.window[0] for edit in edits if isinstance(edit, Rescale)]
        self._latest = max(begins, default=0)
        self._call: Call | None = None
        self._query: Tensor | None = None
        self._fired: set[str] = set()
        self._expected: set[str] = set()
        self._handles: list[RemovableHandle] = []

    def _bind(self, edit: Edit, prompts: Sequence[str]) -> BoundEdit:
        if isinstance(edit, Borrow):
            if any(hasattr(module.processor, "to_k_ip") for module in self.modules):
                raise ModelError(
                    "with an IP-Adapter, borrowed queries would look at its picture too; call "
                    "pipe.unload_ip_adapter() first"
                )
            return BoundBorrow(edit, len(prompts), self.layers)
        return BoundRescale(edit, edit.columns(self.pipe.tokenizer, prompts), self.layers)

    def install(self) -> None:
        """Put every hook in place: edits in the order given, then taps, which see their work."""
        for tap in self.taps:
            tap.begin(self.layers, self.modules)
        before, after = self.unet.register_forward_pre_hook, self.unet.register_forward_hook
        self._handles += [before(self._begin_call, with_kwargs=True), after(self._end_call)]
        for layer, module in zip(self.layers, self.modules, strict=True):
            hooks = [hook for edit in self.edits for hook in edit.hooks(layer).items()]
            if self.taps:
                hooks.append(("attn2.to_q", self._keep_query))
                hooks.append(("attn2.to_k", partial(self._observe, layer, module)))
            for projection, hook in hooks:
                self._hook(f"{layer.module.removesuffix('attn2')}{projection}", hook)

    def _hook(self, name: str, hook: Hook) -> None:
        """Let a hook change a projection's output, or the input of an output projection."""
        self._expected.add(name)

        def before(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
            return (self._run(name, hook, given[0]),)

        def after(_: nn.Module, __: object, output: Tensor) -> Tensor:
            return self._run(name, hook, output)

        projection = self.unet.get_submodule(name)
        self._handles.append(
            projection.register_forward_pre_hook(before)
            if name.endswith("to_out.0")
            else projection.register_forward_hook(after)
        )

    def _run(self, name: str, hook: Hook, states: Tensor) -> Tensor:
        self._fired.add(name)
        assert self._call is not None
        return hook(self._call, states)

    def remove(self) -> None:
        """Take every hook away again."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._query = None

    def _begin_call(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("sample", "timestep"), args, strict=False)) | kwargs
        if given.get("encoder_attention_mask") is not None:
            raise ModelError("an encoder_attention_mask is not supported; leave it out")
        noise_level = float(
            given["timestep"].max() if isinstance(given["timestep"], Tensor) else given["timestep"]
        )
        if self._latest >= self.pipe.num_timesteps:
            raise ParameterError(
                f"an edit begins at UNet call {self._latest}, and there are only "
                f"{self.pipe.num_timesteps}; give an earlier window, or more steps"
            )
        ended = len(self.noise_levels) == self.pipe.num_timesteps
        if ended or (self.noise_levels and noise_level > self.noise_levels[-1]):
            raise ParameterError(
                "a second generation began inside one attach; attach anew for every pipeline call"
            )
        batch, _, *size = given["sample"].shape
        rows = self.family.conditional_samples(self.pipe, batch)
        self._call = Call(
            index=len(self.noise_levels),
            noise_level=noise_level,
            conditional=rows,
            samples=rows.stop - rows.start,
            latent_size=(size[0], size[1]),
        )
        self._fired.clear()

    def _end_call(self, *_: object) -> None:
        missing = sorted(self._expected - self._fired)
        if missing:
            raise CoverageError(
                f"{len(missing)} of {len(self._expected)} attention projections were not read in "
                f"UNet call {len(self.noise_levels)}, first {missing[0]}: they were fused or "
                "replaced after attach, or the model's attention processor does not use them; "
                "attach last, and with pipe.unet.set_default_attn_processor() if need be"
            )
        assert self._call is not None
        self.noise_levels.append(self._call.noise_level)

    def _keep_query(self, call: Call, output: Tensor) -> Tensor:
        self._query = output
        return output

    def _observe(self, layer: Layer, module: Attention, call: Call, output: Tensor) -> Tensor:
        assert self._query is not None
        query, key = (
            states[call.conditional].detach().unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for states in (self._query, output)
        )
        for tap in self.taps:
            tap.observe(call, layer, query, key, module.scale)
        return output


def _check_fingerprint(pipe: DiffusionPipeline, model: str) -> None:
    if fingerprint(pipe) != model:
        raise ModelError(
            f"the edit was made for model {model}, this one is {fingerprint(pipe)}; build the "
            "relevance vectors anew on this model, or say allow_other_model=True"
        )


def readable(unet: nn.Module, layer: Layer) -> Attention:
    """Give a layer's module, or say why its heads cannot be read."""
    module = unet.get_submodule(layer.module)
    assert isinstance(module, Attention)
    if isinstance(module.processor, FusedAttnProcessor2_0):
        raise ModelError(
            "the model's attention projections are fused; call pipe.unfuse_qkv_projections() first"
        )
    if module.norm_q is not None or module.norm_k is not None:
        raise ModelError(f"{layer.module} normalises queries and keys, which is not supported")
    return module


@contextmanager
def attach(
    pipe: DiffusionPipeline, *parts: Part, prompts: Sequence[str] | None = None
) -> Iterator[Attachment]:
    """Observe and edit the cross-attention of one plain pipeline call.

    With taps only, the pipeline's output is bit for bit what it would be without. On leaving, by
    an exception too, the pipeline is exactly what it was. A compiled model runs uncompiled inside:
    compiled code would not call the hooks.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    *parts : Tap, Rescale or Borrow
        Any number of observers and edits; edits act in the order given.
    prompts : sequence of str, optional
        The prompts of the call, one a batch row before ``num_images_per_prompt``; needed by edits.

    Yields
    ------
    Attachment

    Raises
    ------
    ModelError
        If the pipeline's family is not supported, its projections are fused, or an edit was made
        for another model.
    ParameterError
        If an edit does not fit the model or the prompts, or a second generation begins.
    TokenError
        If an edit's word is not in a prompt.
    CoverageError
        If a cross-attention layer is not called, or the pipeline is never run.

    Examples
    --------
    >>> with attach(pipe, Rescale(factors, "red"), prompts=["a red car"]):
    ...     image = pipe("a red car").images[0]
    """
    attachment = Attachment(pipe, parts, prompts)
    try:
        attachment.install()
        with torch.compiler.set_stance("force_eager"):
            yield attachment
        if not attachment.noise_levels:
            raise CoverageError("the pipeline was not run inside attach; call it within the block")
    finally:
        attachment.remove()
