"""Options that several commands share, and their output."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hrvlab.errors import ParameterError
from hrvlab.inputs.prompts import check_prompts, read_prompts
from hrvlab.paths import user_path

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

LARGEST_SEED = 2**63 - 1  # of 64 bits, which stores and random generators have
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
        help="File of prompts (lines, CSV, TSV, JSON, YAML, parquet), 'miniature' or 'imagenet'.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Try a little of the run, tell its time, memory and bytes, and exit.",
    ),
]
Column = Annotated[
    str | None, typer.Option(help="Of the file of prompts, if it is not called 'prompt' or alike.")
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the initial noise.")]
Steps = Annotated[int, typer.Option(min=1, help="Denoising steps.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images generated together.")]
Device = Annotated[
    str | None,
    typer.Option(
        callback=_check_device,
        help="'cpu', 'cuda', 'mps', …; default: an accelerator if there is one.",
    ),
]


def a_path(given: str | Path) -> Path:
    """Parse a path on the command line; ``~`` is the home folder."""
    if not str(given).strip() or "\0" in str(given):
        raise typer.BadParameter("it is empty; give a path")
    return user_path(given)


def a_folder(given: str | Path) -> Path:
    """Parse the path of a folder, which need not exist."""
    path = a_path(given)
    if path.is_file():
        raise typer.BadParameter(f"{path} is a file; give a folder")
    return path


def path_option(*names: str, help: str, folder: bool = False) -> Any:
    """Return an option that takes a path, or a folder."""
    return typer.Option(*names, parser=a_folder if folder else a_path, metavar="PATH", help=help)


def check_steps(pipe: DiffusionPipeline, steps: int) -> None:
    """Check that a pipeline's scheduler can make so many steps, before anything is generated.

    Raises
    ------
    ParameterError
        If it has fewer.
    """
    most = int(pipe.scheduler.config.num_train_timesteps)
    if steps > most:
        raise ParameterError(
            f"--steps {steps} is more than the {most} timesteps that the model was trained with; "
            f"give 1 to {most}"
        )


def say(line: str) -> None:
    """Print a line without interpreting markup and without breaking it."""
    out.print(Text(_printable(line)), soft_wrap=True)


def say_error(line: str) -> None:
    """Print a red line on stderr."""
    err.print(Text(_printable(line), style="red"), soft_wrap=True)


def _printable(line: str) -> str:
    """Escape what is not Unicode, such as bytes of a file's name in another encoding."""
    return line.encode(errors="backslashreplace").decode()


def prompts_from(
    prompt: list[str] | None, prompts: str | None, column: str | None = None
) -> list[str]:
    """Return the prompts of ``--prompt`` or of ``--prompts``, there of a ``--column``.

    Raises
    ------
    ParameterError
        If both or neither are given, or they cannot be used.
    """
    if bool(prompt) == bool(prompts):
        raise ParameterError("give either --prompt, once or more, or --prompts with a file")
    if prompt and column is not None:
        raise ParameterError("--column is of a file of prompts; leave it out, or give --prompts")
    texts = prompt or read_prompts(str(prompts), column)
    check_prompts(texts)
    if odd := [text for text in texts if _printable(text) != text]:
        raise ParameterError(f"the prompt {odd[0]!r} is not UTF-8 text; type it again")
    return texts
