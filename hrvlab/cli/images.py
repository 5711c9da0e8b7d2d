"""Commands that write images: what they are asked for, and how it is carried out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrvlab.cli.options import check_steps, path_option, say
from hrvlab.cli.outputs import reserved
from hrvlab.models.locate import locate_model

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Generator

    from hrvlab.options import GenerationOptions, LoadOptions
    from hrvlab.typing import Images

MOST_IMAGES = 10_000
LONGEST_ROW = 8  # images of the contact sheet where each prompt has one

Output = Annotated[
    Path,
    path_option(
        "--output", "-o", help="Folder of images, settings and contact sheet; must not exist yet."
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
    """

    output: Path
    prompts: Sequence[str]
    model: str
    seed: int
    images: int
    loading: LoadOptions
    generating: GenerationOptions

    @property
    def seeds(self) -> list[int]:
        """The seeds of every prompt."""
        return list(range(self.seed, self.seed + self.images))

    def call(self, indices: Sequence[int]) -> dict[str, Any]:
        """Return the keywords with which some prompts, by their numbers, are generated.

        The noise of an image is the same whichever prompts it is generated with.
        """
        from hrvlab.noise import image_generator

        noise: list[Generator] = [image_generator(s, i) for i in indices for s in self.seeds]
        mine = {"seed": self.seeds, "generator": noise, "progress": False}
        return {**mine, **self.generating.call}


Draw = Callable[[Sequence[int]], "Images"]  # the images of some prompts, by their numbers


def write_images(
    request: Request,
    prepare: Callable[[DiffusionPipeline], Draw],
    kinds: Sequence[str],
    parameters: dict[str, Any],
) -> None:
    """Write a folder of images, with their settings and a contact sheet.

    Parameters
    ----------
    request : Request
    prepare : callable (pipe) -> callable (indices) -> ndarray of uint8
        Checks everything, and returns a function that generates the images of some prompts: prompt
        by prompt, seed by seed, kind by kind.
    kinds : sequence of str
        What images of one prompt and seed differ in; a single ``""`` for nothing.
    parameters : dict of str to object
        Of the command, for the settings.
    """
    locate_model(request.model)
    with reserved(request.output):
        # Imported here so that help and errors of parameters need not wait for it.
        from hrvlab.models.load import load
        from hrvlab.progress import track
        from hrvlab.storage.galleries import SHEET, Gallery

        pipe = load(request.model, **vars(request.loading))
        check_steps(pipe, request.generating.steps)
        draw = prepare(pipe)
        count, each = len(request.prompts), len(request.seeds) * len(kinds)
        names = [
            [_name(index, seed, kind) for seed in request.seeds for kind in kinds]
            for index in range(count)
        ]
        columns = each if each > 1 else LONGEST_ROW
        gallery = Gallery(request.output, columns, _settings(pipe, request, names, parameters))
        together = max(request.generating.batch_size // each, 1)
        parts = [range(at, min(at + together, count)) for at in range(0, count, together)]
        for part in track(parts, "images", disable=len(parts) == 1):
            gallery.add([name for index in part for name in names[index]], draw(part))
        gallery.finish()
    say(f"{count * each} images, their settings and a contact sheet: {request.output / SHEET}")


def _name(index: int, seed: int, kind: str) -> str:
    return f"{index:03}-seed-{seed}{kind and f'-{kind}'}.png"


def _settings(
    pipe: DiffusionPipeline,
    request: Request,
    names: Sequence[Sequence[str]],
    parameters: dict[str, Any],
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
        {"prompt": text, "files": list(files)}
        for text, files in zip(request.prompts, names, strict=True)
    ]
    return {**found, "images": images}
