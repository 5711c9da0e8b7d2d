import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import hrvlab as hl
from hrvlab.errors import StoreError
from hrvlab.experiments.study import Study
from hrvlab.results.check import check_result
from hrvlab.results.make import make_result, read_result
from hrvlab.results.rehearsal import rehearse_result
from hrvlab.storage.archives import read_units
from tests.cli.disks import disk
from tests.experiments.weakening.test_trial import PROMPTS, TEXTS, vectors
from tests.pipelines import tiny_sd
from tests.scores import Brightness

CALL = {"num_inference_steps": 2, "progress": False, "batch_size": 4, "cuts": [3], "draws": 1}
CONCEPTS = ["Color", "Animals"]


def run(pipe, store: Path):
    hrv = vectors(pipe)
    given = {"texts": TEXTS, "score": Brightness(), "store": store / "tiny", **CALL}
    return {concept: hl.weaken(pipe, hrv, concept, PROMPTS, **given) for concept in CONCEPTS}


STUDY = Study("tiny", run, "concept", lambda data: data["image"].isel(prompt=0, seed=0).values)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    make_result(STUDY, tiny_sd(), tmp_path_factory.mktemp("work"), results)
    return results


def test_a_result_holds_its_parts_side_by_side(made, tiny_pipe, tmp_path):
    result = read_result("tiny", made)
    for concept, part in run(tiny_pipe, tmp_path).items():
        of_concept = result.data.sel(concept=concept)
        np.testing.assert_array_equal(of_concept["score"], part.data["score"])
        shown = result.images(of_concept["image"].isel(prompt=0, seed=0))
        expected = part.images(part.data["image"].isel(prompt=0, seed=0))
        np.testing.assert_array_equal(shown, expected)
        with pytest.raises(StoreError, match="cannot read an image"):
            result.images(of_concept["image"].isel(prompt=1, seed=0))


def test_a_study_is_forecast_from_one_of_its_units(made, tiny_pipe, tmp_path):
    before = sorted(made.rglob("*"))
    whole = rehearse_result(STUDY, tiny_pipe, made)
    part = rehearse_result(STUDY, tiny_pipe, made, share=0.5)
    assert (part.written, 2 * part.calls) == (0, whole.calls)
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    make_result(STUDY, tiny_pipe, tmp_path / "work", tmp_path / "results")
    found = sum(p.stat().st_size for p in tmp_path.rglob("*.*") if p.is_file())
    assert len(calls) / 1.5 < whole.calls < len(calls) * 1.5
    assert found / 1.5 < whole.written < found * 1.5
    assert sorted(made.rglob("*")) == before


def test_the_texts_of_every_part_are_kept_whole(tiny_pipe, tmp_path):
    prompts = {"Color": ["a red car"], "Animals": ["a cat before the red car"]}

    def parts(pipe, store: Path):
        given = {"texts": ["red"], "score": Brightness(), "store": store / "tiny", **CALL}
        return {c: hl.weaken(pipe, vectors(pipe), c, prompts[c], **given) for c in CONCEPTS}

    make_result(
        Study("tiny", parts, "concept", STUDY.shown), tiny_pipe, tmp_path, tmp_path / "made"
    )
    made = read_result("tiny", tmp_path / "made").data
    assert {c: made["prompt_text"].sel(concept=c).values.tolist() for c in CONCEPTS} == prompts


def test_a_missing_result_is_reported_with_the_command_that_makes_it(made):
    with pytest.raises(StoreError, match="make it with: hrvlab results votes"):
        read_result("votes", made)


def test_a_result_made_again_replaces_the_one_before(made, tiny_pipe, tmp_path):
    again = tmp_path / "results"
    for _ in range(2):
        make_result(STUDY, tiny_pipe, tmp_path / "work", again)
    first, second = (
        sorted(path.relative_to(folder) for path in folder.rglob("*.*")) for folder in (made, again)
    )
    assert first == second


