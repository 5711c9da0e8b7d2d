"""How long the steering panel takes from a slider's move to the image, on the miniature."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import torch
import typer
from ipywidgets import Label
from rich.console import Console

import hrvlab as hl
from hrvlab.widgets import steering_panel
from hrvlab.widgets.steering import FINISHED

PROMPTS = 16  # enough for vectors, whose values do not change the cost


def main(
    moves: Annotated[int, typer.Option(help="Timed slider moves.")] = 20,
    steps: Annotated[int, typer.Option(help="Denoising steps of an image.")] = 20,
) -> None:
    """Move a slider repeatedly, and wait for the image each time."""
    pipe = hl.load("miniature")
    concepts = hl.ConceptSet.read("miniature")
    prompts = hl.read_prompts("miniature")[:PROMPTS]
    votes = hl.collect_votes(pipe, concepts, prompts, num_inference_steps=steps, progress=False)
    panel = steering_panel(
        pipe,
        votes.hrv.relevance(),
        model="miniature",
        prompt="a photo of a rose",
        word="rose",
        toward="Color",
        away="Plants",
        num_inference_steps=steps,
        progress=False,
    )
    *_, sliders, last = panel.children
    strength, status = sliders.children[0], last.children[-1]
    wait(status)
    seconds = []
    for value in np.random.default_rng(0).uniform(-1, 4, moves).round(1):
        status.value = ""
        start = time.perf_counter()
        strength.value = float(value)
        wait(status)
        seconds.append(time.perf_counter() - start)
    Console().print(
        f"{moves} moves, {steps} steps: median {np.median(seconds):.2f} s, worst "
        f"{max(seconds):.2f} s; torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


def wait(status: Label) -> None:
    """Wait until the panel has finished its image."""
    while status.value != FINISHED:
        time.sleep(0.005)


if __name__ == "__main__":
    typer.run(main)
