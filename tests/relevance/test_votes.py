import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab import libraries
from hrvlab.attention import VotingRule
from hrvlab.errors import ConceptError, ParameterError, StoreError
from hrvlab.relevance.votes import draw_words
from tests.faults import run_and_die
from tests.pipelines import tiny_sd

PROMPTS = [f"a {color} {noun}" for color in ("red", "blue") for noun in ("car", "cat", "tree")]
CONCEPTS = hl.ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat", "dog"]})
STEPS = {"num_inference_steps": 3, "progress": False, "batch_size": 2}


def same(one, other):
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())


def test_a_heads_votes_sum_to_prompts_times_calls(tiny_pipe, concepts):
    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS, **STEPS)
    totals = votes["votes_by_timestep"].sum(("timestep", "concept"))
    assert (totals == len(PROMPTS) * votes.sizes["timestep"]).all()
    by_prompt = votes["votes_by_prompt"].sum("prompt")
    assert (by_prompt == votes["votes_by_timestep"].sum("timestep")).all()


@pytest.mark.parametrize("voting_rule", [VotingRule(mass=True), VotingRule(start=False)])
def test_another_voting_rule_is_another_plan_with_other_votes(
    tiny_pipe, concepts, tmp_path, voting_rule
):
    published, other = (
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS, **changed)
        for changed in ({}, {"voting_rule": voting_rule})
    )
    assert (published["votes_by_prompt"] != other["votes_by_prompt"]).any()
    if not voting_rule.mass:
        totals = other["votes_by_prompt"].sum(("prompt", "concept"))
        assert (totals == len(PROMPTS) * other.sizes["timestep"]).all()


def test_the_same_plan_yields_the_same_bits(tiny_pipe, concepts):
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


def count_many(store):
    hl.collect_votes(tiny_sd(), CONCEPTS, PROMPTS * 8, store=store, **STEPS)


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.full)])
def test_a_run_killed_at_random_points_resumes_to_identical_votes(tiny_pipe, tmp_path, kills):
    for point in np.random.default_rng(0).integers(15, 60, size=kills):
        assert run_and_die(count_many, tmp_path, point) == -signal.SIGKILL
    (units,) = tmp_path.glob("*/ledger")
    assert len(list(units.glob("*.npz"))) > min(kills, 3)
    resumed = hl.collect_votes(tiny_pipe, CONCEPTS, PROMPTS * 8, store=tmp_path, **STEPS)
    same(resumed, hl.collect_votes(tiny_pipe, CONCEPTS, PROMPTS * 8, **STEPS))


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.full)])
def test_a_run_killed_while_writing_its_result_writes_it_again(tiny_pipe, tmp_path, kills):
    whole = hl.collect_votes(tiny_pipe, CONCEPTS, PROMPTS * 8, store=tmp_path, **STEPS)
    (data,) = tmp_path.glob("*/data.zarr")
    for point in np.random.default_rng(1).integers(30, 90, size=kills):
        shutil.rmtree(data, ignore_errors=True)
        assert run_and_die(count_many, tmp_path, point) == -signal.SIGKILL
        same(hl.collect_votes(tiny_pipe, CONCEPTS, PROMPTS * 8, store=tmp_path, **STEPS), whole)


def test_word_draws_depend_on_their_key_alone():
    first = draw_words(3, 1, 2, 4, [5, 7, 9])
    assert (first == draw_words(3, 1, 2, 4, [5, 7, 9])).all()
    assert (first[:, :2] == draw_words(3, 1, 2, 4, [5, 7])).all()
    others = [draw_words(*key, 2, [1000] * 5) for key in np.ndindex(2, 2, 2)]
    assert len({tuple(row) for draw in others for row in draw}) == 16


def test_word_draws_are_uniform():
    draws = np.concatenate([draw_words(0, p, c, 4, [4, 10]) for p in range(25) for c in range(25)])
    for column, count in ((0, 4), (1, 10)):
        shares = np.bincount(draws[:, column], minlength=count) / len(draws)
        assert np.abs(shares - 1 / count).max() < 5 * np.sqrt(1 / count / len(draws))


def test_keywords_that_would_change_what_is_counted_are_refused(tiny_pipe, concepts):
    with pytest.raises(ParameterError, match="leave out num_images_per_prompt"):
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, num_images_per_prompt=2)


def test_a_damaged_result_and_unit_are_computed_again_from_undamaged_units(
    tiny_pipe, concepts, tmp_path
):
    whole = hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    (chunk,) = tmp_path.glob("*/data.zarr/votes_by_prompt/c/0/0/0")
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    chunk.unlink()
    same(hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS), whole)
    assert not calls
    (unit,) = tmp_path.glob("*/ledger/000001.npz")
    unit.write_bytes(unit.read_bytes()[:-30])
    chunk.write_bytes(chunk.read_bytes()[:-1])
    same(hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS), whole)
    assert len(calls) == whole.sizes["timestep"]


def test_a_full_disk_keeps_finished_batches(tiny_pipe, concepts, tmp_path, monkeypatch):
    written = []

    def fsync(file):
        written.append(file)
        if len(written) > 4:  # the plan, the versions and two batches
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match="disk is full .* run the same command again"):
            hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    assert len(calls) == votes.sizes["timestep"]  # of the third and last batch
    same(votes, hl.collect_votes(tiny_pipe, concepts, PROMPTS, **STEPS))


