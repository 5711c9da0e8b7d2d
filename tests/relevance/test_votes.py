import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.attention import Ballot
from hrvlab.errors import ParameterError, StoreError
from hrvlab.relevance.votes import draw_words

PROMPTS = [f"a {color} {thing}" for color in ("red", "blue") for thing in ("car", "cat", "tree")]
STEPS = {"num_inference_steps": 3, "progress": False, "batch_size": 2}


def same(one, other):
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())


def test_a_heads_votes_sum_to_prompts_times_calls(tiny_pipe, concepts):
    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS, **STEPS)
    totals = votes["votes_by_timestep"].sum(("timestep", "concept"))
    assert (totals == len(PROMPTS) * votes.sizes["timestep"]).all()
    by_prompt = votes["votes_by_prompt"].sum("prompt")
    assert (by_prompt == votes["votes_by_timestep"].sum("timestep")).all()


@pytest.mark.parametrize("ballot", [Ballot(mass=True), Ballot(start=False)])
def test_another_ballot_is_another_plan_with_other_votes(tiny_pipe, concepts, tmp_path, ballot):
    published, other = (
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS, **changed)
        for changed in ({}, {"ballot": ballot})
    )
    assert (published["votes_by_prompt"] != other["votes_by_prompt"]).any()
    if not ballot.mass:
        totals = other["votes_by_prompt"].sum(("prompt", "concept"))
        assert (totals == len(PROMPTS) * other.sizes["timestep"]).all()


def test_the_same_plan_gives_the_same_bits(tiny_pipe, concepts):
    same(*(hl.collect_votes(tiny_pipe, concepts, PROMPTS, **STEPS) for _ in range(2)))


def test_with_and_without_a_store_the_votes_are_the_same(tiny_pipe, concepts, tmp_path):
    stored = hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    same(stored, hl.collect_votes(tiny_pipe, concepts, PROMPTS, **STEPS))
    same(stored, hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS))


def test_a_finished_store_is_read_without_running_the_model(tiny_pipe, concepts, tmp_path):
    hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    assert not calls


def test_a_store_keeps_plans_apart(tiny_pipe, concepts, tmp_path):
    for prompts in (PROMPTS[:2], PROMPTS):
        stored = hl.collect_votes(tiny_pipe, concepts, prompts, store=tmp_path, **STEPS)
        same(stored, hl.collect_votes(tiny_pipe, concepts, prompts, **STEPS))


def test_killed_at_any_point_it_resumes_to_identical_votes(tiny_pipe, concepts, tmp_path):
    script = textwrap.dedent(f"""
        from tests.pipelines import tiny_sd
        import hrvlab as hl
        concepts = hl.ConceptSet.from_dict({concepts.to_dict()!r})
        print("ready", flush=True)
        hl.collect_votes(tiny_sd(), concepts, {PROMPTS * 4!r}, store={str(tmp_path)!r}, **{STEPS!r})
        print("done", flush=True)
    """)
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.02, 0.25))
        process.send_signal(signal.SIGKILL)
        kills += "done" not in process.stdout.read()
        process.wait()
        process.stdout.close()
        if list(tmp_path.glob("*/data.zarr")):
            break
    assert kills
    resumed = hl.collect_votes(tiny_pipe, concepts, PROMPTS * 4, store=tmp_path, **STEPS)
    same(resumed, hl.collect_votes(tiny_pipe, concepts, PROMPTS * 4, **STEPS))


def test_draws_depend_on_their_key_alone():
    first = draw_words(3, 1, 2, 4, [5, 7, 9])
    assert (first == draw_words(3, 1, 2, 4, [5, 7, 9])).all()
    assert (first[:2] == draw_words(3, 1, 2, 4, [5, 7])).all()
    others = [draw_words(*key, [1000] * 5) for key in np.ndindex(2, 2, 2, 2)]
    assert len({tuple(draw) for draw in others}) == 16


def test_draws_are_uniform():
    draws = np.stack([draw_words(0, p, c, 0, [4, 10]) for p in range(50) for c in range(50)])
    for column, count in ((0, 4), (1, 10)):
        shares = np.bincount(draws[:, column], minlength=count) / len(draws)
        assert np.abs(shares - 1 / count).max() < 5 * np.sqrt(1 / count / len(draws))


def test_keywords_that_would_change_what_is_counted_are_refused(tiny_pipe, concepts):
    with pytest.raises(ParameterError, match="leave out num_images_per_prompt"):
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, num_images_per_prompt=2)


def test_a_store_that_cannot_be_written_is_refused_before_generating(tiny_pipe, concepts, tmp_path):
    (tmp_path / "file").write_text("")
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(StoreError, match="cannot write"):
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path / "file" / "run", **STEPS)
    assert not calls
