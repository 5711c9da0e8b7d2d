"""A working folder as trainings of denoisers find it, with models that are not trained."""

import numpy as np
import torch

from hrvlab.miniature.autoencoder import ReconstructionLoss, build_autoencoder
from hrvlab.miniature.checkpoints import checkpoint_path, save_checkpoint
from hrvlab.miniature.clip import ContrastiveLoss, build_clip
from hrvlab.miniature.optimizer import Optimizer
from hrvlab.miniature.tokens import kept_tokenizer


def fill(folder):
    """Put an untrained CLIP and autoencoder, and latents of 250 images, in a folder."""
    torch.manual_seed(0)
    _save(folder, "clip", ContrastiveLoss(build_clip(kept_tokenizer(folder), 64)))
    _save(folder, "autoencoder", ReconstructionLoss(build_autoencoder(64)))
    np.save(folder / "latent-channels.npy", np.ones((2, 6), np.float32))
    latents = np.random.default_rng(0).normal(0, 2, (250, 6, 16, 16)).astype(np.float16)
    np.save(folder / "latents-64-250.npy", latents)


def _save(folder, name, model):
    settings = {"rate": 1e-3, "muon_rate": 1e-2, "ema_decay": 0.9, "device": torch.device("cpu")}
    save_checkpoint(checkpoint_path(folder, name), Optimizer(model, **settings), step=0, seconds=0)
