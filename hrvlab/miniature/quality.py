"""The quality report: how often two evaluators find in images what is known to be the truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from hrvlab.generation import generate
from hrvlab.miniature.dataset import HELD_OUT_WORLD, as_images, as_judged, as_tensor
from hrvlab.miniature.questions import (
    QUESTIONS,
    TWO_OBJECTS,
    Question,
    join_names,
    read_quality_prompts,
)
from hrvlab.miniature.rendering import render
from hrvlab.miniature.scenes import caption, sample_scene
from hrvlab.models.load import fingerprint, load
from hrvlab.scorers.judge import load_judge
from hrvlab.statistics import proportion_interval
from hrvlab.typing import Images

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DiffusionPipeline
    from torch import Tensor

    from hrvlab.miniature.scenes import Scene

RETRIEVED_FROM = 200
GUIDANCE = 7.5
BATCH_SIZE = 16
NOISE = 0.1  # standard deviation, for pixels in [−1, 1]
FILE = "quality.json"

# Answers a question about each of some images.
Evaluator = Callable[[Images, Question], list[str]]
Rate = dict[str, str | int | float]


def measure_quality(
    folder: Path, work: Path, *, images: int, scenes: int, steps: int, seed: int = 0
) -> None:
    """Measure an assembled miniature and write ``quality.json`` beside its weights.

    Parameters
    ----------
    folder : Path
        Pipeline folder, with CLIP in ``clip`` and the judge in ``judge``.
    work : Path
        Keeps the generated images, so that an interrupted measurement resumes.
    images : int
        Images generated for each prompt set.
    scenes : int
        Held-out scenes rendered to measure the autoencoder, CLIP's retrieval and the error rates
        of the evaluators themselves.
    steps : int
        Denoising steps.
    seed : int
        Of the generated images and of the noise on the rendered ones.
    """
    pipe = load(folder)
    clip = CLIPModel.from_pretrained(folder / "clip", dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / "clip")
    evaluators = {"judge": judge_evaluator(folder), "CLIP": clip_evaluator(clip, tokenizer)}
    held_out = [sample_scene(HELD_OUT_WORLD, index) for index in range(scenes)]
    side = pipe.vae.config.sample_size
    pixels = as_tensor(np.stack([render(scene, side) for scene in held_out]))
    decoded = reconstruct(pipe.vae, pixels)
    call = {"seed": seed, "num_inference_steps": steps}
    generated, of_answers = _rates_of_generated(pipe, evaluators, work, images, call)
    report = {
        "autoencoder_psnr_db": _psnr(pixels, decoded),
        "clip_retrieval": _retrieval(clip, tokenizer, held_out, pixels),
        "retrieved_from": RETRIEVED_FROM,
        "steps": steps,
        "guidance_scale": GUIDANCE,
        "seed": seed,
        "rates": generated + _rates_of_rendered(evaluators, held_out, decoded, seed),
        "rates_of_answers": of_answers,
    }
    (folder / FILE).write_text(json.dumps(report, indent=1) + "\n")


def judge_evaluator(folder: Path) -> Evaluator:
    """Load the judge as an evaluator; its answer "none" counts as an error."""
    judge = load_judge(folder / "judge")

    def answer(images: Images, question: Question) -> list[str]:
        images = as_judged(images)
        if question.name == TWO_OBJECTS:
            return [join_names(names) for names in judge.objects(images)]
        return judge.answers(images)[question.name]

    return answer


def clip_evaluator(clip: CLIPModel, tokenizer: CLIPTokenizer) -> Evaluator:
    """Build an evaluator that picks the answer of highest CLIP similarity with each image."""

    def answer(images: Images, question: Question) -> list[str]:
        tokens = tokenizer(list(question.answers), padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = clip(pixel_values=as_tensor(images), **tokens).logits_per_image
        return [question.answers[int(index)] for index in logits.argmax(1)]

    return answer


def reconstruct(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Encode and decode pixels (n, 3, y, x), so that they look like generated images."""
    with torch.no_grad():
        chunks = [
            autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample
            for chunk in pixels.split(250)
        ]
    return torch.cat(chunks).clamp(-1, 1)


