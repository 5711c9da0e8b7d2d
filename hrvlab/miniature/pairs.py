"""Calibration of the judge on two objects side by side: its thresholds and its error rates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hrvlab.miniature import world
from hrvlab.miniature.dataset import as_images, as_judged, as_tensor
from hrvlab.miniature.quality import degradations, rate_row, reconstruct
from hrvlab.miniature.rendering import render
from hrvlab.miniature.scenes import Figure, Scene
from hrvlab.models.load import load
from hrvlab.scorers.judge import OBJECTS as JUDGED_OBJECTS
from hrvlab.scorers.judge import load_judge
from hrvlab.scorers.pair_judge import FILE, look, raw_score

if TYPE_CHECKING:
    import torch

    from hrvlab.miniature.world import WorldObject
    from hrvlab.scorers.judge import Judge
    from hrvlab.typing import Images

# Thresholds are chosen on the scenes of one world, error rates are measured on those of another.
CHOICE_WORLD, CHECK_WORLD = 3, 4
OBJECT, COLORED = "object", "colored object"
TRUE = "there"
OBJECTS = tuple(o for o in world.OBJECTS if o.cue == o.word and o.category != "Shape")
THRESHOLDS = np.round(np.geomspace(0.001, 0.5, 28), 4)


@dataclass(frozen=True)
class Claim:
    """A phrase about a rendered scene, true or false for a known reason.

    Parameters
    ----------
    scene : int
        Index of the scene.
    text : str
        ``"cat"`` or ``"red cat"``.
    kind : str
        ``"object"`` or ``"colored object"``.
    reason : str
        ``"there"`` if the claim is true, else what makes it false.
    """

    scene: int
    text: str
    kind: str
    reason: str


def sample_scenes(seed: int, count: int, objects: Sequence[WorldObject] = OBJECTS) -> list[Scene]:
    """Sample scenes with one object or two, colored or not, each kind equally often.

    Parameters
    ----------
    seed, count : int
    objects : sequence of WorldObject

    Returns
    -------
    list of Scene
    """
    scenes = []
    for index in range(count):
        rng = np.random.Generator(np.random.Philox(key=[seed, index]))
        chosen = rng.choice(len(objects), 2, replace=False)
        colors = rng.choice(world.PLAIN_COLORS, 2, replace=False)
        figures = tuple(
            Figure(objects[number], str(color) if index % 2 else None)
            for number, color in zip(chosen, colors, strict=True)
        )
        shown = figures if index % 4 < 2 else figures[:1]
        scenes.append(Scene(shown, seed=int(rng.integers(2**31))))
    return scenes


def make_claims(
    scenes: Sequence[Scene], seed: int, objects: Sequence[WorldObject] = OBJECTS
) -> list[Claim]:
    """Build true and false claims about scenes, with the errors that two objects invite.

    Parameters
    ----------
    scenes : sequence of Scene
    seed : int
        Of the absent objects and colors in the false claims.
    objects : sequence of WorldObject
        From which absent ones are chosen.

    Returns
    -------
    list of Claim
        Several for each scene.
    """
    claims = []
    rng = np.random.Generator(np.random.Philox(key=seed))
    for number, scene in enumerate(scenes):
        shown = [figure.object.name for figure in scene.figures]
        colors = [figure.color for figure in scene.figures]
        other = str(rng.choice([o.name for o in objects if o.name not in shown]))
        free = str(rng.choice([color for color in world.PLAIN_COLORS if color not in colors]))
        alone = len(shown) == 1
        absent = "not there, one object alone" if alone else "not there, two others"
        claims.append(Claim(number, other, OBJECT, absent))
        claims += [Claim(number, name, OBJECT, TRUE) for name in shown if not alone]
        if alone:
            claims.append(Claim(number, f"{free} {other}", COLORED, absent))
        elif colors[0] is None:
            claims += [Claim(number, f"{free} {name}", COLORED, "no color") for name in shown]
        else:
            claims.append(Claim(number, f"{colors[0]} {other}", COLORED, absent))
            for name, own, wrong in zip(shown, colors, colors[::-1], strict=True):
                claims.append(Claim(number, f"{own} {name}", COLORED, TRUE))
                claims.append(Claim(number, f"{wrong} {name}", COLORED, "the other's color"))
    return claims


def choose_threshold(scores: NDArray[np.float64], reasons: NDArray[np.str_]) -> float:
    """Choose the threshold of highest balanced accuracy, the false claims balanced by reason.

    Parameters
    ----------
    scores : ndarray of float64, shape (claim,)
    reasons : ndarray of str, shape (claim,)
        ``"there"`` for true claims, else what makes the claim false.

    Returns
    -------
    float
    """
    false = sorted(set(reasons) - {TRUE})

    def accuracy(threshold: float) -> float:
        rejected = [np.mean(scores[reasons == reason] < threshold) for reason in false]
        return float(np.mean(scores[reasons == TRUE] >= threshold) + np.mean(rejected))

    return float(max(THRESHOLDS, key=accuracy))


def measure_pairs(folder: Path, *, scenes: int, seed: int = 0) -> None:
    """Choose the thresholds, measure their error rates, and write ``pairs.json``.

    Parameters
    ----------
    folder : Path
        The miniature's folder, with the judge in ``judge``.
    scenes : int
        Scenes rendered for the choice, and again for the error rates.
    seed : int
        Of the noise on the images.
    """
    judge, autoencoder = load_judge(folder / "judge"), load(folder, device="cpu").vae
    objects = [each for each in OBJECTS if each.name in judge.questions[JUDGED_OBJECTS]]
    side = autoencoder.config.sample_size

    def rendered(world_seed: int) -> tuple[list[Claim], torch.Tensor]:
        sampled = sample_scenes(world_seed, scenes, objects)
        pixels = as_tensor(np.stack([render(scene, side) for scene in sampled]))
        return make_claims(sampled, world_seed, objects), reconstruct(autoencoder, pixels)

    claims, pixels = rendered(CHOICE_WORLD)
    scores, kinds, reasons = _score(judge, claims, as_images(pixels))
    thresholds = {
        kind: choose_threshold(scores[kinds == kind], reasons[kinds == kind])
        for kind in (OBJECT, COLORED)
    }
    claims, pixels = rendered(CHECK_WORLD)
    rows = []
    for source, version in degradations(pixels, seed).items():
        scores, kinds, reasons = _score(judge, claims, as_images(version))
        for kind, threshold in thresholds.items():
            for reason in sorted(set(reasons[kinds == kind])):
                accepted = scores[(kinds == kind) & (reasons == reason)] >= threshold
                rows.append(rate_row(f"{kind}: {reason}", source, accepted == (reason == TRUE)))
    report = {"thresholds": thresholds, "scenes": scenes, "rates": rows}
    (folder / FILE).write_text(json.dumps(report, indent=1) + "\n")


def _score(
    judge: Judge, claims: Sequence[Claim], images: Images
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.str_]]:
    """Return each claim's score, its kind, and the reason that it is true or false."""
    views = look(judge, as_judged(images))
    scores = np.array([raw_score(views, claim.scene, claim.text) for claim in claims])
    kinds = np.array([claim.kind for claim in claims])
    return scores, kinds, np.array([claim.reason for claim in claims])