def test_a_store_that_cannot_be_written_is_refused_before_generating(tiny_pipe, concepts, tmp_path):
    (tmp_path / "file").write_text("")
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(StoreError, match="cannot write"):
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path / "file" / "run", **STEPS)
    assert not calls


def test_peak_memory_does_not_grow_with_the_prompts(tmp_path):
    # 4 layers × 2 heads × 1,000 concepts: 512 more prompts would take 16 MB, several times over.
    # The first run fills the allocator's pools, which give large arrays back at once.
    script = textwrap.dedent("""
        import resource, sys
        from tests.pipelines import tiny_sd
        import hrvlab as hl
        from hrvlab.relevance import votes
        from hrvlab.storage import datasets
        votes.CHUNK_BYTES = datasets.PIECE_BYTES = 2**19
        concepts = hl.ConceptSet.from_dict({f"concept {n}": ["red"] for n in range(1000)})
        settings = {"num_inference_steps": 1, "batch_size": 16, "progress": False}
        pipe = tiny_sd()
        for number in (128, 256, 768):
            prompts = ["a red car"] * number
            hl.collect_votes(pipe, concepts, prompts, store=sys.argv[1], **settings)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    allocator = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    output = subprocess.check_output(command, env=os.environ | allocator)
    _, few, many = map(int, output.split())
    assert many - few < 4096


def test_the_same_concepts_in_another_order_are_refused(tiny_pipe, tmp_path):
    hl.collect_votes(tiny_pipe, CONCEPTS, PROMPTS, store=tmp_path, **STEPS)
    words = CONCEPTS.to_dict()
    other = hl.ConceptSet.from_dict({name: words[name] for name in reversed(words)})
    with pytest.raises(ConceptError, match="in the order .* keep that order"):
        hl.collect_votes(tiny_pipe, other, PROMPTS, store=tmp_path, **STEPS)
    (plan,) = tmp_path.iterdir()
    (plan / "data.zarr" / "zarr.json").unlink()
    with pytest.raises(ConceptError, match="in the order .* keep that order"):
        hl.collect_votes(tiny_pipe, other, PROMPTS, store=tmp_path, **STEPS)


def test_votes_are_not_resumed_under_other_versions_and_say_which_they_are_of(
    tiny_pipe, concepts, tmp_path, monkeypatch
):
    whole = hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    (result,) = tmp_path.glob("*/data.zarr")
    real = libraries.version
    monkeypatch.setattr(libraries, "version", lambda n: "99.1" if n == "torch" else real(n))
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    shutil.rmtree(result)
    again = hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    assert again.attrs["libraries"] == whole.attrs["libraries"]
    shutil.rmtree(result)
    (result.parent / "ledger" / "000001.npz").unlink()
    with pytest.raises(StoreError, match=r"units .2. of other .* torch .* \(here 99.1\)"):
        hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path, **STEPS)
    assert not calls
    new = hl.collect_votes(tiny_pipe, concepts, PROMPTS, store=tmp_path / "new", **STEPS)
    assert '"torch": "99.1"' in new.attrs["libraries"]


def test_a_store_may_be_in_the_home_folder(tiny_pipe, concepts, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    hl.collect_votes(tiny_pipe, concepts, PROMPTS[:1], store="~/votes", **STEPS)
    assert list((tmp_path / "votes").glob("*/data.zarr"))


def test_prompts_may_be_a_text_or_any_kind_of_column(tiny_pipe, concepts):
    expected = hl.collect_votes(tiny_pipe, concepts, PROMPTS[:2], **STEPS)
    for column in (tuple, np.array, pd.Series):
        same(hl.collect_votes(tiny_pipe, concepts, column(PROMPTS[:2]), **STEPS), expected)
    assert hl.collect_votes(tiny_pipe, concepts, "a red car", **STEPS).sizes["prompt"] == 1


def test_a_negative_prompt_and_text_states_of_each_prompt_follow_it_through_the_batches(
    tiny_pipe, concepts
):
    call = {"negative_prompt": ["a dog", "a tree", "blue"], **STEPS}
    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS[:3], **call)
    same(hl.collect_votes(tiny_pipe, concepts, PROMPTS[:3], **{**call, "batch_size": 3}), votes)
    states = tiny_pipe.encode_prompt(PROMPTS[:3], "cpu", 1, False)[0]
    given = hl.collect_votes(tiny_pipe, concepts, PROMPTS[:3], prompt_embeds=states, **STEPS)
    same(given, hl.collect_votes(tiny_pipe, concepts, PROMPTS[:3], **STEPS))


def test_a_callback_may_watch_the_votes(tiny_pipe, concepts):
    seen = []

    def watch(pipe, step, timestep, given):
        seen.append(step)
        return given

    votes = hl.collect_votes(tiny_pipe, concepts, PROMPTS[:1], callback_on_step_end=watch, **STEPS)
    assert len(seen) == votes.sizes["timestep"]
    assert "watch" in votes.attrs["parameters"]
