"""Training of the judge: it learns from drawn scenes, and never sees CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from hrvlab.experiments.judge import CONFIG, NONE, OBJECTS, WEIGHTS, JudgeNetwork
from hrvlab.miniature import world
from hrvlab.miniature.clip import soften
from hrvlab.miniature.denoiser import encode_pictures
from hrvlab.miniature.pictures import as_images, as_tensor, draw_pictures, scenes_of
from hrvlab.miniature.scenes import Scene
from hrvlab.miniature.training import Stage, averaged_weights

NOT_ASKED = -100  # what torch's cross entropy ignores
DECODED = 24_000

QUESTIONS: dict[str, list[str]] = {
    OBJECTS: list(world.THING_BY_NAME),
    "count": list(world.COUNTS),
    "color": [NONE, *world.COLORS],
    "pattern": [NONE, *world.PATTERNS],
    "material": [NONE, *world.MATERIALS],
    "style": [NONE, *world.STYLES],
    "weather": [NONE, *world.WEATHERS],
    "scene": [NONE, *world.LANDSCAPES],
}


def truth(scene: Scene) -> dict[str, str | None]:
    """Give the right answers about a scene; None where a question has no single one.

    Colour, pattern, material and count are those of a single kind of thing. A style changes
    colours and materials, so these are not asked of it.
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
    """Turn truth into what the losses need.

    Returns
    -------
    dict of str to Tensor
        For objects float (n, thing), 1 where it is in the scene; for every other question int64
        (n), the number of the answer.
    """
    present = torch.zeros(len(scenes), len(QUESTIONS[OBJECTS]))
    for row, scene in zip(present, scenes, strict=True):
        for figure in scene.figures:
            row[QUESTIONS[OBJECTS].index(figure.thing.name)] = 1
    truths = [truth(scene) for scene in scenes]
    numbers = {
        name: torch.tensor(
            [NOT_ASKED if (a := t[name]) is None else answers.index(a) for t in truths]
        )
        for name, answers in QUESTIONS.items()
        if name != OBJECTS
    }
    return {OBJECTS: present, **numbers}


class Judging(nn.Module):
    """The judge's network with its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.network = JudgeNetwork(QUESTIONS)

    def forward(self, pixels: Tensor, wanted: dict[str, Tensor]) -> Tensor:
        """Give the loss for pixels (n, 3, y, x) in [−1, 1] and their targets."""
        logits = self.network(pixels)
        objects = nn.functional.binary_cross_entropy_with_logits(logits[OBJECTS], wanted[OBJECTS])
        others = [
            nn.functional.cross_entropy(logits[name], wanted[name], ignore_index=NOT_ASKED)
            for name in QUESTIONS
            if name != OBJECTS
        ]
        return objects * len(QUESTIONS[OBJECTS]) / 4 + torch.stack(others).sum()


def decode_pictures(folder: Path, autoencoder: AutoencoderKL, pictures: int) -> NDArray[np.uint8]:
    """Pass the first drawn pictures through the autoencoder, or read them if that was done.

    Returns
    -------
    ndarray of uint8, shape (at most 24000, 64, 64, 3)
    """
    count = min(DECODED, pictures)
    path = folder / f"decoded-{count}.npy"
    if not path.exists():
        latents = encode_pictures(folder, autoencoder, pictures)[:count]
        chunks = []
        with torch.no_grad():
            for start in tqdm(range(0, count, 500), "decode"):
                chunk = torch.from_numpy(latents[start : start + 500].astype(np.float32))
                chunks.append(as_images(autoencoder.decode(chunk).sample))
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(chunks), allow_pickle=False)
        partial.rename(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def judge_stage(
    folder: Path, autoencoder: AutoencoderKL, *, pictures: int, steps: int, batch: int = 96
) -> Stage:
    """Train the judge on drawn pictures, half of them decoded, all blurred and noised a little."""
    drawn = draw_pictures(folder, pictures)
    decoded = decode_pictures(folder, autoencoder, pictures)

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        plain = np.sort(rng.choice(len(drawn), batch // 2, replace=False))
        passed = np.sort(rng.choice(len(decoded), batch - batch // 2, replace=False))
        pixels = as_tensor(np.concatenate([drawn[plain], decoded[passed]]))
        wanted = targets(scenes_of(np.concatenate([plain, passed])))
        return model(soften(pixels, rng), wanted)

    def preview(model: nn.Module, path: Path) -> None:
        """The judge draws nothing."""

    return Stage("judge", Judging(), loss, steps, 1e-3, 0.998, preview)


def save_judge(folder: Path, target: Path) -> None:
    """Write the trained judge, float16 on disk, into ``target/judge``."""
    weights = averaged_weights(folder, "judge")
    own = {k.removeprefix("network."): v.half().contiguous() for k, v in weights.items()}
    (target / "judge").mkdir(parents=True, exist_ok=True)
    save_file(own, target / "judge" / WEIGHTS)
    config = json.dumps({"questions": QUESTIONS}, indent=1)
    (target / "judge" / CONFIG).write_text(config + "\n")
