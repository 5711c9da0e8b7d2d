"""How good the miniature is: what its CLIP sees in pictures drawn from prompts of known truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from hrvlab.generation import generate
from hrvlab.miniature import world
from hrvlab.miniature.drawing import draw
from hrvlab.miniature.pictures import HELD_OUT_WORLD, as_tensor
from hrvlab.miniature.scenes import Scene, caption, sample_scene
from hrvlab.miniature.world import THING_BY_NAME, THINGS
from hrvlab.models.load import load

Z95 = 1.96
GUIDANCE = 7.5
BATCH_SIZE = 16
RETRIEVED_FROM = 200
FILE = "quality.json"


@dataclass(frozen=True)
class Question:
    """One thing a picture can get right or wrong.

    Parameters
    ----------
    name : str
    answers : tuple of str
        What CLIP chooses from, as texts.
    truth : callable
        Gives a scene's right answer; None where the question does not apply.
    prompt : callable
        Writes a prompt from a right answer and the name of a thing.
    """

    name: str
    answers: tuple[str, ...]
    truth: Callable[[Scene], str | None]
    prompt: Callable[[str, str], str]


def _count(scene: Scene) -> str | None:
    return next(word for word, number in world.COUNTS.items() if number == scene.count)


QUESTIONS = (
    Question(
        "object",
        tuple(THING_BY_NAME),
        lambda scene: scene.figures[0].thing.name if scene.count == 1 else None,
        lambda answer, thing: f"a {answer}",
    ),
    Question(
        "color",
        world.PLAIN_COLORS,
        lambda scene: scene.figures[0].color,
        lambda answer, thing: f"a {answer} {thing}",
    ),
    Question(
        "pattern",
        world.PATTERNS,
        lambda scene: scene.figures[0].pattern,
        lambda answer, thing: f"a {thing} with a {answer} pattern",
    ),
    Question(
        "material",
        world.MATERIALS,
        lambda scene: scene.figures[0].material,
        lambda answer, thing: f"a {thing} made of {answer}",
    ),
    Question(
        "style",
        world.STYLES,
        lambda scene: scene.style,
        lambda answer, thing: f"a {answer} style painting of a {thing}",
    ),
    Question(
        "weather",
        world.WEATHERS,
        lambda scene: scene.weather,
        lambda answer, thing: f"a {thing} on a {answer} day",
    ),
    Question(
        "scene",
        world.LANDSCAPES,
        lambda scene: scene.landscape,
        lambda answer, thing: f"a {thing} in the {answer}",
    ),
    Question(
        "count",
        ("two", "three", "four"),
        lambda scene: _count(scene) if scene.count > 1 else None,
        lambda answer, thing: f"{answer} {THING_BY_NAME[thing].plural}",
    ),
)


def interval(correct: int, total: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a rate."""
    rate, spread = correct / total, Z95**2 / total
    middle = rate + spread / 2
    half = Z95 * sqrt(rate * (1 - rate) / total + spread / (4 * total))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def measure(folder: Path, *, images: int, scenes: int, steps: int, seed: int = 0) -> None:
    """Measure an assembled miniature and write ``quality.json`` beside its weights.

    Parameters
    ----------
    folder : Path
        The pipeline folder, with the whole CLIP in ``clip/``.
    images : int
        Pictures generated for each question, at least; every answer is asked for equally often.
    scenes : int
        Held-out scenes drawn for the autoencoder and for CLIP's own error.
    steps : int
        Denoising steps.
    seed : int
    """
    pipe = load(folder)

    def drawn_by_model(prompts: list[str]) -> Tensor:
        return as_tensor(
            generate(
                pipe,
                prompts,
                seed=seed,
                batch_size=BATCH_SIZE,
                num_inference_steps=steps,
                guidance_scale=GUIDANCE,
            )
        )

    clip = CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "clip")
    held_out = [sample_scene(HELD_OUT_WORLD, index) for index in range(scenes)]
    pixels = as_tensor(np.stack([draw(scene) for scene in held_out]))
    decoded = _decoded(pipe.vae, pixels)
    rows = []
    for question in QUESTIONS:
        single = [
            (index, answer)
            for index, scene in enumerate(held_out)
            if len(scene.figures) == 1 and (answer := question.truth(scene)) in question.answers
        ]
        indices, answers = zip(*single, strict=True)
        seen = _seen(clip, tokenizer, decoded[list(indices)], question.answers)
        rows.append(_row(question.name, "drawn", answers, seen))
        prompts, wanted = _prompts(question, images, seed)
        seen = _seen(clip, tokenizer, drawn_by_model(prompts), question.answers)
        rows.append(_row(question.name, "generated", wanted, seen))
    pairs = sorted(world.HELD_OUT_PAIRS) * -(-images // len(world.HELD_OUT_PAIRS))
    prompts = [f"a {color} {thing}" for color, thing in pairs]
    seen = _seen(clip, tokenizer, drawn_by_model(prompts), world.PLAIN_COLORS)
    rows.append(_row("color, pair never drawn", "generated", [c for c, _ in pairs], seen))
    report = {
        "autoencoder_psnr_db": _psnr(pixels, decoded),
        "clip_retrieval": _retrieval(clip, tokenizer, held_out, pixels),
        "retrieved_from": RETRIEVED_FROM,
        "steps": steps,
        "guidance_scale": GUIDANCE,
        "seed": seed,
        "rates": rows,
    }
    (folder / FILE).write_text(json.dumps(report, indent=1) + "\n")


def _decoded(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        chunks = [
            autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample
            for chunk in pixels.split(250)
        ]
    return torch.cat(chunks).clamp(-1, 1)


def _psnr(pixels: Tensor, decoded: Tensor) -> float:
    error = (pixels - decoded).square().mean((1, 2, 3))
    return round(float((10 * torch.log10(4 / error)).mean()), 2)


def _seen(
    clip: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor, answers: Sequence[str]
) -> list[str]:
    """Give the answer that CLIP finds most like each picture."""
    tokens = tokenizer(list(answers), padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = clip(pixel_values=pixels, **tokens).logits_per_image
    return [answers[int(index)] for index in logits.argmax(1)]


def _retrieval(
    clip: CLIPModel, tokenizer: CLIPTokenizer, scenes: Sequence[Scene], pixels: Tensor
) -> float:
    """Give the share of pictures whose own caption ranks first among those of many."""
    rng = np.random.default_rng(0)
    hits: list[bool] = []
    for start in range(0, len(scenes), RETRIEVED_FROM):
        captions = [caption(scene, rng) for scene in scenes[start : start + RETRIEVED_FROM]]
        chunk = pixels[start : start + RETRIEVED_FROM]
        tokens = tokenizer(captions, padding=True, return_tensors="pt")
        with torch.no_grad():
            best = clip(pixel_values=chunk, **tokens).logits_per_image.argmax(1)
        hits += [captions[int(b)] == own for b, own in zip(best, captions, strict=True)]
    return round(float(np.mean(hits)), 4)


def _prompts(question: Question, images: int, seed: int) -> tuple[list[str], list[str]]:
    """Write prompts that go through the answers in turn, each with things of one sense."""
    rng = np.random.default_rng(seed)
    plain = [thing.name for thing in THINGS if thing.cue == thing.word]
    rounds = -(-images // len(question.answers))
    answers = list(question.answers) * rounds
    prompts = [question.prompt(answer, plain[rng.integers(len(plain))]) for answer in answers]
    return [_with_right_article(prompt) for prompt in prompts], answers


def _with_right_article(prompt: str) -> str:
    words = prompt.split()
    following = [*words[1:], ""]
    return " ".join(
        "an" if word == "a" and after[:1] in tuple("aeiou") else word
        for word, after in zip(words, following, strict=True)
    )


def _row(
    name: str, source: str, answers: Sequence[str], seen: Sequence[str]
) -> dict[str, str | int | float]:
    right: NDArray[np.bool_] = np.asarray(answers) == np.asarray(seen)
    low, high = interval(int(right.sum()), len(right))
    return {
        "question": name,
        "pictures": source,
        "correct": int(right.sum()),
        "of": len(right),
        "low": round(low, 4),
        "high": round(high, 4),
    }
