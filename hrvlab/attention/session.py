"""The session of taps and edits: one generation, observed as it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from diffusers.utils.torch_utils import unwrap_module
from torch import Tensor

from hrvlab.attention.calls import Call, Tap
from hrvlab.attention.clock import Clock
from hrvlab.attention.edits import BoundRescale, Rescale
from hrvlab.attention.hooks import ProjectionHooks
from hrvlab.attention.injection import BoundInjection, Injection
from hrvlab.attention.rows import GivenStates, RowFinder
from hrvlab.attention.texts import TextRecord
from hrvlab.errors import CoverageError, ModelError, ParameterError
from hrvlab.inputs.prompts import as_prompts
from hrvlab.models.adapters import adapters_kept
from hrvlab.models.caches import active_cache
from hrvlab.models.families import family_of
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.load import fingerprint
from hrvlab.models.tokens import token_table, unnamed_tokens

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.attention.calls import BoundEdit
    from hrvlab.models.tokens import Token

Edit = Rescale | Injection
Part = Tap | Edit

INPUTS = ("sample", "timestep", "encoder_hidden_states")


class Session:
    """One generation as `attach` sees it: its calls, its steps, its rows and their tokens.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    parts : sequence of Tap, Rescale or Injection
    prompts : sequence of str, optional
        Required by edits.
    given : GivenStates
        Text states that the pipeline is given in place of texts.

    Attributes
    ----------
    layers : list of Layer
    call : Call or None
        The last call that had conditional rows: its ``calls`` and ``steps`` say how many the
        generation makes, its ``rows`` which rows of the batch were read and edited.
    tokens : list of list of Token
        For each conditional row, the token of every column; empty before the first call.

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
        given: GivenStates,
    ) -> None:
        family = family_of(pipe)
        self._pipe, self._prompts = pipe, prompts
        self._named = given.prompts is None
        self.unet = unwrap_module(pipe.unet)
        self.layers = cross_attention_layers(self.unet)
        self.call: Call | None = None
        self.tokens: list[list[Token]] = []
        self._clock = Clock(pipe)
        self._record = TextRecord(family.text_encoders(pipe))
        self._rows = RowFinder(pipe, family, self._record, prompts, given)
        self._current: Call | None = None
        self._last: tuple[float, Tensor] | None = None
        if cache := active_cache(self.unet):
            raise ModelError(cache)
        self._projections = ProjectionHooks(self.unet, self.layers, lambda: self._current)
        edits = [part for part in parts if isinstance(part, Edit)]
        self._taps = [part for part in parts if not isinstance(part, Edit)]
        if edits and not prompts:
            raise ParameterError(
                "an edit needs the prompts it acts on: attach(pipe, edit, prompts=['a red car'])"
            )
        for model in {edit.model for edit in edits if edit.model}:
            _check_fingerprint(pipe, model)
        self._edits = [self._bind(edit, prompts or []) for edit in edits]

    @property
    def scheduler_timesteps(self) -> list[float]:
        """The scheduler's timestep of every finished denoiser call."""
        return self._clock.scheduler_timesteps

    def _bind(self, edit: Edit, prompts: Sequence[str]) -> BoundEdit:
        if isinstance(edit, Injection):
            if any(hasattr(module.processor, "to_k_ip") for module in self._projections.modules):
                raise ModelError(
                    "with an IP-Adapter, injected queries would attend to its image too; call "
                    "pipe.unload_ip_adapter() first"
                )
            return BoundInjection(edit, len(prompts), self.layers)
        return BoundRescale(edit, edit.columns(self._pipe, prompts), self.layers)

    def install(self, hooks: ExitStack) -> None:
        """Register all hooks; they are removed when the stack is closed."""
        for tap in self._taps:
            tap.begin(self.layers, self._projections.modules)
        hooks.callback(self._clock.stop)
        self._clock.start()
        self._record.install(hooks)
        for handle in (
            self.unet.register_forward_pre_hook(self._begin_call, with_kwargs=True),
            self.unet.register_forward_hook(self._end_call),
        ):
            hooks.callback(handle.remove)
        self._projections.install(self._edits, self._taps, hooks)

    def _begin_call(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(INPUTS, args, strict=False)) | kwargs
        if given.get("encoder_attention_mask") is not None:
            raise ModelError("an encoder_attention_mask is not supported; leave it out")
        timestep = given["timestep"]
        moment = float(timestep.max() if isinstance(timestep, Tensor) else timestep)
        states: Tensor = given["encoder_hidden_states"]
        rows = self._rows.find(states, given["sample"])
        self._projections.begin_call()
        self._check_pair(moment, states)
        if rows is None:
            self._current = None
            if self._clock.by_pipeline:
                raise self._other_prompts()
            return
        index = self._clock.begin_call(moment)
        height, width = given["sample"].shape[-2:]
        clock = self._clock
        self._current = Call(index, moment, rows, (height, width), clock.calls, clock.steps)
        if index == 0:
            self._begin(self._current, states.shape[1])
        self.call = self._current

    def _begin(self, call: Call, columns: int) -> None:
        """Name the columns of the first call, and check that the edits fit it."""
        unnamed = unnamed_tokens(columns)
        if not self._named or not self._prompts:
            self.tokens = [unnamed] * call.samples
        else:
            tables = [token_table(self._pipe, prompt) for prompt in self._prompts]
            self.tokens = [tables[number] for number in call.rows.prompts]
        if self._edits and len(self.tokens[0]) != columns:
            raise ParameterError(
                f"the denoiser is given {columns} columns of text, the prompts have "
                f"{len(self.tokens[0])}; an edit needs prompts, not states made from them"
            )
        for edit in self._edits:
            edit.check(call)

    def _check_pair(self, moment: float, states: Tensor) -> None:
        """Check that of two calls of one step, one for each text, it is known which is which."""
        last, self._last = self._last, (moment, states)
        if (
            self._prompts is None
            and not self._record.texts()
            and last is not None
            and last[0] == moment
            and last[1] is not states
            and not torch.equal(last[1], states)
        ):
            raise ParameterError(
                "two calls of the denoiser have one timestep and different texts, and it is not "
                "known which of them is the prompt's; give attach prompts=['a red car']"
            )

    def _other_prompts(self) -> ParameterError:
        return ParameterError(
            f"the pipeline was run with other prompts than attach was given, {self._prompts}; give "
            "attach the same prompts"
        )

    def _end_call(self, *_: object) -> None:
        if self._current is None:
            return
        self._projections.check_coverage(self._current.index)
        self._clock.scheduler_timesteps.append(self._current.scheduler_timestep)
        self._current = None

    def check_finished(self) -> None:
        """Check, when the block has ended, that something was observed.

        Raises
        ------
        CoverageError
            If the denoiser was not called.
        ParameterError
            If no row of its batches was conditioned on the prompts.
        """
        if self._last is None:
            raise CoverageError("the pipeline was not run within attach; call it inside the block")
        if not self.scheduler_timesteps:
            raise self._other_prompts()


