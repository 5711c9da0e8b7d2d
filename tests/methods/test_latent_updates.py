import gc
import itertools
from math import exp, pi, sqrt

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionAttendAndExcitePipeline
from torch.nn.functional import interpolate, pad

from hrvlab.errors import CoverageError, ParameterError
from hrvlab.generation import Batch
from hrvlab.methods.excitation import Excitation
from hrvlab.methods.latent_updates import LatentUpdater
from hrvlab.models.heads import cross_attention_layers
from hrvlab.models.tokens import word_columns
from tests.attention.oracle import explicit
from tests.pipelines import tiny_sd

PROMPT, WORDS = "a red car and a blue cat", ["car", "cat"]
STEPS = 5


def make_updater(pipe, excitation, factors=None, *, seeds=(0,), **call):
    layers = cross_attention_layers(pipe.unet)
    marks = torch.zeros(len(WORDS), pipe.tokenizer.model_max_length, dtype=torch.bool)
    for row, word in zip(marks, WORDS, strict=True):
        row[word_columns(pipe, PROMPT, word)] = True
    if factors is None:
        factors = torch.ones(len(WORDS), sum(layer.heads for layer in layers))
    batch = Batch((PROMPT,) * len(seeds), (0,) * len(seeds), tuple(seeds))
    call = {"num_inference_steps": STEPS, **call}
    return LatentUpdater(pipe, batch, excitation, marks, factors, call)


def latents_of(seed, count=1):
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


# The oracle: Section 7 of the method, head by head and position by position.


def gaussian(size, sigma):
    middle = size // 2
    line = [exp(-((x - middle) ** 2) / (2 * sigma**2)) for x in range(size)]
    return torch.tensor([[a * b for b in line] for a in line]) / sum(line) ** 2


def convolve(image, kernel):
    edge = len(kernel) // 2
    padded = pad(image[None, None], (edge,) * 4, mode="reflect")[0, 0]
    rows, columns = image.shape
    return sum(
        kernel[y, x] * padded[y : y + rows, x : x + columns]
        for y, x in itertools.product(range(len(kernel)), repeat=2)
    )


def resized(image, side):
    """Resize one head's map of one token."""
    ratio = len(image) / side
    if ratio > 1:
        size = int(ratio) + 1
        image = convolve(image, gaussian(size, 0.3 * ((size - 1) / 2 - 1) + 0.8))
    return interpolate(image[None, None], (side, side), mode="bicubic", align_corners=False)[0, 0]


def oracle_loss(maps, layers, weights, columns, side, excitation):
    """Compute the loss of each layer's maps (1, head, position, token) and each word's weights."""
    losses = []
    for word, token in enumerate(columns):
        total = 0
        heads = 0
        for layer, of_layer in zip(layers, maps, strict=True):
            grid = round(sqrt(of_layer.shape[2]))
            if excitation.layers == "side" and grid != side:
                continue
            for head in range(layer.heads):
                per_token = of_layer[0, head].T.unflatten(1, (grid, grid))
                weight = weights[word][layer.start + head]
                total = total + weight * torch.stack([resized(one, side) for one in per_token])
                heads += 1
        end = -1 if excitation.leave_out_last else None
        share = torch.softmax(100 * (total / heads)[1:end], dim=0)[token - 1]
        if excitation.smooth:
            # The published kernel: its exponent is (x / 2σ)².
            kernel = torch.tensor(
                [
                    [
                        exp(-(((x - 1) / (2 * 0.5)) ** 2)) * exp(-(((y - 1) / (2 * 0.5)) ** 2))
                        for x in range(3)
                    ]
                    for y in range(3)
                ]
            ) / (0.5 * sqrt(2 * pi))
            share = convolve(share, kernel / kernel.sum())
        losses.append(torch.clamp(1 - share.max(), min=0))
    return max(losses)


