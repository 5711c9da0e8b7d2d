"""The miniature's UNet: Stable Diffusion 1.4's layout of 16 layers × 8 heads on 8 × 8 latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from hrvlab.miniature.autoencoder import LATENT_CHANNELS
from hrvlab.miniature.clip import WIDTH
from hrvlab.miniature.drawing import SIDE
from hrvlab.miniature.lessons import LESSONS, Lesson
from hrvlab.miniature.pictures import as_tensor, captions_of, draw_pictures, scenes_of
from hrvlab.miniature.sheets import save_sheet
from hrvlab.miniature.training import Stage

CHANNELS = (64, 96, 128)
EMPTY_CAPTIONS = 0.1
MIN_SNR = 5.0  # Hang et al. 2023: cap on the weight of nearly noiseless steps

PREVIEW = (
    "a photo of a cat",
    "a red car",
    "a blue guitar",
    "a frog in the forest",
    "a castle on a snowy day",
    "a hat made of brick",
    "a rocket made of wood",
    "a T-shirt with a stripe pattern",
    "an umbrella with a polka-dot pattern",
    "a sketch style painting of a house",
    "a neon style painting of a lion",
    "three apples",
    "a cat and a car",
    "a mouse",
    "a computer mouse",
    "a rose-colored chair",
)


def build_scheduler(*, from_noise: bool = True) -> DDIMScheduler:
    """Make the noise schedule of Stable Diffusion, predicting velocity.

    Parameters
    ----------
    from_noise : bool
        Whether it is shifted to end in pure noise, and drawing begins there (Lin et al. 2024).
        Stable Diffusion's own leaves a trace of the picture, which tells the brightness of its
        background; drawing begins without that trace.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=from_noise,
        timestep_spacing="trailing" if from_noise else "leading",
    )


def build_unet() -> UNet2DConditionModel:
    """Make an untrained UNet: 6 + 1 + 9 cross-attention layers of 8 heads."""
    return UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=CHANNELS,
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
    )


