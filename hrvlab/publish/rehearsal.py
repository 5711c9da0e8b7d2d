"""Forecast the longest part of a page before it is executed: its votes, or its capture."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hrvlab.dry_run import rehearse_capture, rehearse_votes
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.prompts import read_prompts
from hrvlab.models.load import load
from hrvlab.options import GenerationOptions, LoadOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hrvlab.publish.pages import Page

VOTES = {"concepts", "prompts", "count"}  # parameters of chapters that collect votes


def rehearse_page(page: Page) -> str:
    """Forecast a page from a few denoiser calls, with its own parameters.

    Parameters
    ----------
    page : Page

    Returns
    -------
    str
        One line. What the chapter generates besides its votes is not in it.

    Raises
    ------
    ParameterError, ConceptError, ModelError
        If its parameters cannot be used.
    """
    if page.finished:
        return f"unchanged: {page.path}"
    values = page.values
    with chdir(page.folder):
        if {*values} >= VOTES:
            prompts = read_prompts(values["prompts"], values["column"])[: values["count"]]
            given = ConceptSet.read(values["concepts"]), prompts
            forecast = rehearse_votes(_load(values), *given, seed=0, **_call(values))
            return (
                f"{page.label}: votes of {len(prompts)} prompts, unless they are in the store: "
                f"{forecast}; other images of the chapter come on top"
            )
        if "prompt" in values:
            forecast = rehearse_capture(_load(values), values["prompt"], **_call(values))
            return f"{page.label}: capture: {forecast}"
    return f"{page.label}: it generates nothing that takes long"


def _load(values: Mapping[str, Any]) -> Any:
    names = [one.name for one in fields(LoadOptions) if one.name in values]
    return load(values["model"], **{name: values[name] for name in names})


def _call(values: Mapping[str, Any]) -> dict[str, Any]:
    names = [one.name for one in fields(GenerationOptions) if one.name in values]
    return GenerationOptions(**{name: values[name] for name in names}).call
