import signal

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.families import denoiser_of
from hrvlab.reservoir.groups import LayerGroup
from hrvlab.storage.shards import Shards
from tests.faults import run_and_die
from tests.pipelines import tiny_sd, tiny_sdxl
from tests.tiny_joint import tiny_sd3
from tests.tiny_transformers import TRANSFORMERS, tiny_normed_sana, tiny_pixart

PROMPTS = ["a red car", "a blue cat", "a photo of a tree", "a rose", "a green vase"]
CONCEPTS = hl.ConceptSet.from_dict(
    {"Color": ["red"], "Animals": ["cat"], "Style": ["photo of red"]}
)
WORDS = ["red", "blue", "cat", "dog", "photo of red"]
STEPS = {"num_inference_steps": 4, "progress": False, "batch_size": 2}


def record(pipe, store, prompts=PROMPTS, **changed):
    given = {"vocabulary": WORDS, **STEPS, **changed}
    return hl.record_queries(pipe, prompts, store=store, **given)


def queries(pool):
    shards = Shards(pool.folder)
    return {name: shards.read(name) for name in shards.names()}


def same(one, other):
    xr.testing.assert_identical(one.data.drop_attrs().load(), other.data.drop_attrs().load())
    for name, values in queries(one).items():
        assert (values == queries(other)[name]).all()


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (tiny_sd, {}),
        (tiny_sdxl, {}),
        (tiny_pixart, TRANSFORMERS["pixart-alpha"].call),
        (tiny_normed_sana, TRANSFORMERS["sana"].call),
    ],
)
def test_all_positions_of_all_calls_give_the_votes_that_are_collected(make, call, tmp_path):
    pipe = make()
    call = {**call, **STEPS}
    # Far from ties, which rounding to float16 would decide.
    for name, weight in denoiser_of(pipe).named_parameters():
        if "attn2.to_q" in name or "attn2.to_k" in name:
            weight.data *= 8
    pool = record(pipe, tmp_path, positions=2**12, calls=None, **call)
    votes = hl.collect_votes(pipe, CONCEPTS, PROMPTS, **call)
    counts = votes["votes_by_prompt"].sum("prompt").transpose("concept", "head_position").values
    found = pool.relevance(CONCEPTS)
    counted = found.values * found["votes"].values[:, None] / found.sizes["head_position"]
    assert np.abs(counted - counts).sum() <= 0.03 * counts.sum()
    assert (
        np.abs(counted - counts).sum() < 0.2 * np.abs(counts - counts.mean(1, keepdims=True)).sum()
    )


def test_queries_are_those_of_the_drawn_calls_and_positions(tiny_pipe, tmp_path):
    whole = record(tiny_pipe, tmp_path, positions=2**12, calls=None)
    pool = record(tiny_pipe, tmp_path, positions=2, calls=2)
    all_calls, some = queries(whole), queries(pool)
    assert pool.data.sizes["timestep"] == 2
    for group in pool.groups:
        for prompt, calls in enumerate(pool.data["call"].values):
            for slot, call in enumerate(calls):
                grid = all_calls[group.queries][prompt, call]  # layer, head, position, channel
                kept = some[group.queries][prompt, slot]
                match = (grid[:, :, None] == kept[:, :, :, None]).all(-1)
                assert match.any(-1).all()
                assert (match.argmax(-1)[..., 0] != match.argmax(-1)[..., 1]).all()


def test_the_same_plan_gives_the_same_bits_and_runs_the_model_once(tiny_pipe, tmp_path):
    first = record(tiny_pipe, tmp_path / "a")
    same(first, record(tiny_pipe, tmp_path / "b"))
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    same(first, record(tiny_pipe, tmp_path / "a"))
    assert not calls


def test_calls_can_be_named(tiny_pipe, tmp_path):
    pool = record(tiny_pipe, tmp_path, calls=[3, 0])
    assert (pool.data["call"] == xr.DataArray([0, 3], dims="timestep")).all()
    with pytest.raises(ParameterError, match="the run makes 5 denoiser calls"):
        record(tiny_pipe, tmp_path, calls=[5])


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_a_batch_may_be_larger_than_the_prompts_and_need_not_divide_them(
    tiny_pipe, tmp_path, batch_size
):
    pool = record(tiny_pipe, tmp_path, PROMPTS[:4], batch_size=batch_size)
    assert all(len(values) == 4 for values in queries(pool).values())
    assert pool.relevance(CONCEPTS).sizes["concept"] == len(CONCEPTS.names)


def record_many(store):
    record(tiny_sd(), store, PROMPTS * 4)


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.full)])
def test_a_recording_killed_at_random_points_resumes_to_the_same_bits(tiny_pipe, tmp_path, kills):
    for point in np.random.default_rng(0).integers(60, 240, size=kills):
        assert run_and_die(record_many, tmp_path / "killed", point) == -signal.SIGKILL
    resumed = record(tiny_pipe, tmp_path / "killed", PROMPTS * 4)
    same(resumed, record(tiny_pipe, tmp_path / "whole", PROMPTS * 4))
    assert not list((tmp_path / "killed").rglob("*.partial"))


def test_recording_leaves_no_trace(tiny_pipe, tmp_path):
    before = hl.generate(tiny_pipe, PROMPTS[:2], num_inference_steps=3, progress=False)
    record(tiny_pipe, tmp_path, PROMPTS[:2])
    after = hl.generate(tiny_pipe, PROMPTS[:2], num_inference_steps=3, progress=False)
    assert (before == after).all()


def test_what_does_not_fit_the_budget_is_refused_before_generating(tiny_pipe, tmp_path):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(ParameterError, match=r"would take .* GB, the budget is"):
        record(tiny_pipe, tmp_path, budget_bytes=1000)
    assert not calls
    assert not list(tmp_path.iterdir())


def test_joint_attention_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ModelError, match="joint attention, where the keys of a word change"):
        record(tiny_sd3(), tmp_path)


@pytest.mark.parametrize("positions", [0, 3])
def test_a_number_of_positions_without_halves_is_refused(tiny_pipe, tmp_path, positions):
    with pytest.raises(ParameterError, match="give an even number"):
        record(tiny_pipe, tmp_path, positions=positions)


def test_the_strength_of_a_lora_for_one_call_is_refused(tiny_pipe, tmp_path):
    with pytest.raises(ParameterError, match="set it with pipe.set_adapters"):
        record(tiny_pipe, tmp_path, cross_attention_kwargs={"scale": 0.5})


def test_the_layers_of_a_pool_are_grouped_by_their_shapes(tiny_pipe, tmp_path):
    pool = record(tiny_pipe, tmp_path, PROMPTS[:1])
    assert sorted(layer for group in pool.groups for layer in group.layers) == [0, 1, 2, 3]
    assert all(isinstance(group, LayerGroup) and group.kept <= 16 for group in pool.groups)
    assert queries(pool)["queries_0"].dtype == np.float16
