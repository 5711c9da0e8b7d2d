"""Training of the judge, a classifier that learns from rendered scenes, independently of CLIP."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from hrvlab.miniature import world
from hrvlab.miniature.arrays import kept_array, spread
from hrvlab.miniature.autoencoder import AT_ONCE, encode_images, trained_autoencoder
from hrvlab.miniature.checkpoints import averaged_weights
from hrvlab.miniature.clip import soften
from hrvlab.miniature.dataset import (
    CHUNK,
    as_images,
    as_judged,
    as_tensor,
    render_images,
    scenes_of,
)
from hrvlab.miniature.training import Stage
from hrvlab.scorers.judge import CONFIG, NONE, OBJECTS, WEIGHTS, JudgeNetwork
from hrvlab.scorers.pair_judge import PARTS, enlarge
from hrvlab.storage.atomic import write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.miniature.scenes import Scene
    from hrvlab.miniature.training import Budget

IGNORED = -100  # the target that torch's cross entropy ignores
DECODED = 24_000
# What is seen in the whole image alone.
HIDDEN_IN_PARTS = ("weather", "scene")

QUESTIONS: dict[str, list[str]] = {
    OBJECTS: list(world.OBJECT_BY_NAME),
    "count": list(world.COUNTS),
    "color": [NONE, *world.COLORS],
    "pattern": [NONE, *world.PATTERNS],
    "material": [NONE, *world.MATERIALS],
    "style": [NONE, *world.STYLES],
    "weather": [NONE, *world.WEATHERS],
    "scene": [NONE, *world.LANDSCAPES],
}


def truth(scene: Scene) -> dict[str, str | None]:
    """Look up the correct answer to every question about a scene, except which objects it has.

    Color, pattern, material and count are defined for scenes with one kind of object. A style
    overrides colors, patterns and materials, so these are undefined where there is one.

    Parameters
    ----------
    scene : Scene

    Returns
    -------
    dict of str to str or None
        None where the answer is undefined.
    """
    answers: dict[str, str | None] = {
        "style": scene.style or NONE,
        "weather": scene.weather or NONE,
        "scene": scene.landscape or NONE,
        **dict.fromkeys(("count", "color", "pattern", "material")),
    }
    if len(scene.figures) == 1:
        (figure,) = scene.figures
        answers["count"] = list(world.COUNTS)[scene.count - 1]
        if not scene.style:
            answers["color"] = figure.color or NONE
            answers["pattern"] = figure.pattern or NONE
            answers["material"] = figure.material or NONE
    return answers


def targets(scenes: list[Scene]) -> dict[str, Tensor]:
    """Encode the ground truth of scenes as classification targets.

    Parameters
    ----------
    scenes : list of Scene

    Returns
    -------
    dict of str to Tensor
        ``"object"``: float32 (n, object), 1 where the object is in the scene. Every other
        question: int64 (n,), the index of the answer, −100 where it is undefined.
    """
    present = torch.zeros(len(scenes), len(QUESTIONS[OBJECTS]))
    for row, scene in zip(present, scenes, strict=True):
        for figure in scene.figures:
            row[QUESTIONS[OBJECTS].index(figure.object.name)] = 1
    truths = [truth(scene) for scene in scenes]
    numbers = {
        name: torch.tensor(
            [IGNORED if (a := t[name]) is None else answers.index(a) for t in truths]
        )
        for name, answers in QUESTIONS.items()
        if name != OBJECTS
    }
    return {OBJECTS: present, **numbers}


class JudgeLoss(nn.Module):
    """The judge's network and its loss: a classification loss summed over the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.network = JudgeNetwork(QUESTIONS)

    def forward(self, pixels: Tensor, *targets: Tensor) -> Tensor:
        """Compute the loss, a scalar, for pixels (n, 3, 64, 64) in [−1, 1] and their targets."""
        wanted = dict(zip(QUESTIONS, targets, strict=True))
        dtype = next(self.network.parameters()).dtype
        logits = {name: found.float() for name, found in self.network(pixels.to(dtype)).items()}
        objects = nn.functional.binary_cross_entropy_with_logits(logits[OBJECTS], wanted[OBJECTS])
        others = [
            nn.functional.cross_entropy(logits[name], wanted[name], ignore_index=IGNORED)
            for name in QUESTIONS
            if name != OBJECTS
        ]
        return objects * len(QUESTIONS[OBJECTS]) / 4 + torch.stack(others).sum()


