import pytest
import torch
from diffusers import SD3Transformer2DModel

from hrvlab.miniature.autoencoder import build_autoencoder
from hrvlab.miniature.clip import build_clip
from hrvlab.miniature.joint import (
    FlowLoss,
    build_joint_pipeline,
    build_transformer,
    measure_scale,
    read_texts,
    text_encoders,
    with_scale,
)
from hrvlab.miniature.optimizer import is_matrix
from hrvlab.miniature.tokens import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer()


@pytest.fixture(scope="module")
def encoders(tokenizer):
    torch.manual_seed(0)
    return text_encoders(build_clip(tokenizer, 64))


def tokens(tokenizer, *texts):
    return tokenizer(list(texts), padding="max_length", return_tensors="pt").input_ids


def random_transformer():
    torch.manual_seed(0)
    transformer = build_transformer(64)
    for weight in transformer.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    return transformer.eval()


def test_the_model_has_eighty_heads_on_64_image_tokens_and_is_small():
    transformer = build_transformer(64)
    config = transformer.config
    assert config.num_layers * config.num_attention_heads == 80
    assert (config.sample_size // config.patch_size) ** 2 == 64
    assert sum(weight.numel() for weight in transformer.parameters()) < 8e6


def test_an_untrained_model_predicts_zero():
    transformer = build_transformer(64)
    found = transformer(
        torch.randn(2, 6, 16, 16), torch.randn(2, 32, 256), torch.randn(2, 256), torch.ones(2)
    ).sample
    assert not found.any()


def test_captions_are_read_as_the_pipeline_reads_them(tokenizer, encoders):
    pipe = build_joint_pipeline(
        build_autoencoder(64), encoders, tokenizer, SD3Transformer2DModel(num_layers=1)
    )
    texts = ["a red cat", "two dogs in the forest"]
    theirs, _, their_pooled, _ = pipe.encode_prompt(
        texts, None, None, do_classifier_free_guidance=False, max_sequence_length=0
    )
    states, pooled = read_texts(encoders, tokens(tokenizer, *texts))
    torch.testing.assert_close(theirs[..., :256], states)
    torch.testing.assert_close(their_pooled, pooled)


def test_the_second_encoder_is_the_first_ones_first_two_layers(tokenizer, encoders):
    ids = tokens(tokenizer, "a red cat")
    whole, first = (each(ids, output_hidden_states=True).hidden_states for each in encoders)
    torch.testing.assert_close(first[1], whole[1])


def test_the_scale_of_states_moves_into_the_weights(tokenizer, encoders):
    ids = tokens(tokenizer, "a cat", "a red car", "")
    scale = measure_scale(encoders, ids)
    states, pooled = read_texts(encoders, ids)
    transformer = random_transformer()
    weights = {f"transformer.{name}": weight for name, weight in transformer.state_dict().items()}
    folded = with_scale(weights, 64, scale)
    latents, times = torch.randn(3, 6, 16, 16), torch.full((3,), 500.0)
    with torch.no_grad():
        wanted = transformer(latents, states / scale, pooled, times).sample
        found = folded(latents, states, pooled, times).sample
    torch.testing.assert_close(found, wanted)
    unit = (states / scale).unflatten(-1, (2, -1)).std((0, 1, 3))
    torch.testing.assert_close(unit, torch.ones(2))


def loss_and_inputs(tokenizer, encoders):
    transformer = random_transformer()
    ids = tokens(tokenizer, "a cat", "a red car", "a blue hat", "")
    latents, noise = torch.randn(2, 3, 6, 16, 16)
    shares, swapped = torch.tensor([0.2, 0.5, 1.0]), torch.zeros(3, dtype=bool)
    model = FlowLoss(transformer, encoders, torch.ones(256))
    return model, [latents, noise, shares, ids, swapped, torch.arange(3)]


def test_the_loss_is_the_error_of_noise_minus_latents(tokenizer, encoders):
    model, inputs = loss_and_inputs(tokenizer, encoders)
    latents, noise, shares, ids, *_ = inputs
    states, pooled = read_texts(encoders, ids[:-1])
    mixed = torch.stack(
        [(1 - s) * x + s * n for s, x, n in zip(shares, latents, noise, strict=True)]
    )
    with torch.no_grad():
        found = model.transformer(mixed, states, pooled, 1000 * shares).sample
        torch.testing.assert_close(model(*inputs), (found - noise + latents).square().mean())


def test_swapped_ends_and_pooled_vectors_change_the_loss(tokenizer, encoders):
    model, inputs = loss_and_inputs(tokenizer, encoders)
    with torch.no_grad():
        plain = model(*inputs)
        ends = model(*inputs[:4], torch.ones(3, dtype=bool), inputs[5])
        pooled = model(*inputs[:5], torch.tensor([1, 3, 3]))
    assert len({plain.item(), ends.item(), pooled.item()}) == 3


def test_muon_trains_attention_and_feed_forward_layers_alone(encoders):
    model = FlowLoss(build_transformer(64), encoders, torch.ones(256))
    matrices = {
        n
        for n, weight in model.transformer.named_parameters(prefix="transformer")
        if is_matrix(n, weight)
    }
    assert all(".attn." in name or ".ff" in name for name in matrices)
    assert len(matrices) == 7 * 12 + 9