def build_pipeline(
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    scheduler: DDIMScheduler,
) -> StableDiffusionPipeline:
    """Put the parts into Stable Diffusion's own pipeline."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def encode_pictures(folder: Path, autoencoder: AutoencoderKL, count: int) -> NDArray[np.float16]:
    """Encode the drawn pictures, or read their latents if they were encoded before.

    Returns
    -------
    ndarray of float16, shape (count, channel, 8, 8)
        Posterior means, unscaled.
    """
    path = folder / f"latents-{count}.npy"
    if not path.exists():
        drawn = draw_pictures(folder, count)
        chunks = []
        with torch.no_grad():
            for start in tqdm(range(0, count, 500), "encode"):
                pixels = as_tensor(drawn[start : start + 500])
                chunks.append(autoencoder.encode(pixels).latent_dist.mean.half().numpy())
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(chunks), allow_pickle=False)
        partial.rename(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def scaling_factor(latents: NDArray[np.float16]) -> float:
    """Give the factor that brings latents to unit standard deviation."""
    return round(1 / float(latents[:4000].astype(np.float32).std()), 4)


def chances(lesson: Lesson, pictures: int) -> NDArray[np.float64]:
    """Give each scene's chance to be shown in a lesson.

    Parameters
    ----------
    lesson : Lesson
    pictures : int
        Scenes of the training world.

    Returns
    -------
    ndarray of float64, shape (pictures,)
        Of sum 1.
    """
    often = set(lesson.often)
    weights = np.ones(pictures)
    for index, scene in enumerate(scenes_of(np.arange(pictures))):
        if len(scene.figures) == 1 and not often.isdisjoint(scene.attributes):
            weights[index] = lesson.times
    return weights / weights.sum()


def words_alone(states: Tensor, ends: Tensor) -> Tensor:
    """Give every caption the end and the padding of another, so that its words alone tell.

    The end token has read all of a short caption, and a UNet that can learn everything from there
    learns little from the words. Stable Diffusion's captions are too long and varied for that.

    Parameters
    ----------
    states : Tensor, shape (caption, token, channel)
        Of the text encoder.
    ends : Tensor of int64, shape (caption,)
        Position of each caption's end token.

    Returns
    -------
    Tensor, shape (caption, token, channel)
        Row i up to its end as it was; from there on, row i − 1 from its own end on.
    """
    others = torch.arange(len(states)).roll(1)
    places = torch.arange(states.shape[1])
    theirs = places + (ends[others] - ends)[:, None]
    swapped = states[others[:, None], theirs.clamp(0, len(places) - 1)]
    return torch.where((places < ends[:, None])[..., None], states, swapped)


class Denoising(nn.Module):
    """The UNet with its loss: velocity prediction, weighted by capped signal-to-noise ratio.

    The weight of the error in the picture is min(SNR, 5) (Hang et al. 2023), or min(SNR, 5) + 1
    where the stage is to learn composition.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        lesson: Lesson,
    ) -> None:
        super().__init__()
        self.lesson = lesson
        self.unet = unet
        self.text_encoder = text_encoder.requires_grad_(False)
        self.tokenizer = tokenizer
        self.scheduler = build_scheduler(from_noise=lesson.from_noise)

    def forward(self, latents: Tensor, captions: list[str]) -> Tensor:
        """Give the loss for scaled latents (n, channel, 8, 8) and their n captions."""
        tokens = self.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        )
        with torch.no_grad():
            states = self.text_encoder(tokens.input_ids).last_hidden_state
        if self.lesson.reading:
            states = words_alone(states, tokens.attention_mask.sum(1) - 1)
        noise = torch.randn_like(latents)
        # Stratified over the batch: the same marginal, a steadier loss.
        spread = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
        times = (spread[torch.randperm(len(latents))] * 1000).long()
        noised = self.scheduler.add_noise(latents, noise, times)
        target = self.scheduler.get_velocity(latents, noise, times)
        error = (self.unet(noised, times, states).sample - target).square().mean((1, 2, 3))
        alpha = self.scheduler.alphas_cumprod[times]
        snr = alpha / (1 - alpha)
        weight = snr.clamp(max=MIN_SNR)
        if self.lesson.composing:
            weight = weight + 1  # else next to nothing where noise is all: there colour is decided
        return (error * weight / (snr + 1)).mean()


def denoiser_stage(
    name: str,
    folder: Path,
    unet: UNet2DConditionModel,
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    *,
    pictures: int,
    steps: int,
    sampling_steps: int,
    batch: int = 32,
) -> Stage:
    """Train the UNet on the latents of drawn pictures and their captions.

    Parameters
    ----------
    name : str
        Of one of the `LESSONS`.
    folder : Path
        Working folder, with the drawn pictures.
    unet, autoencoder, text_encoder, tokenizer
        Only the first is trained.
    pictures, steps, sampling_steps, batch : int
        Drawn scenes; optimiser steps; denoising steps of a sample sheet; scenes a step and process.
    """
    latents = encode_pictures(folder, autoencoder, pictures)
    factor = scaling_factor(latents)
    lesson = LESSONS[name]
    chance = chances(lesson, pictures) if lesson.often else None  # None draws as it always did

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(pictures, batch, replace=False, p=chance))
        captions = captions_of(chosen, rng)
        dropped = rng.random(batch) < EMPTY_CAPTIONS
        captions = ["" if drop else text for text, drop in zip(captions, dropped, strict=True)]
        scaled = torch.from_numpy(latents[chosen].astype(np.float32)) * factor
        return model(scaled, captions)

    def preview(model: nn.Module, path: Path) -> None:
        autoencoder.register_to_config(scaling_factor=factor)
        pipe = build_pipeline(autoencoder, text_encoder, tokenizer, model.unet, model.scheduler)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        images = pipe(
            list(PREVIEW), num_inference_steps=sampling_steps, generator=generator, output_type="pt"
        ).images
        save_sheet(images * 2 - 1, path, columns=8)

    model = Denoising(unet, text_encoder, tokenizer, lesson)
    return Stage(name, model, loss, steps, lesson.learning_rate, 0.999, preview)
