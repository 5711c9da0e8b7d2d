"""The session of taps and edits: one generation, observed as it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrvlab.attention.binding import Edit, bind_edits
from hrvlab.attention.calls import Call, Now, Tap, Unedited
from hrvlab.attention.clock import Clock
from hrvlab.attention.hooks import ProjectionHooks
from hrvlab.attention.injection import BoundInjection
from hrvlab.attention.loops import LoopCheck, other_prompts
from hrvlab.attention.modes import ModeHooks
from hrvlab.attention.rows import RowFinder
from hrvlab.attention.running import running
from hrvlab.attention.texts import TextRecord
from hrvlab.errors import CoverageError, ModelError, ParameterError
from hrvlab.inputs.prompts import as_prompts
from hrvlab.models.adapters import adapters_kept
from hrvlab.models.caches import active_cache
from hrvlab.models.columns import fit_columns, unnamed_tokens
from hrvlab.models.families import family_of
from hrvlab.models.processors import processors_kept
from hrvlab.models.tokens import token_table

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.attention.running import Running
    from hrvlab.models.columns import Token
    from hrvlab.typing import Prompts

Part = Tap | Unedited | Edit


class Session:
    """One generation as `attach` sees it: its calls, its steps, its rows and their tokens.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    parts : sequence of Tap, Rescale or Injection
    prompts : sequence of str, optional
        Required by edits.
    given : Tensor or None, shape (prompt, token, dim)
        Text states that the pipeline is given in place of the prompts.
    encoding : mapping of str to object
        See `attach`.

    Attributes
    ----------
    denoiser : torch.nn.Module
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
        given: Tensor | None,
        encoding: Mapping[str, Any],
    ) -> None:
        family = family_of(pipe)
        self._pipe, self._family, self._prompts, self._encoding = pipe, family, prompts, encoding
        self._named = given is None
        self.denoiser = family.denoiser(pipe)
        self.layers = family.layers(self.denoiser)
        self.call: Call | None = None
        self.tokens: list[list[Token]] = []
        self._clock = Clock(pipe)
        self._record = TextRecord([] if family.transforms else family.text_encoders(pipe))
        self._rows = RowFinder(pipe, family, self._record, prompts, given, encoding)
        self._now = Now()
        self._loop = LoopCheck(prompts)
        self._ran = False
        if cache := active_cache(self.denoiser):
            raise ModelError(cache)
        reader = ModeHooks if family.by_mode else ProjectionHooks
        self._projections = reader(self.denoiser, self.layers, self._now)
        edits = [part for part in parts if isinstance(part, Edit)]
        self._unedited = [part.tap for part in parts if isinstance(part, Unedited)]
        self._taps = [part for part in parts if not isinstance(part, Edit | Unedited)]
        self._edits = bind_edits(
            edits,
            pipe,
            family,
            self.layers,
            self._projections.modules,
            prompts=prompts,
            named=self._named,
            encoding=encoding,
        )

    @property
    def scheduler_timesteps(self) -> list[float]:
        """The scheduler's timestep of every finished denoiser call."""
        return self._clock.scheduler_timesteps

    def install(self, hooks: ExitStack) -> None:
        """Register all hooks; when the stack is closed, they are removed and the texts let go."""
        for outer in attached_to(self.denoiser):
            if self._family.by_mode:
                raise ParameterError(
                    f"the attention of {self._family.name} is read by one attach at a time; give "
                    "all taps and edits to it"
                )
            if outer._taps and any(isinstance(edit, BoundInjection) for edit in self._edits):
                raise ParameterError(
                    "taps see the injections of their own attach alone; give both to one attach"
                )
        hooks.callback(self._let_go)
        for tap in [*self._unedited, *self._taps]:
            tap.begin(self.layers, self._projections.modules)
        self._record.install(hooks)
        for handle in (
            self.denoiser.register_forward_pre_hook(self._begin_call, with_kwargs=True),
            self.denoiser.register_forward_hook(self._end_call),
        ):
            hooks.callback(handle.remove)
        self._projections.install(self._edits, self._taps, hooks, unedited=self._unedited)

    def _begin_call(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs = self._family.inputs(self.denoiser, args, kwargs)
        (sample, timestep, states, bias), self._ran = inputs[:4], True
        run = running(self._pipe)
        if not inputs.is_step:
            self._now.call = self._beside(states, sample, run)
            return
        moment = self._clock.moment(run)
        if moment is None:
            number = float(timestep.max() if isinstance(timestep, Tensor) else timestep)
            moment = self._family.scheduler_timestep(self._pipe, number)
        by_order = None if self._family.two_calls else run
        if by_order is not None:
            self._clock.check_call(moment)
        rows = self._rows.find(states, sample, run)
        self._projections.begin_call()
        if by_order is None:
            self._loop.check(moment, sample, states, rows)
        if rows is None:
            self._now.call = None
            return
        index = self._clock.begin_call(moment, run)
        clock, last = self._clock, self.call
        size = self._family.latent_size(inputs) if last is None else last.latent_size
        bias = None if bias is None else bias[rows.conditional]
        columns, total = inputs.columns or states.shape[1], (clock.calls, clock.steps)
        call = Call(index, moment, rows, size, *total, bias, columns, inputs.pixels, inputs.lengths)
        if last is None:
            self._name_columns(call, columns)
        elif rows.prompts != last.rows.prompts:
            raise ParameterError(
                f"denoiser call {index} has rows of prompts {list(rows.prompts)}, the one before "
                f"of {list(last.rows.prompts)}; attach anew for every batch"
            )
        if last is None or call.calls != last.calls:
            for edit in self._edits:
                edit.check(call)
        self._now.call = self.call = call

    def _beside(self, states: Tensor, sample: Tensor, run: Running | None) -> Call | None:
        """Return the call of a perturbed model for guidance, all of whose rows are the prompts'."""
        if self.call is None:
            return None
        unguided = None if run is None else replace(run, guided=False)
        rows = self._rows.find(states, sample, unguided)
        self._projections.begin_call()
        return None if rows is None else replace(self.call, rows=rows, observed=False)

    def _name_columns(self, call: Call, columns: int) -> None:
        """Name the columns of the first call."""
        unnamed = unnamed_tokens(columns)
        if not self._named or not self._prompts:
            self.tokens = [unnamed] * call.samples
        else:
            tables = [token_table(self._pipe, text, **self._encoding) for text in self._prompts]
            own = [fit_columns(table, columns, self._family.padding) for table in tables]
            self.tokens = [own[number] for number in call.rows.prompts]

    def _let_go(self) -> None:
        self._loop.forget()
        self._rows.forget()

    def _end_call(self, *_: object) -> None:
        call, self._now.call = self._now.call, None
        if call is None or not call.observed:
            return
        self._projections.check_coverage(call.index)
        self._clock.scheduler_timesteps.append(call.scheduler_timestep)

    def check_finished(self) -> None:
        """Check, when the block has ended, that something was observed.

        Raises
        ------
        CoverageError
            If the denoiser was not called.
        ParameterError
            If no row of its batches was conditioned on the prompts.
        """
        if not self._ran:
            raise CoverageError("the pipeline was not run within attach; call it inside the block")
        if not self.scheduler_timesteps:
            raise other_prompts(self._prompts)


def attached_to(denoiser: nn.Module) -> list[Session]:
    """List the sessions whose hooks a denoiser has now."""
    owners = [getattr(hook, "__self__", None) for hook in denoiser._forward_pre_hooks.values()]
    return [owner for owner in owners if isinstance(owner, Session)]


@contextmanager
def attach(
    pipe: DiffusionPipeline,
    *parts: Part,
    prompts: Prompts | None = None,
    given: Tensor | None = None,
    encoding: Mapping[str, Any] | None = None,
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
    *parts : Tap, Unedited, Rescale or Injection
        Any number of observers and edits; edits act in the order given. Taps see what the edits
        made of queries and keys, and those in `hrvlab.attention.Unedited` what these were before.
    prompts : str, Path, or iterable of str, optional
        The prompts of the generation, one for each row of the batch before
        ``num_images_per_prompt``; required by edits, and by loops of one's own with several texts,
        such as a negative prompt.
    given : Tensor, shape (prompt, token, dim), optional
        Text states that the pipeline is given in place of the prompts.
    encoding : mapping of str to object, optional
        Keywords of the pipeline's call on which the encoding of its prompts depends, if they are
        not left at their defaults, such as ``{"max_sequence_length": 77}``.

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
        If an edit does not match the model or the prompts, the run has other prompts, it is not
        known which rows of a batch are theirs, or a second generation begins.
    TokenError
        If an edit's word does not occur in a prompt, or text states replace the prompts.
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
    session = Session(pipe, parts, texts, given, encoding or {})
    with ExitStack() as hooks, adapters_kept(pipe), processors_kept(pipe):
        session.install(hooks)
        with torch.compiler.set_stance("force_eager"):
            yield session
        session.check_finished()
