"""Options that several commands share, and their output."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hrvlab.errors import ParameterError
from hrvlab.inputs.prompts import read_prompts

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Model = Annotated[
    str, typer.Option("--model", "-m", help="'miniature', a pipeline folder or a hub id.")
]
Prompt = Annotated[
    list[str] | None, typer.Option("--prompt", help="A prompt; may be given several times.")
]
Prompts = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        help="Text file with one prompt per line, YAML file, 'miniature' or 'imagenet'.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the initial noise.")]
Steps = Annotated[int, typer.Option(help="Denoising steps.")]
BatchSize = Annotated[int, typer.Option(help="Images generated together.")]
Device = Annotated[
    str | None,
    typer.Option(help="'cpu', 'cuda', 'mps', …; default: an accelerator if there is one."),
]


def say(line: str) -> None:
    """Print a line without interpreting markup and without breaking it."""
    out.print(Text(line), soft_wrap=True)


def prompts_from(prompt: list[str] | None, prompts: str | None) -> list[str]:
    """Return the prompts of ``--prompt`` or of ``--prompts``.

    Raises
    ------
    ParameterError
        If both or neither are given.
    """
    if bool(prompt) == bool(prompts):
        raise ParameterError("give either --prompt, once or more, or --prompts with a file")
    return prompt or read_prompts(str(prompts))
