import pytest
import torch

from hrvlab.miniature.autoencoder import ReconstructionLoss, balance, build_autoencoder


@pytest.mark.parametrize("side", [64, 128])
def test_latents_are_16_by_16_whatever_the_side(side):
    autoencoder = build_autoencoder(side)
    with torch.no_grad():
        latents = autoencoder.encode(torch.zeros(1, 3, side, side)).latent_dist.mean
        assert latents.shape[2:] == (16, 16)
        assert autoencoder.decode(latents).sample.shape == (1, 3, side, side)


def test_balanced_latents_have_mean_0_and_deviation_1_and_decode_to_the_same_image():
    torch.manual_seed(0)
    autoencoder = build_autoencoder(64).eval()
    pixels = torch.rand(8, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = autoencoder.encode(pixels).latent_dist
        decoded = autoencoder.decode(before.mean).sample
        mean, deviation = before.mean.mean((0, 2, 3)), before.mean.std((0, 2, 3))
        balance(autoencoder, mean, deviation)
        after = autoencoder.encode(pixels).latent_dist
        again = autoencoder.decode(after.mean).sample
    torch.testing.assert_close(again, decoded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.mean.mean((0, 2, 3)), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.mean.std((0, 2, 3)), torch.ones(6), atol=1e-3, rtol=0)
    shares = [d.std / d.mean.std((0, 2, 3), keepdim=True) for d in (before, after)]
    torch.testing.assert_close(*shares, atol=1e-3, rtol=1e-3)


def test_the_loss_is_lower_for_a_better_reconstruction():
    torch.manual_seed(0)
    model = ReconstructionLoss(build_autoencoder(64))
    pixels = torch.zeros(2, 3, 32, 32)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        loss = model(pixels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