SETTINGS = {
    "all layers, shrunk": Excitation(side=1 / 2),
    "all layers, enlarged": Excitation(side=1),
    "all layers, not smoothed": Excitation(side=1 / 2, smooth=False),
    "the layers of a grid": Excitation(side=1, layers="side"),
    "without the last column": Excitation(side=1 / 2, layers="side", leave_out_last=True),
}


@pytest.mark.parametrize("excitation", SETTINGS.values(), ids=SETTINGS)
def test_loss_and_gradient_are_those_of_explicit_maps(excitation):
    pipe, naive = tiny_sd(), tiny_sd()
    layers = cross_attention_layers(pipe.unet)
    weights = torch.rand(2, sum(layer.heads for layer in layers)) * 2
    updater = make_updater(pipe, excitation, weights)
    latents = latents_of(1)
    loss, gradient = updater.measure(2, latents, torch.arange(1))

    processors = explicit(naive, layers)
    text, _ = naive.encode_prompt(PROMPT, "cpu", 1, False)
    leaf = latents.clone().requires_grad_()
    naive.unet(leaf, pipe.scheduler.timesteps[2], encoder_hidden_states=text)
    columns = [word_columns(pipe, PROMPT, word)[0] for word in WORDS]
    side = round(8 * excitation.side)
    expected = oracle_loss(
        [p.maps[0] for p in processors], layers, weights, columns, side, excitation
    )
    expected.backward()
    torch.testing.assert_close(loss[0], expected)
    assert leaf.grad.abs().max() > 0
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-3, atol=1e-4 * leaf.grad.abs().max())


