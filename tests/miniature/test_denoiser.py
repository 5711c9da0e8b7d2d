import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel

from hrvlab.miniature.clip import build_clip
from hrvlab.miniature.denoiser import (
    MIN_SNR,
    DenoisingLoss,
    build_scheduler,
    build_unet,
    start_from_weights,
    swap_end_tokens,
)
from hrvlab.miniature.tokens import train_tokenizer
from hrvlab.models.heads import head_table
from hrvlab.paths import data_path


@pytest.mark.parametrize("side", [64, 128])
def test_its_heads_have_the_labels_and_the_layout_of_stable_diffusion(side):
    with torch.device("meta"):
        ours = build_unet(side)
        theirs = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    labels = [head_table(unet)["label"].values.tolist() for unet in (ours, theirs)]
    assert labels[0] == labels[1]
    assert len(labels[0]) == 128
    assert ours.config.down_block_types == theirs.config.down_block_types
    assert sum(p.numel() for p in ours.parameters()) < 10e6


def test_sampling_starts_from_pure_noise():
    scheduler = build_scheduler()
    scheduler.set_timesteps(12)
    assert scheduler.timesteps[0] == 999
    assert scheduler.alphas_cumprod[999] < 1e-6


@pytest.fixture(scope="module")
def parts():
    tokenizer = train_tokenizer(captions=500)
    torch.manual_seed(0)
    text_encoder = build_clip(tokenizer, 64).text_model
    assert isinstance(text_encoder, CLIPTextModel)
    return build_unet(64), text_encoder, tokenizer


def batch_of(tokenizer, captions, swapped=False):
    generator = torch.Generator().manual_seed(0)
    count = len(captions)
    latents, noise = (torch.randn(count, 6, 16, 16, generator=generator) for _ in range(2))
    timesteps = torch.linspace(20, 999, count).long()
    alpha = build_scheduler().alphas_cumprod[timesteps]
    ids = tokenizer(captions, padding="max_length", return_tensors="pt").input_ids
    return latents, noise, timesteps, alpha, ids, torch.full((count,), swapped)


def test_the_loss_is_the_velocity_error_weighted_by_the_capped_signal_to_noise_ratio(parts):
    unet, text_encoder, tokenizer = parts
    batch = batch_of(tokenizer, ["a red car", "", "a cat"])
    loss = DenoisingLoss(unet, text_encoder)(*batch)
    latents, noise, timesteps, alpha, ids, _ = batch
    a, s = alpha.sqrt().view(-1, 1, 1, 1), (1 - alpha).sqrt().view(-1, 1, 1, 1)
    with torch.no_grad():
        states = text_encoder(ids).last_hidden_state
        velocity = unet(a * latents + s * noise, timesteps, states).sample
    snr = alpha / (1 - alpha)
    # Min-SNR weighting, written for the velocity; the noisiest timesteps have weight 1.
    weights = (torch.minimum(snr, torch.tensor(MIN_SNR)) + 1) / (snr + 1)
    expected = (weights * (velocity - (a * noise - s * latents)).square().mean((1, 2, 3))).mean()
    torch.testing.assert_close(loss, expected)


def test_the_text_encoder_is_frozen(parts):
    unet, text_encoder, tokenizer = parts
    model = DenoisingLoss(unet, text_encoder)
    model(*batch_of(tokenizer, ["a cat"])).backward()
    assert all(p.grad is None for p in model.text_encoder.parameters())
    assert any(p.grad is not None for p in model.unet.parameters())


def test_some_captions_get_the_end_and_padding_tokens_of_another_caption():
    # Two words, none, four, one: captions of 7 tokens that end at 3, 1, 5 and 2.
    states = torch.arange(28.0).view(4, 7, 1)
    swapped = torch.tensor([True, True, True, False])
    found = swap_end_tokens(states, torch.tensor([3, 1, 5, 2]), swapped)[..., 0]
    assert found.tolist() == [
        [0, 1, 2, 23, 24, 25, 26],
        [7, 3, 4, 5, 6, 6, 6],
        [14, 15, 16, 17, 18, 8, 9],
        [21, 22, 23, 24, 25, 26, 27],
    ]


@pytest.mark.parametrize("swapped", [True, False])
def test_the_unet_gets_swapped_end_tokens_where_the_batch_says_so(parts, swapped):
    unet, text_encoder, tokenizer = parts
    seen = []
    hook = unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    batch = batch_of(tokenizer, ["a red car", "a cat"], swapped)
    DenoisingLoss(unet, text_encoder)(*batch)
    hook.remove()
    states = text_encoder(batch[4]).last_hidden_state
    torch.testing.assert_close(seen[0][0, :4], states[0, :4])
    torch.testing.assert_close(seen[0][0, 4], states[1, 3] if swapped else states[0, 4])


def test_the_inner_levels_start_from_an_earlier_unet_of_three_levels(tmp_path):
    path = data_path("miniature", "unet", "diffusion_pytorch_model.safetensors")
    if len(UNet2DConditionModel.load_config(path.parent)["block_out_channels"]) != 3:
        pytest.skip("the shipped UNet has four levels")
    torch.manual_seed(0)
    unet = build_unet(64)
    before = {name: weight.clone() for name, weight in unet.state_dict().items()}
    earlier = UNet2DConditionModel.from_pretrained(path.parent, torch_dtype=torch.float32)
    start_from_weights(unet, path)
    states = torch.randn(1, 5, 128, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        unet.mid_block(torch.ones(1, 128, 2, 2), torch.ones(1, 256), encoder_hidden_states=states),
        earlier.mid_block(
            torch.ones(1, 128, 2, 2), torch.ones(1, 256), encoder_hidden_states=states
        ),
    )
    kept = [name for name, weight in unet.state_dict().items() if torch.equal(weight, before[name])]
    assert "conv_in.weight" in kept
    assert "down_blocks.2.resnets.0.conv1.weight" not in kept
    timesteps = torch.arange(0, 1000, 37)
    ours, theirs = (each.time_embedding(each.time_proj(timesteps)) for each in (unet, earlier))
    assert (ours - theirs).square().mean() < 0.05 * theirs.var()
    fresh = build_unet(64)
    state = {name: weight.clone() for name, weight in fresh.state_dict().items()}
    start_from_weights(fresh, tmp_path / "none")
    assert all(torch.equal(weight, state[name]) for name, weight in fresh.state_dict().items())
