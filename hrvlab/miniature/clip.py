"""The miniature's own CLIP: its text tower conditions the UNet, the whole scores pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from hrvlab.miniature.drawing import SIDE
from hrvlab.miniature.pictures import as_tensor, captions_of, draw_pictures
from hrvlab.miniature.tokens import MAX_LENGTH
from hrvlab.miniature.training import Stage

WIDTH = 128


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Make an untrained CLIP: 4 layers of 128 in each tower, patches of 16 × 16 pixels."""
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


class Contrast(nn.Module):
    """CLIP with its contrastive loss, identical captions counted as positives."""

    def __init__(self, clip: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.clip = clip
        self.tokenizer = tokenizer

    def forward(self, pixels: Tensor, captions: list[str]) -> Tensor:
        """Give the loss for pixels (n, 3, y, x) in [−1, 1] and their n captions."""
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
    """Blur and noise a random part of the batch, as decoded pictures are."""
    blurred = nn.functional.avg_pool2d(pixels, 3, 1, 1)
    mix = torch.from_numpy(rng.uniform(0, 1, (len(pixels), 1, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.uniform(0, 0.12, (len(pixels), 1, 1, 1)).astype(np.float32))
    return pixels + mix * (blurred - pixels) + noise * torch.randn_like(pixels)


def clip_stage(
    tokenizer: CLIPTokenizer, folder: Path, *, pictures: int, steps: int, batch: int = 128
) -> Stage:
    """Train CLIP on drawn pictures and their captions."""
    drawn = draw_pictures(folder, pictures)

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(pictures, batch, replace=False))
        return model(soften(as_tensor(drawn[chosen]), rng), captions_of(chosen, rng))

    def preview(model: nn.Module, path: Path) -> None:
        """CLIP draws nothing."""

    model = Contrast(build_clip(tokenizer), tokenizer)
    return Stage("clip", model, loss, steps, 1e-3, 0.998, preview)