def decode_images(folder: Path, *, side: int, images: int) -> NDArray[np.uint8]:
    """Pass the first rendered images through the autoencoder, or read them from an earlier run.

    Parameters
    ----------
    folder : Path
        Working folder, which keeps the decoded images.
    side : int
        Of the images.
    images : int
        Training images.

    Returns
    -------
    ndarray of uint8, shape (min(images, 24000), side, side, 3)
        Memory-mapped.
    """
    count = min(DECODED, images)
    path = folder / f"decoded-{side}-{count}.npy"
    if not path.exists():
        encode_images(folder, side=side, images=images)
    compute = partial(spread, partial(_decode_chunk, folder, side, images))
    return kept_array(path, (count, side, side, 3), np.uint8, compute, chunk=CHUNK)


def _decode_chunk(folder: Path, side: int, images: int, start: int) -> NDArray[np.uint8]:
    torch.set_num_threads(1)
    autoencoder = trained_autoencoder(folder, side)
    latents = encode_images(folder, side=side, images=images)[start : start + CHUNK]
    parts = torch.from_numpy(latents.astype(np.float32)).split(AT_ONCE)
    with torch.no_grad():
        return np.concatenate([as_images(autoencoder.decode(part).sample) for part in parts])


def judge_stage(folder: Path, *, side: int, images: int, budget: Budget, batch: int = 96) -> Stage:
    """Build the stage that trains the judge.

    A third of every batch are rendered images, a third are images decoded by the autoencoder, and a
    third are parts of images of two objects, enlarged as `hrvlab.scorers.pair_judge` does to look
    at one of the two. All are augmented with blur and noise.

    Parameters
    ----------
    folder : Path
        Working folder.
    side : int
        Of the images; the judge sees them at 64 × 64.
    images : int
        Training images.
    budget : Budget
    batch : int
        Images in a step.
    """
    rendered = render_images(folder, images, side)
    decoded = decode_images(folder, side=side, images=images)
    scenes = scenes_of(np.arange(images))
    pairs = np.array([index for index, scene in enumerate(scenes) if len(scene.figures) == 2])

    def version(index: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        both = index < len(decoded) and rng.random() < 0.5
        return (decoded if both else rendered)[index : index + 1]

    def sample(rng: np.random.Generator, progress: float) -> list[Tensor]:
        of_rendered = rng.choice(len(rendered), batch // 3)
        of_decoded = rng.choice(len(decoded), batch // 3)
        of_pairs = rng.choice(pairs, batch // 3)
        which = rng.integers(2, size=len(of_pairs))
        wholes = [rendered[of_rendered], decoded[of_decoded]]
        parts = [
            enlarge(as_judged(version(index, rng)), PARTS[part])
            for index, part in zip(of_pairs, which, strict=True)
        ]
        pixels = as_tensor(np.concatenate([*map(as_judged, wholes), *parts]))
        shown = [scenes[index] for index in (*of_rendered, *of_decoded)]
        shown += [part_of(scenes[i], part) for i, part in zip(of_pairs, which, strict=True)]
        wanted = targets(shown)
        for name in HIDDEN_IN_PARTS:
            wanted[name][-len(parts) :] = IGNORED
        return [soften(pixels, rng), *wanted.values()]

    return Stage("judge", JudgeLoss(), sample, budget)


def part_of(scene: Scene, part: int) -> Scene:
    """Return what the left (0) or the right (1) part of a scene of two objects shows."""
    return replace(scene, figures=(scene.figures[part],))


def save_judge(folder: Path, target: Path) -> None:
    """Save the trained judge, float16 on disk, in ``target/judge``."""
    weights = averaged_weights(folder, "judge")
    own = {k.removeprefix("network."): v.half().contiguous() for k, v in weights.items()}
    (target / "judge").mkdir(parents=True, exist_ok=True)
    write_whole(target / "judge" / WEIGHTS, save(own))
    config = json.dumps({"questions": QUESTIONS}, indent=1)
    (target / "judge" / CONFIG).write_text(config + "\n")
