import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

from hrvlab.miniature.clip import build_clip
from hrvlab.miniature.dataset import TRAINING_WORLD
from hrvlab.miniature.denoiser import (
    MIN_SNR,
    DenoisingLoss,
    build_scheduler,
    build_unet,
    sampling_probabilities,
    swap_end_tokens,
)
from hrvlab.miniature.lessons import Lesson
from hrvlab.miniature.scenes import sample_scene
from hrvlab.miniature.tokens import train_tokenizer
from hrvlab.models.heads import head_table


def test_its_heads_have_the_labels_of_stable_diffusion():
    with torch.device("meta"):
        ours = build_unet()
        theirs = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    labels = [head_table(unet)["label"].values.tolist() for unet in (ours, theirs)]
    assert labels[0] == labels[1]
    assert len(labels[0]) == 128


def test_sampling_starts_from_pure_noise():
    scheduler = build_scheduler()
    scheduler.set_timesteps(25)
    assert scheduler.timesteps[0] == 999
    assert scheduler.alphas_cumprod[999] == 0
    assert build_scheduler(zero_terminal_snr=False).alphas_cumprod[999] > 0.004


@pytest.fixture(scope="module")
def parts():
    tokenizer = train_tokenizer(captions=500)
    torch.manual_seed(0)
    text_encoder = build_clip(tokenizer).text_model
    assert isinstance(text_encoder, CLIPTextModel)
    return build_unet(), text_encoder, tokenizer


@pytest.mark.parametrize(
    "lesson",
    [Lesson(), Lesson(noisy_steps=True), Lesson(noisy_steps=True, zero_terminal_snr=True)],
)
def test_the_loss_is_the_velocity_error_weighted_by_the_capped_signal_to_noise_ratio(parts, lesson):
    unet, text_encoder, tokenizer = parts
    latents = torch.randn(3, 12, 8, 8, generator=torch.Generator().manual_seed(0))
    captions = ["a red car", "", "a cat"]
    torch.manual_seed(1)
    loss = DenoisingLoss(unet, text_encoder, tokenizer, lesson)(latents, captions)

    torch.manual_seed(1)
    noise = torch.randn(3, 12, 8, 8)
    jitter = torch.rand(3)
    order = torch.randperm(3)
    timesteps = ((torch.arange(3) + jitter) / 3)[order].mul(1000).long()
    alpha = build_scheduler(zero_terminal_snr=lesson.zero_terminal_snr).alphas_cumprod[timesteps]
    a, s = alpha.sqrt().view(-1, 1, 1, 1), (1 - alpha).sqrt().view(-1, 1, 1, 1)
    ids = tokenizer(captions, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states = text_encoder(ids).last_hidden_state
        velocity = unet(a * latents + s * noise, timesteps, states).sample
    snr = alpha / (1 - alpha)
    # Min-SNR weighting, written for the velocity; where noisy steps are emphasized, the noisiest
    # have weight 1.
    weights = (torch.minimum(snr, torch.tensor(MIN_SNR)) + lesson.noisy_steps) / (snr + 1)
    expected = (weights * (velocity - (a * noise - s * latents)).square().mean((1, 2, 3))).mean()
    torch.testing.assert_close(loss, expected)


def test_the_text_encoder_is_frozen(parts):
    model = DenoisingLoss(*parts, Lesson())
    model(torch.zeros(1, 12, 8, 8), ["a cat"]).backward()
    assert all(p.grad is None for p in model.text_encoder.parameters())
    assert any(p.grad is not None for p in model.unet.parameters())


def test_a_caption_gets_the_end_and_padding_tokens_of_another_caption():
    # Two words, none, four: captions of 7 tokens that end at 3, 1 and 5.
    states = torch.arange(21.0).view(3, 7, 1)
    swapped = swap_end_tokens(states, torch.tensor([3, 1, 5]))[..., 0]
    assert swapped.tolist() == [
        [0, 1, 2, 19, 20, 20, 20],
        [7, 3, 4, 5, 6, 6, 6],
        [14, 15, 16, 17, 18, 8, 9],
    ]


def test_word_conditioning_swaps_the_end_tokens_that_the_unet_gets(parts):
    unet, text_encoder, tokenizer = parts
    loss = DenoisingLoss(unet, text_encoder, tokenizer, Lesson(word_conditioning=True))
    seen = []
    hook = unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    loss(torch.zeros(2, 12, 8, 8), ["a red car", "a cat"])
    hook.remove()
    plain = text_encoder(
        tokenizer(["a red car", "a cat"], padding="max_length", return_tensors="pt").input_ids
    )
    states = plain.last_hidden_state
    torch.testing.assert_close(seen[0][0, :4], states[0, :4])
    torch.testing.assert_close(seen[0][0, 4], states[1, 3])


def test_single_objects_with_an_oversampled_attribute_are_sampled_more_often():
    lesson = Lesson(oversampled=("gray", "sketch"), oversampling=4.0)
    found = sampling_probabilities(lesson, 2000)
    scenes = [sample_scene(TRAINING_WORLD, index) for index in range(2000)]
    single = np.array([len(scene.figures) == 1 for scene in scenes])
    has_attribute = np.array(
        [s.style == "sketch" or any(f.color == "gray" for f in s.figures) for s in scenes]
    )
    assert (has_attribute & ~single).any()
    np.testing.assert_allclose(found.sum(), 1)
    np.testing.assert_allclose(found / found.min(), np.where(has_attribute & single, 4, 1))