def test_images_of_a_batch_have_the_gradients_that_each_has_alone():
    pipe = tiny_sd()
    latents = latents_of(1, 3)
    together = make_updater(pipe, Excitation(side=1 / 2), seeds=(0, 1, 2))
    loss, gradient = together.measure(1, latents, torch.arange(3))
    alone = make_updater(pipe, Excitation(side=1 / 2))
    for index in range(3):
        own_loss, own_gradient = alone.measure(1, latents[[index]], torch.arange(1))
        torch.testing.assert_close(loss[[index]], own_loss)
        torch.testing.assert_close(gradient[[index]], own_gradient, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(together.passes, [1, 1, 1])


def test_images_are_those_of_diffusers_own_attend_and_excite():
    pipe, other = tiny_sd(), tiny_sd()
    thresholds = {0: 0.3, 2: 0.8}
    excitation = Excitation(
        side=1,
        layers="side",
        leave_out_last=True,
        thresholds={call / STEPS: t for call, t in thresholds.items()},
        until=0.6,
        step_size=2.0,
    )
    parts = {name: part for name, part in other.components.items() if name != "image_encoder"}
    theirs = StableDiffusionAttendAndExcitePipeline(**parts, requires_safety_checker=False)
    theirs.set_progress_bar_config(disable=True)
    noise = latents_of(3, 2)
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    other.unet.register_forward_hook(count)
    columns = [word_columns(pipe, PROMPT, word)[0] for word in WORDS]
    expected = theirs(
        [PROMPT] * 2,
        token_indices=[columns] * 2,
        latents=noise,
        num_inference_steps=STEPS,
        attn_res=(8, 8),
        thresholds=thresholds,
        max_iter_to_alter=3,
        scale_factor=2,
        output_type="np",
    ).images
    updater = make_updater(pipe, excitation, seeds=(0, 1), latents=noise)
    ours = pipe(
        [PROMPT] * 2,
        latents=updater.first_latents(),
        callback_on_step_end=updater.after_step,
        num_inference_steps=STEPS,
        output_type="np",
    ).images
    assert (updater.passes > 3).all()
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    plain = pipe([PROMPT] * 2, latents=noise, num_inference_steps=STEPS, output_type="np").images
    assert abs(plain - ours).max() > 1e-2
    # Diffusers passes before every call, and twice where refinement begins.
    assert calls - len(pipe.scheduler.timesteps) > updater.passes.sum()


class Falling(LatentUpdater):
    """An updater whose loss is the first latent, so that passes can be counted by hand."""

    def measure(self, call, latents, images):
        self.passes[images.numpy()] += 1
        level = latents.flatten(1)[:, 0]
        return level.clone(), torch.ones_like(latents)


def falling(pipe, start, **settings):
    marks = torch.ones(1, pipe.tokenizer.model_max_length, dtype=torch.bool)
    excitation = Excitation(side=1, step_size=0.1, thresholds={0.0: 0.5}, **settings)
    batch = Batch((PROMPT,) * len(start), (0,) * len(start), tuple(range(len(start))))
    updater = Falling(pipe, batch, excitation, marks, torch.ones(1, 10), {"num_inference_steps": 5})
    latents = torch.tensor(start)[:, None, None, None].expand(-1, 4, 8, 8)
    return updater, updater.update(0, latents)[:, 0, 0, 0]


def test_an_image_is_updated_once_more_after_it_was_found_to_meet_the_threshold():
    updater, updated = falling(tiny_sd(), [0.75, 0.45, 0.55])
    # 0.75 is measured at 0.75, 0.65, 0.55, 0.45 and 0.35, and updated from there once more.
    np.testing.assert_array_equal(updater.passes, [5, 1, 3])
    torch.testing.assert_close(updated, torch.tensor([0.25, 0.35, 0.25]))


def test_refinement_ends_after_its_largest_number_of_updates():
    updater, updated = falling(tiny_sd(), [5.0, 0.4], refinements=3)
    np.testing.assert_array_equal(updater.passes, [4, 1])
    torch.testing.assert_close(updated, torch.tensor([4.6, 0.3]))


def test_the_step_size_falls_with_the_square_root_of_a_line_from_1_to_a_half():
    pipe = tiny_sd()
    updater, _ = falling(pipe, [0.0], until=1.0)
    latents = torch.zeros(1, 4, 8, 8)
    steps = [-updater.update(call, latents)[0, 0, 0, 0].item() for call in range(5)]
    calls = len(pipe.scheduler.timesteps)
    np.testing.assert_allclose(steps, 0.1 * np.sqrt(np.linspace(1, 0.5, calls))[:5], rtol=1e-6)


def test_a_scheduler_s_own_scale_of_the_noise_is_kept():
    pipe = tiny_sd()
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    still = make_updater(pipe, Excitation(side=1, step_size=0.0))
    noise = still.first_latents()
    assert pipe.scheduler.init_noise_sigma != 1
    updater = make_updater(pipe, Excitation(side=1, step_size=3.0, thresholds={}))
    latents = noise * pipe.scheduler.init_noise_sigma
    _, gradient = still.measure(0, latents, torch.arange(1))
    updated = updater.first_latents() * pipe.scheduler.init_noise_sigma
    torch.testing.assert_close(updated, latents - 3.0 * gradient)


def test_attention_that_is_not_finite_is_an_error():
    updater = make_updater(tiny_sd(), Excitation(side=1))
    with pytest.raises(CoverageError, match="before denoiser call 1 .* not finite"):
        updater.measure(1, torch.full((1, 4, 8, 8), torch.nan), torch.arange(1))


def test_no_graph_outlives_a_pass():
    updater = make_updater(tiny_sd(), Excitation(side=1 / 2))

    def tensors():
        gc.collect()
        return sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())

    latents = latents_of(0)
    updater.measure(0, latents, torch.arange(1))
    before = tensors()
    results = [updater.measure(0, latents, torch.arange(1)) for _ in range(5)]
    assert tensors() == before + 2 * len(results)
    assert not any(x.requires_grad for pair in results for x in pair)


def test_maps_too_small_to_smooth_are_refused():
    with pytest.raises(ParameterError, match="maps of 1 × 1 are too small .* larger share"):
        make_updater(tiny_sd(), Excitation(side=1 / 8)).first_latents()
