"""Assembly of the trained stages into a diffusers pipeline folder, with CLIP and a report."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import torch
from transformers import CLIPImageProcessor, CLIPProcessor

from hrvlab.miniature.autoencoder import encode_images, scaling_factor, trained_autoencoder
from hrvlab.miniature.clip import trained_clip
from hrvlab.miniature.denoiser import build_pipeline, trained_unet
from hrvlab.miniature.report import TRAINING
from hrvlab.miniature.vocabulary import caption_words
from hrvlab.models.known_words import WORDS

TRAINED = ("clip", "autoencoder", "denoiser", "decoder", "judge")


def assemble(folder: Path, target: Path, *, side: int, images: int) -> None:
    """Save the trained stages as a Stable Diffusion pipeline folder, float16 on disk.

    Parameters
    ----------
    folder : Path
        Working folder of the training.
    target : Path
        Pipeline folder to write, with both towers of CLIP in ``target/clip``, the words of its
        captions in ``target/words.txt`` and the training's report (commit, hours, losses) in
        ``target/training.json``.
    side : int
        Of the images.
    images : int
        Training images.

    Raises
    ------
    StoreError
        If a stage has not been trained.
    """
    clip, tokenizer = trained_clip(folder, side)
    autoencoder = trained_autoencoder(folder, side)
    latents = encode_images(folder, side=side, images=images)
    autoencoder.register_to_config(scaling_factor=scaling_factor(latents))
    pipe = build_pipeline(autoencoder, clip.text_model, tokenizer, trained_unet(folder, side))
    pipe.to(torch.float16).save_pretrained(target, safe_serialization=True)
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    CLIPProcessor(image_processor, tokenizer).save_pretrained(target / "clip")
    clip.half().save_pretrained(target / "clip", safe_serialization=True)
    for config in (target / "text_encoder" / "config.json", target / "clip" / "config.json"):
        _load_as_float32(config)
    (target / WORDS).write_text("\n".join(caption_words()) + "\n")
    curves = {stage: loss_curve(folder, stage) for stage in TRAINED}
    hours = {stage: training_hours(folder, stage) for stage in TRAINED}
    report = {"commit": _commit(), "images": images, "hours": hours, "losses": curves}
    (target / TRAINING).write_text(json.dumps(report) + "\n")


def _commit() -> str | None:
    """Return the commit of this code, or None if it was installed without its history."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None  # git would search the parent folders and find another repository
    command = ["git", "describe", "--always", "--exclude=*", "--dirty", "--abbrev=40"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip() or None


def loss_curve(folder: Path, stage: str) -> dict[str, list[float]]:
    """Read the logged losses of a stage; of a step that a resumed run logged again, the later one.

    Returns
    -------
    dict of str to list
        ``step`` and ``loss``, sorted by step.
    """
    lines = (folder / f"{stage}.jsonl").read_text().splitlines()
    losses = {entry["step"]: entry["loss"] for entry in map(json.loads, lines)}
    steps = sorted(losses)
    return {"step": steps, "loss": [losses[step] for step in steps]}


def training_hours(folder: Path, stage: str) -> float:
    """Sum the hours that a stage took, including steps that a resumed run repeated."""
    lines = (folder / f"{stage}.jsonl").read_text().splitlines()
    return round(sum(json.loads(line)["seconds"] for line in lines) / 3600, 2)


def _load_as_float32(config: Path) -> None:
    """Set the dtype to float32: transformers would load the float16 file as float16."""
    content = json.loads(config.read_text())
    content["dtype"] = "float32"
    config.write_text(json.dumps(content, indent=2) + "\n")
