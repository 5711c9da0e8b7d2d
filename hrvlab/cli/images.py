"""Commands that write images: what they are asked for, and how it is carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrvlab.cli.options import check_steps, path_option, say
from hrvlab.models.locate import locate_model

if TYPE_CHECKING:
    import xarray as xr
    from diffusers import DiffusionPipeline
    from torch import Generator

    from hrvlab.options import GenerationOptions, LoadOptions
    from hrvlab.rehearsal import DryRun
    from hrvlab.storage.units import Unit
    from hrvlab.typing import Images

MOST_IMAGES = 10_000
LONGEST_ROW = 8  # images of the contact sheet where each prompt has one

Output = Annotated[
    Path,
    path_option(
        "--output",
        "-o",
        folder=True,
        help="Folder of images, settings and contact sheet; an interrupted run resumes.",
    ),
]
ImagesEach = Annotated[
    int,
    typer.Option("--images", min=1, max=MOST_IMAGES, help="Images of each prompt, by later seeds."),
]


@dataclass(frozen=True)
class Request:
    """The images that a command is asked for.

    Parameters
    ----------
    output : Path
        The folder to write.
    prompts : sequence of str
    model : str
    seed, images : int
        The first seed, and how many images each prompt has.
    loading : LoadOptions
    generating : GenerationOptions
    dry_run : bool
        Tell what the images take, and generate few.
    few : dict of str to object
        Keywords with which they are then generated.
    """

    output: Path
    prompts: Sequence[str]
    model: str
    seed: int
    images: int
    loading: LoadOptions
    generating: GenerationOptions
    dry_run: bool = False
    few: dict[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds of every prompt."""
        return list(range(self.seed, self.seed + self.images))

    def call(self, indices: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
        """Return the keywords with which some prompts, by their numbers, are generated.

        The noise of an image is the same whichever images it is generated with.
        """
        from hrvlab.noise import image_generator

        noise: list[Generator] = [image_generator(s, i) for i in indices for s in seeds]
        mine = {"seed": seeds, "generator": noise, "progress": False}
        return {**mine, **self.generating.call, **self.few}


# The images of some prompts, by their numbers, and seeds.
Draw = Callable[[Sequence[int], Sequence[int]], "Images"]


def write_images(
    request: Request,
    prepare: Callable[[DiffusionPipeline], Draw],
    kinds: Sequence[str],
    parameters: dict[str, Any],
    vectors: xr.DataArray | None = None,
) -> None:
    """Write a folder of images, with their settings and a contact sheet; a stopped run resumes.

    Parameters
    ----------
    request : Request
    prepare : callable (pipe) -> callable (indices, seeds) -> ndarray of uint8
        Checks everything, and returns a function that generates images: prompt by prompt, seed by
        seed, kind by kind.
    kinds : sequence of str
        What images of one prompt and seed differ in; a single ``""`` for nothing.
    parameters : dict of str to object
        Of the command, for the settings.
    vectors : xarray.DataArray, optional
        Those that the parameter ``vectors`` names.
    """
    locate_model(request.model)
    if request.dry_run:
        say(f"forecast: {_rehearse(request, prepare, len(kinds))}")
        return
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.storage.galleries import SHEET, Gallery, check_folder

    check_folder(request.output)
    from hrvlab.models.load import load

    pipe = load(request.model, **vars(request.loading))
    check_steps(pipe, request.generating.steps)
    draw = prepare(pipe)
    together = max(request.generating.batch_size // len(kinds), 1)
    units = split_images(len(request.prompts), request.seeds, together)
    names = [
        [_name(index, seed, kind) for index in indices for seed in seeds for kind in kinds]
        for indices, seeds in units
    ]

    def compute(missing: Sequence[int]) -> Iterator[tuple[int, Unit]]:
        for number in missing:
            yield number, dict(zip(names[number], draw(*units[number]), strict=True))

    each = len(request.seeds) * len(kinds)
    plan = _plan(pipe, request, parameters, vectors)
    gallery = Gallery(request.output, plan, names, _settings(pipe, request, kinds, parameters))
    done = gallery.fill(compute, each if each > 1 else LONGEST_ROW)
    count = f"{len(request.prompts) * each} images"
    sheet = request.output / SHEET
    say(f"{count}, their settings and a contact sheet{'' if done else ' there already'}: {sheet}")


def split_images(
    prompts: int, seeds: Sequence[int], together: int
) -> list[tuple[Sequence[int], Sequence[int]]]:
    """Split prompts × seeds into units: several prompts with all seeds, or one with some.

    Parameters
    ----------
    prompts : int
        Number of prompts.
    seeds : sequence of int
    together : int
        Images of a unit, at most.

    Returns
    -------
    list of (sequence of int, sequence of int)
        Numbers of prompts, and seeds.
    """
    several = max(together // len(seeds), 1)
    return [
        (range(at, min(at + several, prompts)), seeds[first : first + together])
        for at in range(0, prompts, several)
        for first in range(0, len(seeds), together)
    ]


def _rehearse(request: Request, prepare: Callable[[DiffusionPipeline], Draw], kinds: int) -> DryRun:
    """Forecast the images from the first ones, generated in few steps."""
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.dry_run import rehearse_images
    from hrvlab.models.load import load
    from hrvlab.rehearsal import few_steps

    pipe = load(request.model, **vars(request.loading))
    check_steps(pipe, request.generating.steps)
    draw, call = prepare(pipe), request.generating.call
    request.few.update(few_steps(pipe, call))
    together = max(request.generating.batch_size // kinds, 1)
    first = split_images(len(request.prompts), request.seeds, together)[0]
    count = len(request.prompts) * len(request.seeds) * kinds
    return rehearse_images(pipe, lambda: draw(*first), count, few=request.few, **call)


def _name(index: int, seed: int, kind: str) -> str:
    return f"{index:03}-seed-{seed}{kind and f'-{kind}'}.png"


def _plan(
    pipe: DiffusionPipeline,
    request: Request,
    parameters: dict[str, Any],
    vectors: xr.DataArray | None,
) -> dict[str, Any]:
    """Return everything that determines the images."""
    from hrvlab.provenance import plan_of_model

    plan = {**plan_of_model(pipe), **parameters, **request.generating.call}
    if vectors is not None:
        plan["vectors"] = vectors.values  # of which a file may have others tomorrow
    return {**plan, "prompts": list(request.prompts), "seeds": request.seeds}


def _settings(
    pipe: DiffusionPipeline, request: Request, kinds: Sequence[str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """Return where the images come from, as JSON."""
    from hrvlab.provenance import provenance

    seeds = request.seeds
    all_parameters = {**parameters, **request.generating.call, "loading": vars(request.loading)}
    found = provenance(
        pipe, "images", seed=seeds if len(seeds) > 1 else seeds[0], parameters=all_parameters
    )
    for name in ("libraries", "parameters"):
        found[name] = json.loads(found[name])
    images = [
        {"prompt": text, "files": [_name(index, seed, kind) for seed in seeds for kind in kinds]}
        for index, text in enumerate(request.prompts)
    ]
    return {**found, "images": images}
