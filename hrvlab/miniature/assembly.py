"""Assembly of the trained stages into a diffusers pipeline folder, with CLIP and a report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from transformers import (
    CLIPImageProcessor,
    CLIPProcessor,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from hrvlab.miniature.autoencoder import encode_images, scaling_factor, trained_autoencoder
from hrvlab.miniature.clip import trained_clip
from hrvlab.miniature.denoiser import build_pipeline, trained_unet
from hrvlab.miniature.flow import scaled_encoders
from hrvlab.miniature.joint import NAME as JOINT
from hrvlab.miniature.joint import TEXT_LAYERS, build_joint_pipeline, trained_transformer
from hrvlab.miniature.report import TRAINING
from hrvlab.miniature.tokens import kept_tokenizer
from hrvlab.miniature.vocabulary import caption_words
from hrvlab.models.known_words import WORDS

if TYPE_CHECKING:
    from diffusers import StableDiffusion3Pipeline

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
    open_to_others(target)
    save_report(folder, target, TRAINED, images)


def open_to_others(target: Path) -> None:
    """Let others read the weights of a folder as any file, which safetensors closes to them."""
    umask = os.umask(0)
    os.umask(umask)
    for path in target.rglob("*.safetensors"):
        path.chmod(0o666 & ~umask)


def assemble_joint(folder: Path, target: Path, *, side: int, images: int) -> None:
    """Save what the joint-attention model has of its own; `load_joint` adds what it shares.

    Parameters
    ----------
    folder : Path
        Working folder of the training.
    target : Path
        Folder to write: transformer and scheduler, float16 on disk, and the training's report.
    side : int
        Of the images.
    images : int
        Training images.

    Raises
    ------
    StoreError
        If a stage has not been trained.
    """
    encoders, scale = scaled_encoders(folder, side, images)
    tokenizer, transformer = kept_tokenizer(folder), trained_transformer(folder, side, scale)
    autoencoder = trained_autoencoder(folder, side)
    pipe = build_joint_pipeline(autoencoder, encoders, tokenizer, transformer)
    pipe.save_config(target)
    pipe.scheduler.save_pretrained(target / "scheduler")
    transformer.to(torch.float16).save_pretrained(target / "transformer", safe_serialization=True)
    open_to_others(target)
    save_report(folder, target, (JOINT,), images)


def load_joint(folder: Path, miniature: Path) -> StableDiffusion3Pipeline:
    """Load the joint-attention model.

    Parameters
    ----------
    folder : Path
        From `assemble_joint`.
    miniature : Path
        From `assemble`, of the same training: it holds CLIP, the tokenizer and the autoencoder.
    """
    clip = miniature / "clip"
    encoders = [
        CLIPTextModelWithProjection.from_pretrained(
            clip, num_hidden_layers=layers, dtype=torch.float32
        )
        for layers in TEXT_LAYERS
    ]
    transformer = SD3Transformer2DModel.from_pretrained(
        folder / "transformer", torch_dtype=torch.float32
    )
    autoencoder = AutoencoderKL.from_pretrained(miniature / "vae", torch_dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(miniature / "tokenizer")
    return build_joint_pipeline(autoencoder, encoders, tokenizer, transformer)


def save_report(folder: Path, target: Path, stages: Sequence[str], images: int) -> None:
    """Write ``training.json``: the commit, and the hours and losses of stages.

    Parameters
    ----------
    folder : Path
        Working folder of the training.
    target : Path
        Folder to write to.
    stages : sequence of str
    images : int
        Training images.
    """
    curves = {stage: loss_curve(folder, stage) for stage in stages}
    hours = {stage: training_hours(folder, stage) for stage in stages}
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