def _check_fingerprint(pipe: DiffusionPipeline, model: str) -> None:
    if fingerprint(pipe) != model:
        raise ModelError(
            f"the edit was made for model {model}, this one is {fingerprint(pipe)}; build the "
            "relevance vectors anew on this model, or pass allow_other_model=True"
        )


@contextmanager
def attach(
    pipe: DiffusionPipeline,
    *parts: Part,
    prompts: str | Sequence[str] | None = None,
    given: GivenStates | None = None,
) -> Iterator[Session]:
    """Observe and edit the cross-attention of one generation.

    It is a call of the pipeline, or a loop of one's own around the denoiser.

    With taps only, the output is bit for bit the same as without them. When the block ends, even by
    an exception, the pipeline is restored exactly. A compiled model runs uncompiled within the
    block, as compiled code would not call the hooks.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a supported family.
    *parts : Tap, Rescale or Injection
        Any number of observers and edits; edits act in the order given.
    prompts : str or sequence of str, optional
        The prompts of the generation, one for each row of the batch before
        ``num_images_per_prompt``; required by edits. By default, the first texts that the text
        encoders read within the block are the prompts.
    given : GivenStates, optional
        Text states that the pipeline is given in place of the prompts' and the negative ones.

    Yields
    ------
    Session
        What the run shows: ``scheduler_timesteps`` of every finished denoiser call, ``tokens`` of
        every conditional row, and the last ``call``.

    Raises
    ------
    ModelError
        If the pipeline's family is not supported, its projections are fused, or an edit was made
        for another model.
    ParameterError
        If an edit does not match the model or the prompts, the run has other prompts, or a second
        generation begins.
    TokenError
        If an edit's word does not occur in a prompt.
    CoverageError
        If a cross-attention layer is not called, or the denoiser is never run.

    Examples
    --------
    >>> heads = hl.head_table(pipe.unet).sizes["head_position"]
    >>> edit = hl.Rescale(np.full(heads, -2.0), "red")
    >>> with hl.attach(pipe, edit, prompts="a red car") as session:
    ...     image = pipe("a red car", num_inference_steps=2).images[0]
    >>> len(session.scheduler_timesteps), session.tokens[0][2].word
    (2, 'red')
    """
    texts = None if prompts is None else as_prompts(prompts)
    session = Session(pipe, parts, texts, given or GivenStates())
    with ExitStack() as hooks, adapters_kept(pipe):
        session.install(hooks)
        with torch.compiler.set_stance("force_eager"):
            yield session
        session.check_finished()
