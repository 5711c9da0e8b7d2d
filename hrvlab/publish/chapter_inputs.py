"""The model and the inputs of a chapter, and the kinds of work that it does with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hrvlab.dry_run import (
    rehearse_capture,
    rehearse_images,
    rehearse_queries,
    rehearse_votes,
)
from hrvlab.experiments.rehearsal import rehearse_trials
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.models.load import load
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE
from hrvlab.rehearsal import few_steps
from hrvlab.results.own import any_vectors
from hrvlab.scorers.clip import clip_score
from hrvlab.scorers.judge import judge_score

if TYPE_CHECKING:
    import xarray as xr
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.rehearsal import Plan
    from hrvlab.rehearsal import DryRun
    from hrvlab.scorers.base import Score
    from hrvlab.typing import Images


@dataclass(frozen=True)
class Work:
    """A part of what a chapter computes.

    Parameters
    ----------
    name : str
    rehearse : callable () -> DryRun
        Forecasts it.
    """

    name: str
    rehearse: Callable[[], DryRun]


class ChapterInputs:
    """A chapter's model and inputs, by its parameters.

    Parameters
    ----------
    values : mapping of str to object
        The value of every parameter.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def _some(self, kind: type) -> dict[str, Any]:
        names = [one.name for one in fields(kind) if one.name in self.values]
        return {name: self.values[name] for name in names}

    @cached_property
    def pipe(self) -> DiffusionPipeline:
        """The model."""
        return load(self.values.get("model", MINIATURE), **self._some(LoadOptions))

    @property
    def call(self) -> dict[str, Any]:
        """Keywords of all that generates images."""
        return GenerationOptions(**self._some(GenerationOptions)).call

    @cached_property
    def concepts(self) -> ConceptSet:
        """The concepts of its vectors."""
        return ConceptSet.read(self.values["concepts"])

    @property
    def prompts(self) -> list[str]:
        """The prompts of its votes or queries."""
        prompts = read_prompts(self.values["prompts"], self.values["column"])
        return prompts[: self.values["count"]]

    @cached_property
    def hrv(self) -> xr.DataArray:
        """Vectors that mean nothing, in place of those that it would build."""
        return any_vectors(self.pipe, self.concepts.names)

    def score(self, judge: Callable[[], Score] = judge_score) -> dict[str, Score]:
        """Load its evaluators."""
        judged = {"judge": judge()} if self.values["judged"] else {}
        return {**judged, "CLIP": clip_score(self.values["clip"])}

    def votes(self, rules: int = 1) -> Iterator[Work]:
        """Yield the votes of its prompts, by so many voting rules."""
        some = self.prompts

        def rehearse() -> DryRun:
            return rehearse_votes(self.pipe, self.concepts, some, seed=0, **self.call)

        for _ in range(rules):
            yield Work(f"votes of {len(some)} prompts", rehearse)

    def queries(self) -> Work:
        """Return the queries of its prompts."""
        kept = {name: self.values[name] for name in ("positions", "calls")}
        some = self.prompts

        def rehearse() -> DryRun:
            return rehearse_queries(self.pipe, some, **kept, **self.call)

        return Work(f"queries of {len(some)} prompts", rehearse)

    def trials(self, name: str, plan: Plan, **changes: Any) -> Work:
        """Return an experiment."""
        call = {**self.call, **changes}
        return Work(name, lambda: rehearse_trials(self.pipe, plan, call))

    def capture(self, prompts: str | Sequence[str], **more: Any) -> Work:
        """Return a capture that is shown and not written."""
        call = {**self.call, **more}

        def rehearse() -> DryRun:
            return replace(rehearse_capture(self.pipe, prompts, **call), written=0)

        return Work("a capture", rehearse)

    def images(self, name: str, number: int, draw: Callable[..., Images]) -> Work:
        """Return images that are shown and not written, of which `draw` generates some."""

        def rehearse() -> DryRun:
            few = few_steps(self.pipe, self.call)
            silent = {**self.call, **few, "progress": False}
            made = rehearse_images(self.pipe, lambda: draw(**silent), number, few=few, **self.call)
            return replace(made, written=0)

        return Work(name, rehearse)
