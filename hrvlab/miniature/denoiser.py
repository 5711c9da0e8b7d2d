"""The miniature's UNet, with Stable Diffusion 1.4's cross-attention layout, and its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from torch import nn

from hrvlab.miniature.autoencoder import LATENT_CHANNELS, encode_images, scaling_factor
from hrvlab.miniature.clip import WIDTH
from hrvlab.miniature.dataset import captions_of, scenes_of
from hrvlab.miniature.grids import save_grid
from hrvlab.miniature.lessons import LESSONS
from hrvlab.miniature.rendering import SIDE
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor
    from transformers import CLIPTextModel, CLIPTokenizer

    from hrvlab.miniature.lessons import Lesson

CHANNELS = (64, 96, 128)
EMPTY_CAPTIONS = 0.1  # share of captions dropped, for classifier-free guidance
MIN_SNR = 5.0  # cap on the weight of nearly noiseless timesteps (Hang et al. 2023)

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


def build_scheduler(*, zero_terminal_snr: bool = True) -> DDIMScheduler:
    """Build a DDIM scheduler with Stable Diffusion's noise schedule and velocity prediction.

    Parameters
    ----------
    zero_terminal_snr : bool
        Whether to rescale the schedule so that its last timestep is pure noise, and to start
        sampling there (Lin et al. 2024). In Stable Diffusion's own schedule a trace of the image
        survives, which reveals the mean brightness in training but is missing in sampling.

    Returns
    -------
    DDIMScheduler
        With 1000 training timesteps.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=zero_terminal_snr,
        timestep_spacing="trailing" if zero_terminal_snr else "leading",
    )


def build_unet() -> UNet2DConditionModel:
    """Build an untrained UNet: 6 + 1 + 9 cross-attention layers of 8 heads, on 8 × 8 latents."""
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
    """Assemble the models into a Stable Diffusion pipeline."""
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


def sampling_probabilities(lesson: Lesson, images: int) -> NDArray[np.float64]:
    """Compute the probability with which a lesson samples each training scene.

    Parameters
    ----------
    lesson : Lesson
    images : int
        Training images.

    Returns
    -------
    ndarray of float64, shape (images,)
        Of sum 1.
    """
    oversampled = set(lesson.oversampled)
    weights = np.ones(images)
    for index, scene in enumerate(scenes_of(np.arange(images))):
        if len(scene.figures) == 1 and not oversampled.isdisjoint(scene.attributes):
            weights[index] = lesson.oversampling
    return weights / weights.sum()


def swap_end_tokens(states: Tensor, ends: Tensor) -> Tensor:
    """Replace the end and padding tokens of each caption by those of another caption.

    The end token of a short caption summarizes all of it. A UNet that can take everything from
    there hardly attends to the words; after the swap it has to. Stable Diffusion's captions are too
    long and varied for such a shortcut.

    Parameters
    ----------
    states : Tensor of float, shape (caption, token, channel)
        Hidden states of the text encoder.
    ends : Tensor of int64, shape (caption,)
        Position of each caption's end token.

    Returns
    -------
    Tensor of float, shape (caption, token, channel)
        In row i the words of caption i, followed by the end and padding tokens of caption i − 1.
    """
    others = torch.arange(len(states)).roll(1)
    positions = torch.arange(states.shape[1])
    sources = positions + (ends[others] - ends)[:, None]
    swapped = states[others[:, None], sources.clamp(0, len(positions) - 1)]
    return torch.where((positions < ends[:, None])[..., None], states, swapped)


class DenoisingLoss(nn.Module):
    """The UNet and its loss: the velocity error, weighted by the capped signal-to-noise ratio.

    In terms of the error of the predicted clean latents, the weight of a timestep is min(SNR, 5)
    (Hang et al. 2023), or min(SNR, 5) + 1 in lessons that emphasize noisy steps.

    Parameters
    ----------
    unet : UNet2DConditionModel
    text_encoder : CLIPTextModel
        Frozen.
    tokenizer : CLIPTokenizer
    lesson : Lesson
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
        self.scheduler = build_scheduler(zero_terminal_snr=lesson.zero_terminal_snr)

    def forward(self, latents: Tensor, captions: list[str]) -> Tensor:
        """Compute the loss, a scalar, for scaled latents (n, channel, 8, 8) and n captions."""
        tokens = self.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        )
        with torch.no_grad():
            states = self.text_encoder(tokens.input_ids).last_hidden_state
        if self.lesson.word_conditioning:
            states = swap_end_tokens(states, tokens.attention_mask.sum(1) - 1)
        noise = torch.randn_like(latents)
        # Timesteps are stratified over the batch: the same distribution, a loss of less variance.
        spread = (torch.arange(len(latents)) + torch.rand(len(latents))) / len(latents)
        timesteps = (spread[torch.randperm(len(latents))] * 1000).long()
        noised = self.scheduler.add_noise(latents, noise, timesteps)
        target = self.scheduler.get_velocity(latents, noise, timesteps)
        error = (self.unet(noised, timesteps, states).sample - target).square().mean((1, 2, 3))
        alpha = self.scheduler.alphas_cumprod[timesteps]
        snr = alpha / (1 - alpha)
        weight = snr.clamp(max=MIN_SNR)
        if self.lesson.noisy_steps:
            weight = weight + 1  # else the weight vanishes where there is nothing but noise
        return (error * weight / (snr + 1)).mean()


def denoiser_stage(
    name: str,
    folder: Path,
    unet: UNet2DConditionModel,
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    *,
    images: int,
    steps: int,
    sampling_steps: int,
    batch: int = 32,
) -> Stage:
    """Build the stage that trains the UNet in one lesson.

    Parameters
    ----------
    name : str
        One of `LESSONS`.
    folder : Path
        Working folder.
    unet : UNet2DConditionModel
        The model to train.
    autoencoder, text_encoder, tokenizer
        Trained, and left as they are.
    images, steps, sampling_steps, batch : int
        Training images; optimizer steps; denoising steps of the samples; images in a step of one
        process.
    """
    latents = encode_images(folder, autoencoder, images)
    factor = scaling_factor(latents)
    lesson = LESSONS[name]
    # Without probabilities NumPy samples by another algorithm: equal ones would sample otherwise.
    probabilities = sampling_probabilities(lesson, images) if lesson.oversampled else None

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(images, batch, replace=False, p=probabilities))
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
        samples = pipe(
            list(PREVIEW), num_inference_steps=sampling_steps, generator=generator, output_type="pt"
        ).images
        save_grid(samples * 2 - 1, path, columns=8)

    model = DenoisingLoss(unet, text_encoder, tokenizer, lesson)
    return Stage(name, model, loss, steps, lesson.learning_rate, 0.999, preview)
