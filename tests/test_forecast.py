import pytest

from hrvlab.forecast import CHUNK_BYTES, forecast_calls, forecast_latent_size, forecast_votes
from tests.pipelines import tiny_sd, tiny_sdxl

RUN = {"head_positions": 128, "weights": 10**9, "prompts": 2100, "seconds_per_call": 0.1}


def test_time_is_prompts_times_calls_over_devices():
    one = forecast_votes(**RUN)
    assert one.hours == pytest.approx(2100 * 51 * 0.1 / 3600)
    assert forecast_votes(**RUN, workers=8).hours == pytest.approx(one.hours / 8)
    assert forecast_votes(**RUN, overhead=0.5).hours == pytest.approx(1.5 * one.hours)


def test_memory_does_not_depend_on_the_number_of_prompts():
    few, many = (forecast_votes(**{**RUN, "prompts": prompts}) for prompts in (100, 10**6))
    assert few.memory == many.memory
    assert few.chunk == many.chunk
    assert many.written > 1000 * few.written


def test_every_device_reads_the_weights():
    one, eight = (forecast_votes(**RUN, workers=workers) for workers in (1, 8))
    assert eight.read - one.read == 7 * RUN["weights"]


@pytest.mark.parametrize("heads", [128, 1300, 10**7])
def test_a_chunk_holds_whole_prompts_and_at_least_one(heads):
    run = forecast_votes(**{**RUN, "head_positions": heads})
    row = 4 * heads * 34
    assert run.chunk == 1 or run.chunk * row <= CHUNK_BYTES < (run.chunk + 1) * row


def test_calls_are_counted_without_touching_the_scheduler(tiny_pipe):
    before = dict(vars(tiny_pipe.scheduler))
    assert forecast_calls(tiny_pipe, {"num_inference_steps": 7}) == 8
    assert vars(tiny_pipe.scheduler).keys() == before.keys()
    assert all(vars(tiny_pipe.scheduler)[name] is value for name, value in before.items())


@pytest.mark.parametrize("build", [tiny_sd, tiny_sdxl])
@pytest.mark.parametrize("side", ["height", "width"])
def test_one_side_alone_counts_where_diffusers_takes_it(build, side):
    pipe, call = build(), {side: 24, "num_inference_steps": 1, "output_type": "np"}
    made = pipe("a cat", **call).images[0]
    expected = tuple(length // pipe.vae_scale_factor for length in made.shape[:2])
    assert forecast_latent_size(pipe, call) == expected
