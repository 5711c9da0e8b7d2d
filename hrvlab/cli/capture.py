"""``hrvlab capture``: record attention."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hrvlab.cli.options import (
    BatchSize,
    Device,
    Model,
    Prompt,
    Prompts,
    Seed,
    Steps,
    prompts_from,
    say,
)
from hrvlab.errors import ParameterError
from hrvlab.models.locate import locate_model
from hrvlab.paths import MINIATURE, user_path


def capture(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Zarr store to write; must not exist yet.")
    ],
    prompt: Prompt = None,
    prompts: Prompts = None,
    model: Model = MINIATURE,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
) -> None:
    """Generate images and record how every head attends to every token."""
    texts = prompts_from(prompt, prompts)
    output = user_path(output)
    if output.exists():
        raise ParameterError(f"{output} already exists; remove it, or choose another --output")
    locate_model(model)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.capture import capture as capture_attention
    from hrvlab.models.load import load
    from hrvlab.storage.datasets import write_dataset

    dataset = capture_attention(
        load(model, device=device),
        texts,
        seed=seed,
        num_inference_steps=steps,
        batch_size=batch_size,
    )
    write_dataset(dataset, output)
    sizes = ", ".join(f"{name} {size}" for name, size in dataset["attention"].sizes.items())
    say(f"captured {sizes}: {output}")