def test_some_units_computed_again_agree(made, tiny_pipe):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    units = sum(len(read_units(path)) for path in (made / "tiny" / "units").iterdir())
    compared = check_result(STUDY, tiny_pipe, made, share=0.3)
    assert {one.variable for one in compared} == {"score"}
    assert len(compared) == round(0.3 * units)
    assert all(one.agrees for one in compared)
    assert len(calls) == len(compared) * 3  # PNDM calls once more than there are steps


def test_results_are_computed_with_the_same_number_of_threads_wherever_that_is(tiny_pipe, tmp_path):
    threads = []

    def note(pipe, store):
        threads.append(torch.get_num_threads())
        return run(pipe, store)

    study = Study("tiny", note, "concept", STUDY.shown)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        make_result(study, tiny_pipe, tmp_path / "work", tmp_path)
        check_result(study, tiny_pipe, tmp_path, share=0)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert threads == [2, 2]


def test_a_number_that_was_changed_is_found(made, tiny_pipe, tmp_path):
    def dimmer(pipe, store):
        class Dimmer(Brightness):
            def __call__(self, images, texts):
                return super().__call__(images, texts) - 1000

        hrv = vectors(pipe)
        given = {"texts": TEXTS, "score": Dimmer(), "store": store / "tiny", **CALL}
        return {concept: hl.weaken(pipe, hrv, concept, PROMPTS, **given) for concept in CONCEPTS}

    wrong = Study("tiny", dimmer, "concept", STUDY.shown)
    compared = check_result(wrong, tiny_pipe, made, share=0.3)
    assert not any(one.agrees for one in compared)


def test_a_result_is_not_checked_without_those_that_it_needs(made, tiny_pipe):
    needy = Study("tiny", run, "concept", STUDY.shown, needs=("votes",))
    with pytest.raises(StoreError, match="no finished result 'votes'"):
        check_result(needy, tiny_pipe, made)


def test_units_that_were_cut_short_cannot_be_read(made, tmp_path):
    packed = next((made / "tiny" / "units").iterdir())
    (tmp_path / "short.npz").write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(StoreError, match="cannot be read"):
        read_units(tmp_path / "short.npz")


def test_a_result_of_another_plan_is_not_checked(made):
    with pytest.raises(StoreError, match="made by another plan than today's"):
        check_result(STUDY, tiny_sd(seed=1), made)


def test_the_folder_of_results_is_tried_before_anything_is_computed(tiny_pipe, tmp_path):
    (tmp_path / "file").touch()
    never = Study("tiny", lambda *_: pytest.fail("the study was run"))
    with pytest.raises(StoreError, match="cannot write .*file"):
        make_result(never, tiny_pipe, tmp_path / "work", tmp_path / "file")


def test_two_processes_may_make_the_same_result(made, tiny_pipe, tmp_path):
    results = tmp_path / "results"

    def run_twice(pipe, store):
        if not results.joinpath("tiny").exists():
            make_result(STUDY, pipe, tmp_path / "other", results)
        return run(pipe, store)

    make_result(Study("tiny", run_twice, "concept", STUDY.shown), tiny_pipe, tmp_path, results)
    assert [path.name for path in results.iterdir()] == ["tiny"]
    assert read_result("tiny", results).data.sizes == read_result("tiny", made).data.sizes


def test_a_result_that_cannot_be_written_leaves_the_one_before(made, tiny_pipe, tmp_path):
    results = tmp_path / "results"
    make_result(STUDY, tiny_pipe, tmp_path / "work", results)
    before = read_result("tiny", results).data.attrs
    with disk.failing(results, 9), pytest.raises(StoreError, match="units are kept in .*work, and"):
        make_result(STUDY, tiny_pipe, tmp_path / "work", results)
    assert read_result("tiny", results).data.attrs == before
    assert [path.name for path in results.iterdir()] == ["tiny"]


def test_a_result_without_units_is_not_checked(made, tiny_pipe, tmp_path):
    shutil.copytree(made / "tiny", tmp_path / "tiny", ignore=lambda *_: ["units"])
    with pytest.raises(StoreError, match="the result 'tiny' holds no units; make it with"):
        check_result(STUDY, tiny_pipe, tmp_path)
