"""Options that several commands share, and their output."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hrvlab.errors import ParameterError
from hrvlab.inputs.prompts import check_prompts, read_prompts

DEVICE = re.compile(r"(cpu|cuda|mps|xpu|npu|hpu|xla|mtia)(:\d+)?")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def _check_device(device: str | None) -> str | None:
    if device is not None and not DEVICE.fullmatch(device):
        raise ParameterError(
            f"unknown device {device!r}; give 'cpu', 'cuda', 'mps' or another accelerator of "
            "PyTorch, or one of several, as in 'cuda:1'"
        )
    return device


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
Seed = Annotated[int, typer.Option(min=0, help="Seed of the initial noise.")]
Steps = Annotated[int, typer.Option(min=1, help="Denoising steps.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images generated together.")]
Device = Annotated[
    str | None,
    typer.Option(
        callback=_check_device,
        help="'cpu', 'cuda', 'mps', …; default: an accelerator if there is one.",
    ),
]


def say(line: str) -> None:
    """Print a line without interpreting markup and without breaking it."""
    out.print(Text(line), soft_wrap=True)


def prompts_from(prompt: list[str] | None, prompts: str | None) -> list[str]:
    """Return the prompts of ``--prompt`` or of ``--prompts``.

    Raises
    ------
    ParameterError
        If both or neither are given, or they cannot be used.
    """
    if bool(prompt) == bool(prompts):
        raise ParameterError("give either --prompt, once or more, or --prompts with a file")
    texts = prompt or read_prompts(str(prompts))
    check_prompts(texts)
    return texts
