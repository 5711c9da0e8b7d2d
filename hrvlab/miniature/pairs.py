"""How well the judge sees each of two things side by side: thresholds, and their errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hrvlab.experiments.judge import Judge, load_judge
from hrvlab.experiments.pair_score import FILE, look, raw_score
from hrvlab.miniature import world
from hrvlab.miniature.drawing import draw
from hrvlab.miniature.pictures import as_images, as_tensor
from hrvlab.miniature.quality import NOISE, decoded, interval
from hrvlab.miniature.scenes import Figure, Scene
from hrvlab.models.load import load
from hrvlab.typing import Images

# Worlds of their own: thresholds are chosen in one, errors are measured in the other.
CHOICE_WORLD, CHECK_WORLD = 3, 4
THING, COLORED = "thing", "colored thing"
THINGS = tuple(t for t in world.THINGS if t.cue == t.word and t.category != "Shape")
THRESHOLDS = np.round(np.geomspace(0.001, 0.5, 28), 4)


@dataclass(frozen=True)
class Claim:
    """A text about a drawn scene, and why it is true or not.

    Parameters
    ----------
    scene : int
        Its number.
    text : str
    kind : str
        ``"thing"`` or ``"colored thing"``.
    because : str
        ``"there"``, or what makes it false.
    """

    scene: int
    text: str
    kind: str
    because: str


def draw_scenes(seed: int, count: int) -> list[Scene]:
    """Draw scenes of one thing or two, half of them in colours; in turn, as many of each."""
    scenes = []
    for index in range(count):
        rng = np.random.Generator(np.random.Philox(key=[seed, index]))
        things = rng.choice(len(THINGS), 2, replace=False)
        colors = rng.choice(world.PLAIN_COLORS, 2, replace=False)
        figures = tuple(
            Figure(THINGS[thing], str(color) if index % 2 else None)
            for thing, color in zip(things, colors, strict=True)
        )
        shown = figures if index % 4 < 2 else figures[:1]
        scenes.append(Scene(shown, seed=int(rng.integers(2**31))))
    return scenes


def make_claims(scenes: Sequence[Scene], seed: int) -> list[Claim]:
    """Claim of every scene what is true, and what a picture of two things can get wrong."""
    claims = []
    rng = np.random.Generator(np.random.Philox(key=seed))
    for number, scene in enumerate(scenes):
        shown = [figure.thing.name for figure in scene.figures]
        colors = [figure.color for figure in scene.figures]
        other = str(rng.choice([t.name for t in THINGS if t.name not in shown]))
        free = str(rng.choice([color for color in world.PLAIN_COLORS if color not in colors]))
        alone = len(shown) == 1
        absent = "not there, one thing alone" if alone else "not there, two others"
        claims.append(Claim(number, other, THING, absent))
        claims += [Claim(number, name, THING, "there") for name in shown if not alone]
        if alone:
            claims.append(Claim(number, f"{free} {other}", COLORED, absent))
        elif colors[0] is None:
            claims += [Claim(number, f"{free} {name}", COLORED, "no color") for name in shown]
        else:
            claims.append(Claim(number, f"{colors[0]} {other}", COLORED, absent))
            for name, own, wrong in zip(shown, colors, colors[::-1], strict=True):
                claims.append(Claim(number, f"{own} {name}", COLORED, "there"))
                claims.append(Claim(number, f"{wrong} {name}", COLORED, "the other's color"))
    return claims


def choose_threshold(scores: NDArray[np.float64], because: NDArray[np.str_]) -> float:
    """Choose where the true claims accepted and the false ones refused, kind by kind, are most."""
    reasons = sorted(set(because) - {"there"})

    def right(threshold: float) -> float:
        refused = [np.mean(scores[because == reason] < threshold) for reason in reasons]
        return float(np.mean(scores[because == "there"] >= threshold) + np.mean(refused))

    return float(max(THRESHOLDS, key=right))


def measure_pairs(folder: Path, *, scenes: int, seed: int = 0) -> None:
    """Choose thresholds, measure their errors, and write ``pairs.json`` beside the weights.

    Parameters
    ----------
    folder : Path
        The miniature's folder, with the judge in ``judge``.
    scenes : int
        Scenes that are drawn for each of the two.
    seed : int
        Of the noise on the pictures.
    """
    judge, autoencoder = load_judge(folder / "judge"), load(folder, device="cpu").vae

    def drawn(world_seed: int) -> tuple[list[Claim], torch.Tensor]:
        made = draw_scenes(world_seed, scenes)
        pixels = as_tensor(np.stack([draw(scene) for scene in made]))
        return make_claims(made, world_seed), decoded(autoencoder, pixels)

    claims, pixels = drawn(CHOICE_WORLD)
    scores, kinds, because = _rate(judge, claims, as_images(pixels))
    thresholds = {
        kind: choose_threshold(scores[kinds == kind], because[kinds == kind])
        for kind in (THING, COLORED)
    }
    claims, pixels = drawn(CHECK_WORLD)
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
    changes: dict[str, Callable[[], torch.Tensor]] = {
        "drawn": lambda: pixels,
        "drawn, blurred": lambda: nn.functional.avg_pool2d(pixels, 3, 1, 1),
        "drawn, noised": lambda: pixels + NOISE * noise,
    }
    rows = []
    for pictures, change in changes.items():
        scores, kinds, because = _rate(judge, claims, as_images(change()))
        for kind, threshold in thresholds.items():
            for reason in sorted(set(because[kinds == kind])):
                called = scores[(kinds == kind) & (because == reason)] >= threshold
                correct = int((called == (reason == "there")).sum())
                low, high = interval(correct, len(called))
                rows.append(
                    {
                        "question": f"{kind}: {reason}",
                        "pictures": pictures,
                        "correct": correct,
                        "of": len(called),
                        "low": round(low, 4),
                        "high": round(high, 4),
                    }
                )
    report = {"thresholds": thresholds, "scenes": scenes, "rates": rows}
    (folder / FILE).write_text(json.dumps(report, indent=1) + "\n")


def _rate(
    judge: Judge, claims: Sequence[Claim], images: Images
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.str_]]:
    """Give each claim's score, its kind, and why it is true or not."""
    views = look(judge, images)
    scores = np.array([raw_score(views, claim.scene, claim.text) for claim in claims])
    kinds = np.array([claim.kind for claim in claims])
    return scores, kinds, np.array([claim.because for claim in claims])