def degradations(pixels: Tensor, seed: int) -> dict[str, Tensor]:
    """Blur and noise pixels, to test how much the evaluators depend on image quality.

    Parameters
    ----------
    pixels : Tensor of float, shape (n, 3, y, x)
        Reconstructions of rendered images, in [−1, 1].
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to Tensor
        ``"rendered"``, ``"rendered, blurred"`` and ``"rendered, noised"``.
    """
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
    return {
        "rendered": pixels,
        "rendered, blurred": nn.functional.avg_pool2d(pixels, 3, 1, 1),
        "rendered, noised": pixels + NOISE * noise,
    }


def _rates_of_generated(
    pipe: DiffusionPipeline,
    evaluators: Mapping[str, Evaluator],
    work: Path,
    images: int,
    call: Mapping[str, int],
) -> tuple[list[Rate], list[Rate]]:
    """Measure how often generated images show what their prompts ask for, also by answer."""
    questions = {question.name: question for question in QUESTIONS}
    rates, of_answers = [], []
    for name, prompt_set in read_quality_prompts().items():
        prompts, wanted = prompt_set.prompts(images)
        generated = _generate(pipe, prompts, work, **call)
        for evaluator, answer in evaluators.items():
            found = answer(generated, questions[prompt_set.question])
            rates.append(_rate(evaluator, name, "generated", wanted, found))
            of_answers += _rates_of_answers(evaluator, name, wanted, found)
    return rates, of_answers


def _rates_of_rendered(
    evaluators: Mapping[str, Evaluator], scenes: Sequence[Scene], decoded: Tensor, seed: int
) -> list[Rate]:
    """Measure how often the evaluators are right about scenes whose truth is known."""
    versions = degradations(decoded, seed)
    rates = []
    for question in QUESTIONS:
        chosen = [
            (index, truth)
            for index, scene in enumerate(scenes)
            if (truth := question.truth(scene)) in question.answers
        ]
        indices, truths = zip(*chosen, strict=True)
        for source, pixels in versions.items():
            images = as_images(pixels[list(indices)])
            rates += [
                _rate(evaluator, question.name, source, truths, answer(images, question))
                for evaluator, answer in evaluators.items()
            ]
    return rates


def _generate(pipe: DiffusionPipeline, prompts: list[str], work: Path, **call: Any) -> Images:
    """Generate images, or read them from an earlier run."""
    plan = json.dumps([fingerprint(pipe), GUIDANCE, BATCH_SIZE, prompts, call], sort_keys=True)
    path = work / f"measured-{hashlib.sha256(plan.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        images = generate(pipe, prompts, batch_size=BATCH_SIZE, guidance_scale=GUIDANCE, **call)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, images, allow_pickle=False)
        partial.rename(path)
    return np.load(path, allow_pickle=False)


def _psnr(pixels: Tensor, decoded: Tensor) -> float:
    error = (pixels - decoded).square().mean((1, 2, 3))
    return round(float((10 * torch.log10(4 / error)).mean()), 2)


def _retrieval(
    clip: CLIPModel, tokenizer: CLIPTokenizer, scenes: Sequence[Scene], pixels: Tensor
) -> float:
    """Compute the share of images whose own caption CLIP ranks first among those of many."""
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


def _rates_of_answers(
    evaluator: str, name: str, wanted: Sequence[str], found: Sequence[str]
) -> list[Rate]:
    """Compute a separate rate for every answer that the prompts ask for."""
    both = list(zip(wanted, found, strict=True))
    return [
        _rate(
            evaluator,
            f"{name}: {answer}",
            "generated",
            [answer] * wanted.count(answer),
            [other for right, other in both if right == answer],
        )
        for answer in dict.fromkeys(wanted)
    ]


def _rate(
    evaluator: str, question: str, source: str, wanted: Sequence[str], found: Sequence[str]
) -> Rate:
    right: NDArray[np.bool_] = np.asarray(wanted) == np.asarray(found)
    return {"evaluator": evaluator} | rate_row(question, source, right)


def rate_row(question: str, source: str, right: NDArray[np.bool_]) -> Rate:
    """Summarize how often a question was answered correctly.

    Parameters
    ----------
    question : str
    source : str
        Which images were asked about: ``"generated"``, ``"rendered"``, ….
    right : ndarray of bool, shape (image,)

    Returns
    -------
    dict
        ``question``, ``images`` (the source), ``correct``, ``of``, and the bounds of the 95 %
        interval, ``low`` and ``high``.
    """
    correct = int(right.sum())
    low, high = proportion_interval(correct, len(right))
    return {
        "question": question,
        "images": source,
        "correct": correct,
        "of": len(right),
        "low": round(low, 4),
        "high": round(high, 4),
    }
