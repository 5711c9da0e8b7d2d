"""``hrvlab capture``: record attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrvlab.cli.options import (
    Column,
    DryRun,
    Model,
    Prompt,
    Prompts,
    Seed,
    check_steps,
    path_option,
    prompts_from,
    say,
)
from hrvlab.cli.outputs import reserved
from hrvlab.cli.takes import takes
from hrvlab.errors import ParameterError
from hrvlab.models.locate import locate_model
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    import xarray as xr

LOST = "the capture is lost, for it was in memory only"


@takes(loading=LoadOptions, generating=GenerationOptions)
def capture(
    output: Annotated[
        Path, path_option("--output", "-o", help="Zarr store to write; must not exist yet.")
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(help="A word of every prompt whose maps to keep; may be given several times."),
    ] = None,
    grids: Annotated[
        list[int] | None,
        typer.Option(help="Keep the maps of layers with this grid size only; or several."),
    ] = None,
    model: Model = MINIATURE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Generate images and record how every head attends to every token.

    Example: hrvlab capture -o cars.zarr --prompt "a red car" --maps red --maps car --grids 8
    """
    texts = prompts_from(prompt, prompts, column)
    if grids and not maps:
        raise ParameterError("--grids are those of maps; name words with --maps too")
    locate_model(model)
    call = {"seed": seed, "maps": maps or None, "grids": grids or None, **generating.call}
    if dry_run:
        # Imported here so that help and errors of parameters need not wait for it.
        from hrvlab.dry_run import rehearse_capture
        from hrvlab.models.load import load

        pipe = load(model, **vars(loading))
        check_steps(pipe, generating.steps)
        say(f"forecast: {rehearse_capture(pipe, texts, **call)}")
        return
    with reserved(output):
        # Imported here so that help and errors of parameters need not wait for it.
        import xarray as xr

        from hrvlab.capture import capture as capture_attention
        from hrvlab.models.load import load
        from hrvlab.storage.datasets import write_tree

        pipe = load(model, **vars(loading))
        check_steps(pipe, generating.steps)
        captured = capture_attention(pipe, texts, **call)
        tree = captured if maps else xr.DataTree(captured)
        write_tree(tree, output, LOST)
    sizes = ", ".join(f"{name} {size}" for name, size in tree["attention"].sizes.items())
    say(f"captured {sizes}{_about_maps(tree)}: {output}")


def _about_maps(tree: xr.DataTree) -> str:
    """Say which maps a capture has."""
    sides = [name.removeprefix("grid_") for name in tree.children]
    if not sides:
        return ""
    words = next(iter(tree.children.values())).to_dataset()["map_word"].values
    return f", maps of {', '.join(words)} of grids {', '.join(sides)}"
