"""Attach taps and edits to a pipeline's cross-attention by PyTorch's own forward hooks.

No attention processor is replaced and no forward method is patched: hooks on the projections read
and change their inputs and outputs, and removing the hooks restores the model exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention_processor import Attention, FusedAttnProcessor2_0
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor

from hrvlab.attention.calls import Call, Tap
from hrvlab.attention.edits import BoundRescale, Rescale
from hrvlab.attention.injection import BoundInjection, Injection
from hrvlab.errors import CoverageError, ModelError, ParameterError
from hrvlab.models.families import family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.load import fingerprint

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from hrvlab.attention.calls import BoundEdit, Hook
    from hrvlab.models.heads import Layer

Edit = Rescale | Injection
Part = Tap | Edit


class Attachment:
    """The hooks of one `attach`, which also count the denoiser's calls.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    parts : sequence of Tap, Rescale or Injection
    prompts : sequence of str, optional
        Required by edits.

    Attributes
    ----------
    layers : list of Layer
    scheduler_timesteps : list of float
        The scheduler's timestep of every finished denoiser call.

    Raises
    ------
    ModelError, ParameterError, TokenError
        See `attach`.
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
        self.modules = [attention_module(self.unet, layer) for layer in self.layers]
        self.scheduler_timesteps: list[float] = []
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
        if isinstance(edit, Injection):
            if any(hasattr(module.processor, "to_k_ip") for module in self.modules):
                raise ModelError(
                    "with an IP-Adapter, injected queries would attend to its image too; call "
                    "pipe.unload_ip_adapter() first"
                )
            return BoundInjection(edit, len(prompts), self.layers)
        return BoundRescale(edit, edit.columns(self.pipe.tokenizer, prompts), self.layers)

    def install(self) -> None:
        """Register all hooks: edits in the order given, then taps, which see the edited states."""
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
        """Register a hook on a projection's output, or on the input of an output projection."""
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
        """Remove all hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._query = None

    def _begin_call(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("sample", "timestep"), args, strict=False)) | kwargs
        if given.get("encoder_attention_mask") is not None:
            raise ModelError("an encoder_attention_mask is not supported; leave it out")
        scheduler_timestep = float(
            given["timestep"].max() if isinstance(given["timestep"], Tensor) else given["timestep"]
        )
        if self._latest >= self.pipe.num_timesteps:
            raise ParameterError(
                f"an edit begins at denoiser call {self._latest}, and there are only "
                f"{self.pipe.num_timesteps}; give an earlier window, or more steps"
            )
        ended = len(self.scheduler_timesteps) == self.pipe.num_timesteps
        if ended or (
            self.scheduler_timesteps and scheduler_timestep > self.scheduler_timesteps[-1]
        ):
            raise ParameterError(
                "a second generation began within one attach; attach anew for every pipeline call"
            )
        batch, _, *size = given["sample"].shape
        rows = self.family.conditional_samples(self.pipe, batch)
        self._call = Call(
            index=len(self.scheduler_timesteps),
            scheduler_timestep=scheduler_timestep,
            conditional=rows,
            samples=rows.stop - rows.start,
            latent_size=(size[0], size[1]),
        )
        self._fired.clear()

    def _end_call(self, *_: object) -> None:
        missing = sorted(self._expected - self._fired)
        if missing:
            raise CoverageError(
                f"{len(missing)} of {len(self._expected)} attention projections were not used in "
                f"denoiser call {len(self.scheduler_timesteps)}, first {missing[0]}: they were "
                "fused or replaced after attach, or the model's attention processor bypasses them; "
                "attach last, and call pipe.unet.set_default_attn_processor() if necessary"
            )
        assert self._call is not None
        self.scheduler_timesteps.append(self._call.scheduler_timestep)

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
            "relevance vectors anew on this model, or pass allow_other_model=True"
        )


def attention_module(unet: nn.Module, layer: Layer) -> Attention:
    """Return a layer's attention module, after checking that its heads can be read.

    Raises
    ------
    ModelError
        If its projections are fused, or it normalizes queries and keys.
    """
    module = unet.get_submodule(layer.module)
    assert isinstance(module, Attention)
    if isinstance(module.processor, FusedAttnProcessor2_0):
        raise ModelError(
            "the model's attention projections are fused; call pipe.unfuse_qkv_projections() first"
        )
    if module.norm_q is not None or module.norm_k is not None:
        raise ModelError(f"{layer.module} normalizes queries and keys, which is not supported")
    return module


@contextmanager
def attach(
    pipe: DiffusionPipeline, *parts: Part, prompts: Sequence[str] | None = None
) -> Iterator[Attachment]:
    """Observe and edit the cross-attention of one plain pipeline call.

    With taps only, the pipeline's output is bit for bit the same as without them. When the block
    ends, even by an exception, the pipeline is restored exactly. A compiled model runs uncompiled
    within the block, as compiled code would not call the hooks.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    *parts : Tap, Rescale or Injection
        Any number of observers and edits; edits act in the order given.
    prompts : sequence of str, optional
        The prompts of the pipeline call, one for each row of the batch before
        ``num_images_per_prompt``; required by edits.

    Yields
    ------
    Attachment
        Its ``scheduler_timesteps`` lists the scheduler's timestep of every finished denoiser call.

    Raises
    ------
    ModelError
        If the pipeline's family is not supported, its projections are fused, or an edit was made
        for another model.
    ParameterError
        If an edit does not match the model or the prompts, or a second generation begins.
    TokenError
        If an edit's word does not occur in a prompt.
    CoverageError
        If a cross-attention layer is not called, or the pipeline is never run.

    Examples
    --------
    >>> heads = hl.head_table(pipe.unet).sizes["head_position"]
    >>> edit = hl.Rescale(np.full(heads, -2.0), "red")
    >>> with hl.attach(pipe, edit, prompts=["a red car"]) as attachment:
    ...     image = pipe("a red car", num_inference_steps=2).images[0]
    >>> len(attachment.scheduler_timesteps)
    2
    """
    attachment = Attachment(pipe, parts, prompts)
    try:
        attachment.install()
        with torch.compiler.set_stance("force_eager"):
            yield attachment
        if not attachment.scheduler_timesteps:
            raise CoverageError("the pipeline was not run within attach; call it inside the block")
    finally:
        attachment.remove()
