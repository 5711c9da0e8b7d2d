"""How good the miniature is: what two witnesses see in pictures whose truth is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from hrvlab.experiments.judge import load_judge
from hrvlab.generation import generate
from hrvlab.miniature.drawing import draw
from hrvlab.miniature.pictures import HELD_OUT_WORLD, as_images, as_tensor
from hrvlab.miniature.questions import (
    QUESTIONS,
    TWO_THINGS,
    Question,
    in_one_name,
    read_asked,
)
from hrvlab.miniature.scenes import Scene, caption, sample_scene
from hrvlab.models.load import fingerprint, load
from hrvlab.typing import Images

Z95 = 1.96
RETRIEVED_FROM = 200
GUIDANCE = 7.5
BATCH_SIZE = 16
NOISE = 0.1  # standard deviation, of pixels in [−1, 1]
FILE = "quality.json"

Witness = Callable[[Images, Question], list[str]]


def interval(correct: int, total: int) -> tuple[float, float]:
    """Give Wilson's 95 % interval of a rate."""
    rate, spread = correct / total, Z95**2 / total
    middle = rate + spread / 2
    half = Z95 * sqrt(rate * (1 - rate) / total + spread / (4 * total))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def measure(
    folder: Path, work: Path, *, images: int, scenes: int, steps: int, seed: int = 0
) -> None:
    """Measure an assembled miniature and write ``quality.json`` beside its weights.

    Parameters
    ----------
    folder : Path
        The pipeline folder, with the whole CLIP in ``clip`` and the judge in ``judge``.
    work : Path
        Keeps the generated pictures, so that a killed measurement goes on with the next row.
    images : int
        Pictures generated for each row of the table.
    scenes : int
        Held-out scenes drawn for the autoencoder and for the witnesses' own errors.
    steps : int
        Denoising steps.
    seed : int
    """
    pipe = load(folder)
    clip = CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "clip")
    witnesses = {"judge": judge_witness(folder), "CLIP": clip_witness(clip, tokenizer)}
    held_out = [sample_scene(HELD_OUT_WORLD, index) for index in range(scenes)]
    pixels = as_tensor(np.stack([draw(scene) for scene in held_out]))
    passed = decoded(pipe.vae, pixels)
    noise = torch.randn(passed.shape, generator=torch.Generator().manual_seed(seed))
    drawn = {
        "drawn": passed,
        "drawn, blurred": nn.functional.avg_pool2d(passed, 3, 1, 1),
        "drawn, noised": passed + NOISE * noise,
    }
    questions = {question.name: question for question in QUESTIONS}
    rows, of_answers = [], []
    for name, asking in read_asked().items():
        prompts, wanted = asking.ask(images)
        made = _made(pipe, prompts, work, seed=seed, num_inference_steps=steps)
        for witness, see in witnesses.items():
            seen = see(made, questions[asking.question])
            rows.append(_row(witness, name, "generated", wanted, seen))
            of_answers += _rows_of_answers(witness, name, wanted, seen)
    for question in QUESTIONS:
        chosen = [
            (index, answer)
            for index, scene in enumerate(held_out)
            if (answer := question.truth(scene)) in question.answers
        ]
        indices, answers = zip(*chosen, strict=True)
        for source, pictures in drawn.items():
            shown = as_images(pictures[list(indices)])
            rows += [
                _row(witness, question.name, source, answers, see(shown, question))
                for witness, see in witnesses.items()
            ]
    report = {
        "autoencoder_psnr_db": _psnr(pixels, passed),
        "clip_retrieval": _retrieval(clip, tokenizer, held_out, pixels),
        "retrieved_from": RETRIEVED_FROM,
        "steps": steps,
        "guidance_scale": GUIDANCE,
        "seed": seed,
        "rates": rows,
        "rates_of_answers": of_answers,
    }
    (folder / FILE).write_text(json.dumps(report, indent=1) + "\n")


def judge_witness(folder: Path) -> Witness:
    """Let the judge see; where it refuses an answer, that is an error."""
    judge = load_judge(folder / "judge")

    def see(images: Images, question: Question) -> list[str]:
        if question.name == TWO_THINGS:
            return [in_one_name(things) for things in judge.things(images)]
        return judge.answers(images)[question.name]

    return see


def clip_witness(clip: CLIPModel, tokenizer: CLIPTokenizer) -> Witness:
    """Let CLIP see the answer that it finds most like each picture."""

    def see(images: Images, question: Question) -> list[str]:
        tokens = tokenizer(list(question.answers), padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = clip(pixel_values=as_tensor(images), **tokens).logits_per_image
        return [question.answers[int(index)] for index in logits.argmax(1)]

    return see


def _made(pipe: DiffusionPipeline, prompts: list[str], work: Path, **call: Any) -> Images:
    """Generate pictures, or read them if that was done."""
    plan = json.dumps([fingerprint(pipe), GUIDANCE, BATCH_SIZE, prompts, call], sort_keys=True)
    path = work / f"measured-{hashlib.sha256(plan.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        made = generate(pipe, prompts, batch_size=BATCH_SIZE, guidance_scale=GUIDANCE, **call)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, made, allow_pickle=False)
        partial.rename(path)
    return np.load(path, allow_pickle=False)


def decoded(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Pass pictures (n, 3, y, x) through the autoencoder, as generated ones are."""
    with torch.no_grad():
        chunks = [
            autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample
            for chunk in pixels.split(250)
        ]
    return torch.cat(chunks).clamp(-1, 1)


def _psnr(pixels: Tensor, decoded: Tensor) -> float:
    error = (pixels - decoded).square().mean((1, 2, 3))
    return round(float((10 * torch.log10(4 / error)).mean()), 2)


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


def _rows_of_answers(
    witness: str, name: str, wanted: Sequence[str], seen: Sequence[str]
) -> list[dict[str, str | int | float]]:
    """Give the rate of every answer that was asked for."""
    asked = list(zip(wanted, seen, strict=True))
    return [
        _row(
            witness,
            f"{name}: {answer}",
            "generated",
            [answer] * wanted.count(answer),
            [found for right, found in asked if right == answer],
        )
        for answer in dict.fromkeys(wanted)
    ]


def _row(
    witness: str, question: str, source: str, answers: Sequence[str], seen: Sequence[str]
) -> dict[str, str | int | float]:
    right: NDArray[np.bool_] = np.asarray(answers) == np.asarray(seen)
    low, high = interval(int(right.sum()), len(right))
    return {
        "witness": witness,
        "question": question,
        "pictures": source,
        "correct": int(right.sum()),
        "of": len(right),
        "low": round(low, 4),
        "high": round(high, 4),
    }
