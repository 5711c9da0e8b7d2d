"""A forecast is within 1.5 times of the run."""

from time import perf_counter

import numpy as np
import pytest
import torch
import xarray as xr
from diffusers import DDIMScheduler

import hrvlab as hl
from hrvlab.dry_run import rehearse_capture, rehearse_queries, rehearse_votes
from hrvlab.errors import ParameterError
from hrvlab.rehearsal import DryRun, Rehearsal
from hrvlab.relevance.votes import run_votes
from hrvlab.storage.datasets import write_tree
from timings.full_size import SD14
from timings.shapes import build, stable_diffusion

CLOSE = 1.5
CALL = {"num_inference_steps": 9, "batch_size": 2}
PROMPTS = hl.read_prompts("miniature")[:5]


@pytest.fixture(scope="module")
def pipe():
    return hl.load("miniature", device="cpu")


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def near(forecast, found):
    return found / CLOSE < forecast < found * CLOSE


@pytest.mark.parametrize("maps", [{}, {"maps": "a", "grids": 4}])
def test_the_bytes_and_calls_of_a_capture_are_forecast(pipe, tmp_path, maps):
    prompts = [f"a {text}" for text in PROMPTS] if maps else PROMPTS
    forecast = rehearse_capture(pipe, prompts, **CALL, **maps)
    captured = hl.capture(pipe, prompts, progress=False, **CALL, **maps)
    write_tree(captured if maps else xr.DataTree(captured), tmp_path / "a.zarr")
    assert near(forecast.written, size(tmp_path))
    assert forecast.calls == 3 * captured.sizes["timestep"]
    assert forecast.memory > captured.nbytes


def test_the_bytes_and_calls_of_votes_are_forecast(pipe, tmp_path):
    concepts = hl.ConceptSet.read("miniature")
    forecast = rehearse_votes(pipe, concepts, PROMPTS, **CALL)
    votes = run_votes(pipe, concepts, PROMPTS, store=tmp_path, progress=False, **CALL)
    assert near(forecast.written, size(tmp_path))
    assert forecast.calls == 3 * votes.data.sizes["timestep"]


@pytest.mark.full
def test_time_and_bytes_of_a_run_at_the_size_of_stable_diffusion_are_forecast(tmp_path):
    """One prompt in two steps, with random weights; images are small, the UNet is not."""
    pipe = build(stable_diffusion, SD14, "cpu", torch.float32)
    call = {"num_inference_steps": 2, "height": 256, "width": 256}
    hl.generate(pipe, PROMPTS[0], progress=False, **{**call, "num_inference_steps": 1})  # warm
    forecast = rehearse_capture(pipe, "a red car", maps="red", **call)
    begun = perf_counter()
    captured = hl.capture(pipe, "a red car", maps="red", progress=False, **call)
    write_tree(captured, tmp_path / "a.zarr")
    assert near(forecast.seconds, perf_counter() - begun)
    assert near(forecast.written, size(tmp_path))
    assert forecast.calls == captured.sizes["timestep"]
    weights = sum(weight.nbytes for weight in pipe.unet.parameters())
    assert forecast.memory > weights > 3e9


def test_the_bytes_and_calls_of_a_recording_are_forecast(pipe, tmp_path):
    given = {**CALL, "positions": 8, "calls": 4, "vocabulary": ["red", "cat"]}
    forecast = rehearse_queries(pipe, PROMPTS, **given)
    pool = hl.record_queries(pipe, PROMPTS, store=tmp_path, progress=False, **given)
    assert near(forecast.written, size(pool.folder))
    assert forecast.calls == 3 * len(pool.data["scheduler_timestep"])
    with pytest.raises(ParameterError, match=r"would take .* GB, the budget is"):
        rehearse_queries(pipe, PROMPTS, budget_bytes=1000, **given)


def test_a_run_of_few_calls_is_rehearsed_as_it_is(tiny_pipe):
    tiny_pipe.scheduler = DDIMScheduler.from_config(tiny_pipe.scheduler.config)
    for steps in (1, 2):
        found = rehearse_capture(tiny_pipe, "a red car", num_inference_steps=steps)
        assert found.calls == steps
        assert found.seconds >= found.seconds_per_call > 0


def test_a_rehearsal_leaves_no_trace_after_an_error_either(tiny_pipe):
    with pytest.raises(ZeroDivisionError), Rehearsal(tiny_pipe) as rehearsal:
        tiny_pipe("a red car", num_inference_steps=1, output_type="latent")
        raise ZeroDivisionError
    assert not tiny_pipe.unet._forward_pre_hooks
    assert rehearsal.calls == 1
    assert rehearsal.memory > 1e7
    assert rehearsal.seconds_per_call == rehearsal.seconds > 0


def test_time_is_of_every_batch_and_what_is_spent_once(tiny_pipe, monkeypatch):
    """By a clock that ticks once at every look."""
    ticks = iter(np.arange(1000.0))
    monkeypatch.setattr("hrvlab.rehearsal.perf_counter", lambda: float(next(ticks)))
    found = rehearse_capture(tiny_pipe, ["a cat"] * 5, num_inference_steps=10, batch_size=1)
    # A second before the first of 3 calls, one between calls, one after the last.
    assert found.seconds_per_call == 1
    assert found.seconds == 1 + 5 * 11


def test_a_forecast_is_one_line_in_units_that_people_use():
    text = str(DryRun(9000.0, 3 * 10**9, 0, 4200, 12, 0.25))
    assert text == "2.5 hours (12 denoiser calls of 0.25 s), 3.0 GB of memory, 4 kB on disk"
