"""``hrvlab capture``: record attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

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
from hrvlab.cli.takes import takes
from hrvlab.errors import ParameterError
from hrvlab.models.locate import locate_model
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE

LOST = "the capture is lost, for it was in memory only"


@takes(loading=LoadOptions, generating=GenerationOptions)
def capture(
    output: Annotated[
        Path, path_option("--output", "-o", help="Zarr store to write; must not exist yet.")
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    model: Model = MINIATURE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Generate images and record how every head attends to every token."""
    texts = prompts_from(prompt, prompts, column)
    locate_model(model)
    if dry_run:
        # Imported here so that help and errors of parameters need not wait for it.
        from hrvlab.dry_run import rehearse_capture
        from hrvlab.models.load import load

        pipe = load(model, **vars(loading))
        check_steps(pipe, generating.steps)
        say(f"forecast: {rehearse_capture(pipe, texts, seed=seed, **generating.call)}")
        return
    with _reserved(output):
        # Imported here so that help and errors of parameters need not wait for it.
        from hrvlab.capture import capture as capture_attention
        from hrvlab.models.load import load
        from hrvlab.storage.datasets import write_dataset

        pipe = load(model, **vars(loading))
        check_steps(pipe, generating.steps)
        dataset = capture_attention(pipe, texts, seed=seed, **generating.call)
        write_dataset(dataset, output, LOST)
    sizes = ", ".join(f"{name} {size}" for name, size in dataset["attention"].sizes.items())
    say(f"captured {sizes}: {output}")


@contextmanager
def _reserved(output: Path) -> Iterator[None]:
    """Make a folder that no other process makes meanwhile; remove it if it stays empty."""
    # Imported here because filesystems are tried only once everything else is right.
    from hrvlab.storage.atomic import check_writable, storing

    check_writable(output.parent)
    with storing(output, "nothing was computed yet"):
        try:
            output.mkdir()
        except FileExistsError as error:
            raise ParameterError(
                f"{output} already exists; remove it, or choose another --output"
            ) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            output.rmdir()
        raise
