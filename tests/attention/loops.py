"""Denoising loops of one's own, as tutorials and papers write them."""

import torch


def encode(pipe, *texts):
    """Encode texts in one batch, by the tokenizer and the text encoder themselves."""
    length = pipe.tokenizer.model_max_length
    read = pipe.tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    return pipe.text_encoder(read.input_ids)[0]


def noise(*seeds):
    """Draw the latents of one image for each seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.cat([torch.randn(1, 4, 8, 8, generator=one) for one in generators])


def guided(uncond, cond, scale=7.5):
    """Return the guided prediction."""
    return uncond + scale * (cond - uncond)


def one_batch(pipe, states, latents, order=("negative", "prompt"), steps=3):
    """Guide by one call for both texts, in some order."""

    def predict(latents, timestep):
        batch = torch.cat([states[name] for name in order])
        made = pipe.unet(torch.cat([latents] * 2), timestep, encoder_hidden_states=batch).sample
        halves = dict(zip(order, made.chunk(2), strict=True))
        return guided(halves["negative"], halves["prompt"])

    return denoise(pipe, predict, latents, steps)


def two_calls(pipe, states, latents, order=("negative", "prompt"), steps=3):
    """Guide by one call for each text, in some order."""

    def predict(latents, timestep):
        made = {
            name: pipe.unet(latents, timestep, encoder_hidden_states=states[name]).sample
            for name in order
        }
        return guided(made["negative"], made["prompt"])

    return denoise(pipe, predict, latents, steps)


def unguided(pipe, states, latents, steps=3):
    """Denoise without guidance."""

    def predict(latents, timestep):
        return pipe.unet(latents, timestep, encoder_hidden_states=states).sample

    return denoise(pipe, predict, latents, steps)


@torch.no_grad()
def denoise(pipe, predict, latents, steps=3):
    """Denoise latents by a function that predicts their noise."""
    pipe.scheduler.set_timesteps(steps)
    for timestep in pipe.scheduler.timesteps:
        latents = pipe.scheduler.step(predict(latents, timestep), timestep, latents).prev_sample
    return latents
