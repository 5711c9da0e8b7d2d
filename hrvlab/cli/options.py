"""Options that several commands have, and how commands speak."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hrvlab.errors import ParameterError
from hrvlab.prompts import read_prompts

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Model = Annotated[
    str, typer.Option("--model", "-m", help="'miniature', a pipeline folder, or a hub id.")
]
Prompt = Annotated[list[str] | None, typer.Option("--prompt", help="A prompt.")]
Prompts = Annotated[
    str | None,
    typer.Option(help="A text file (one a line), a YAML file, 'miniature' or 'imagenet'."),
]
Seed = Annotated[int, typer.Option(help="Seed of the initial noise.")]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
BatchSize = Annotated[int, typer.Option(help="Images that go through the model together.")]
Device = Annotated[
    str | None, typer.Option(help="'cpu', 'cuda', 'mps', …; default: the accelerator there is.")
]


def say(line: str) -> None:
    """Print a line as it is."""
    out.print(Text(line), soft_wrap=True)


def prompts_from(prompt: list[str] | None, prompts: str | None) -> list[str]:
    """Give the prompts that were given, in one of two ways."""
    if bool(prompt) == bool(prompts):
        raise ParameterError("give either --prompt, once or more, or --prompts with a file")
    return prompt or read_prompts(str(prompts))
