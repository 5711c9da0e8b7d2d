"""The miniature's own CLIP: its text tower conditions the UNet, both towers score images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPConfig, CLIPModel

from hrvlab.miniature.checkpoints import averaged_weights
from hrvlab.miniature.dataset import as_tensor, render_images
from hrvlab.miniature.tokens import MAX_LENGTH, START_FOLDER, encode_captions, kept_tokenizer
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPTokenizer

    from hrvlab.miniature.training import Budget

NAME = "clip"
WIDTH = 128


def build_clip(tokenizer: CLIPTokenizer, side: int) -> CLIPModel:
    """Build an untrained CLIP: two towers of 4 layers and width 128, 4 × 4 patches."""
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "projection_dim": WIDTH,
    }
    config = CLIPConfig(
        text_config=tower
        | {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": MAX_LENGTH,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config=tower | {"image_size": side, "patch_size": side // 4},
        projection_dim=WIDTH,
    )
    return CLIPModel(config)


class ContrastiveLoss(nn.Module):
    """CLIP and its symmetric contrastive loss; identical captions count as positives."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Compute the loss, a scalar.

        Parameters
        ----------
        pixels : Tensor of float, shape (n, 3, y, x)
            In [−1, 1].
        ids : Tensor of int64, shape (n, token)
            The captions of the images, padded.
        """
        pixels = pixels.to(self.clip.dtype)
        logits = self.clip(pixel_values=pixels, input_ids=ids).logits_per_image.float()
        same = (ids[:, None] == ids[None, :]).all(-1).float()
        target = same / same.sum(1, keepdim=True)
        over_texts = -(target * logits.log_softmax(1)).sum(1).mean()
        over_images = -(target * logits.log_softmax(0)).sum(0).mean()
        return (over_texts + over_images) / 2


def soften(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Augment pixels with random blur and noise, so that they resemble decoded images.

    Parameters
    ----------
    pixels : Tensor of float, shape (n, 3, y, x)
        In [−1, 1].
    rng : numpy.random.Generator
        Draws the strength of both for each image, and the noise.

    Returns
    -------
    Tensor of float, shape (n, 3, y, x)
    """
    blurred = nn.functional.avg_pool2d(pixels, 3, 1, 1)
    mix = torch.from_numpy(rng.uniform(0, 1, (len(pixels), 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.uniform(0, 0.12, (len(pixels), 1, 1, 1)).astype(np.float32))
    grain = torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32))
    return pixels + mix * (blurred - pixels) + noise * grain


def clip_stage(folder: Path, *, side: int, images: int, budget: Budget, batch: int = 128) -> Stage:
    """Build the stage that trains CLIP on rendered images and their captions.

    Parameters
    ----------
    folder : Path
        Working folder.
    side : int
        Of the images.
    images : int
        Training images.
    budget : Budget
    batch : int
        Images in a step.
    """
    rendered = render_images(folder, images, side)
    captions = encode_captions(folder, images)

    def sample(rng: np.random.Generator, progress: float) -> list[Tensor]:
        chosen = rng.choice(images, batch, replace=False)
        kinds = rng.integers(captions.shape[1], size=batch)
        ids = torch.from_numpy(captions[chosen, kinds].astype(np.int64))
        return [soften(as_tensor(rendered[chosen]), rng), ids]

    clip = build_clip(kept_tokenizer(folder), side)
    start_from_weights(clip, folder / START_FOLDER / "clip" / "model.safetensors")
    return Stage(NAME, ContrastiveLoss(clip), sample, budget, rate=1e-3, muon_rate=0.01)


def start_from_weights(clip: CLIPModel, path: Path) -> None:
    """Start from an earlier CLIP, if there is one, whose tokenizer this one's extends.

    Parameters
    ----------
    clip : CLIPModel
    path : Path
        Weights of the earlier one.
    """
    if path.exists():
        weights, own = load_file(path), clip.state_dict()
        for name, weight in weights.items():
            if own[name].shape == weight.shape:
                own[name] = weight.float()
            else:  # new tokens are appended
                own[name][: len(weight)] = weight.float()
        clip.load_state_dict(own)


def trained_clip(folder: Path, side: int) -> tuple[CLIPModel, CLIPTokenizer]:
    """Load the trained CLIP and its tokenizer from the working folder."""
    weights = averaged_weights(folder, NAME)
    tokenizer = kept_tokenizer(folder)
    clip = build_clip(tokenizer, side)
    clip.load_state_dict({key.removeprefix("clip."): value for key, value in weights.items()})
    return clip.eval(), tokenizer
