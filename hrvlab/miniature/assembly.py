"""Assembly of the trained stages into a diffusers pipeline folder, with CLIP and the judge."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPProcessor

from hrvlab.miniature.autoencoder import build_autoencoder, encode_images, scaling_factor
from hrvlab.miniature.clip import build_clip
from hrvlab.miniature.denoiser import build_pipeline, build_scheduler, build_unet
from hrvlab.miniature.lessons import LESSONS
from hrvlab.miniature.rendering import SIDE
from hrvlab.miniature.report import TRAINING, read_report
from hrvlab.miniature.tokens import TOKENIZER, kept_tokenizer
from hrvlab.miniature.training import averaged_weights, checkpoint_path, save_finished

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer

TRAINED = ("clip", "autoencoder", "judge", *LESSONS)


def trained_clip(folder: Path) -> tuple[CLIPModel, CLIPTokenizer]:
    """Load the trained CLIP and its tokenizer from the working folder."""
    weights = _part(averaged_weights(folder, "clip"), "clip")
    tokenizer = kept_tokenizer(folder)
    clip = build_clip(tokenizer)
    clip.load_state_dict(weights)
    return clip.eval(), tokenizer


def trained_autoencoder(folder: Path) -> AutoencoderKL:
    """Load the trained autoencoder from the working folder."""
    autoencoder = build_autoencoder()
    autoencoder.load_state_dict(_part(averaged_weights(folder, "autoencoder"), "autoencoder"))
    return autoencoder.eval()


def trained_unet(folder: Path, lesson: str) -> UNet2DConditionModel:
    """Load the UNet from the working folder as it was at the end of a lesson."""
    unet = build_unet()
    unet.load_state_dict(_part(averaged_weights(folder, lesson), "unet"))
    return unet


def assemble(folder: Path, target: Path, *, images: int) -> None:
    """Save the trained stages as a Stable Diffusion pipeline folder, float16 on disk.

    Parameters
    ----------
    folder : Path
        Working folder of the training.
    target : Path
        Pipeline folder to write, with both towers of CLIP in ``target/clip`` and the training's
        report (commit, hours, losses) in ``target/training.json``.
    images : int
        Training images.

    Raises
    ------
    StoreError
        If a stage has not been trained.
    """
    clip, tokenizer = trained_clip(folder)
    autoencoder = trained_autoencoder(folder)
    latents = encode_images(folder, autoencoder, images)
    autoencoder.register_to_config(scaling_factor=scaling_factor(latents))
    unet = trained_unet(folder, list(LESSONS)[-1])
    pipe = build_pipeline(autoencoder, clip.text_model, tokenizer, unet, build_scheduler())
    pipe.to(torch.float16).save_pretrained(target, safe_serialization=True)
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    CLIPProcessor(image_processor, tokenizer).save_pretrained(target / "clip")
    clip.half().save_pretrained(target / "clip", safe_serialization=True)
    for config in (target / "text_encoder" / "config.json", target / "clip" / "config.json"):
        _load_as_float32(config)
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


def unpack(pipeline: Path, folder: Path) -> None:
    """Restore the working folder of a training from its assembled pipeline, to continue from it.

    The pipeline holds only the final weights of the UNet; they are used for every lesson. Stages
    that the folder already has are left as they are.

    Parameters
    ----------
    pipeline : Path
        Pipeline folder that `assemble` wrote.
    folder : Path
        Working folder to restore.

    Raises
    ------
    StoreError
        If the folder was not written by `assemble`.
    """
    report = read_report(pipeline)
    unet = _shipped(pipeline / "unet" / "diffusion_pytorch_model.safetensors", "unet")
    weights = {
        "clip": _shipped(pipeline / "clip" / "model.safetensors", "clip"),
        "autoencoder": _shipped(
            pipeline / "vae" / "diffusion_pytorch_model.safetensors", "autoencoder"
        ),
        "judge": _shipped(pipeline / "judge" / "model.safetensors", "network"),
        **dict.fromkeys(LESSONS, unet),
    }
    folder.mkdir(parents=True, exist_ok=True)
    if not checkpoint_path(folder, "clip").exists():
        shutil.copyfile(pipeline / "tokenizer" / TOKENIZER, folder / TOKENIZER)
    for stage, curve in report["losses"].items():
        if not checkpoint_path(folder, stage).exists():
            points = zip(curve["step"], curve["loss"], strict=True)
            entries = [{"step": step, "loss": loss, "seconds": 0.0} for step, loss in points]
            entries[-1]["seconds"] = report["hours"][stage] * 3600
            lines = [json.dumps(entry) for entry in entries]
            (folder / f"{stage}.jsonl").write_text("\n".join(lines) + "\n")
            save_finished(folder, stage, curve["step"][-1], weights[stage])


def _shipped(path: Path, name: str) -> dict[str, Tensor]:
    return {f"{name}.{key}": tensor.float() for key, tensor in load_file(path).items()}


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


def _part(weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _load_as_float32(config: Path) -> None:
    """Set the dtype to float32: transformers would load the float16 file as float16."""
    content = json.loads(config.read_text())
    content["dtype"] = "float32"
    config.write_text(json.dumps(content, indent=2) + "\n")
