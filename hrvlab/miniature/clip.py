"""The miniature's own CLIP: its text tower conditions the UNet, both towers score images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel

from hrvlab.miniature.dataset import as_tensor, captions_of, render_images
from hrvlab.miniature.rendering import SIDE
from hrvlab.miniature.tokens import MAX_LENGTH
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPTokenizer

WIDTH = 128


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Build an untrained CLIP: two towers of 4 layers and width 128, patches of 16 × 16 pixels."""
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
        vision_config=tower | {"image_size": SIDE, "patch_size": 16},
        projection_dim=WIDTH,
    )
    return CLIPModel(config)


class ContrastiveLoss(nn.Module):
    """CLIP and its symmetric contrastive loss; identical captions count as positives.

    Parameters
    ----------
    clip : CLIPModel
    tokenizer : CLIPTokenizer
    """

    def __init__(self, clip: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.clip = clip
        self.tokenizer = tokenizer

    def forward(self, pixels: Tensor, captions: list[str]) -> Tensor:
        """Compute the loss, a scalar, for pixels (n, 3, y, x) in [−1, 1] and their n captions."""
        tokens = self.tokenizer(captions, padding=True, return_tensors="pt")
        logits = self.clip(pixel_values=pixels, **tokens).logits_per_image
        number = {text: i for i, text in enumerate(captions)}
        same = torch.tensor([number[text] for text in captions])
        target = (same[:, None] == same[None, :]).float()
        target = target / target.sum(1, keepdim=True)
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
        Draws the strength of both for each image; the noise itself is torch's.

    Returns
    -------
    Tensor of float, shape (n, 3, y, x)
    """
    blurred = nn.functional.avg_pool2d(pixels, 3, 1, 1)
    mix = torch.from_numpy(rng.uniform(0, 1, (len(pixels), 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.uniform(0, 0.12, (len(pixels), 1, 1, 1)).astype(np.float32))
    return pixels + mix * (blurred - pixels) + noise * torch.randn_like(pixels)


def clip_stage(
    tokenizer: CLIPTokenizer, folder: Path, *, images: int, steps: int, batch: int = 128
) -> Stage:
    """Build the stage that trains CLIP on rendered images and their captions.

    Parameters
    ----------
    tokenizer : CLIPTokenizer
    folder : Path
        Working folder.
    images, steps, batch : int
        Training images; optimizer steps; images in a step.
    """
    rendered = render_images(folder, images)

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(images, batch, replace=False))
        return model(soften(as_tensor(rendered[chosen]), rng), captions_of(chosen, rng))

    model = ContrastiveLoss(build_clip(tokenizer), tokenizer)
    return Stage("clip", model, loss, steps, 1e-3, 0.998)
