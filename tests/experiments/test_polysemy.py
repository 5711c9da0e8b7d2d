import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, StoreError
from hrvlab.experiments.arms import Prompt, keep_result
from hrvlab.experiments.benchmarks import read_polysemy
from hrvlab.experiments.forms import Case
from hrvlab.experiments.pictures import read_images
from hrvlab.experiments.polysemy import disambiguate, make_factors
from hrvlab.ledger import writing
from hrvlab.miniature.world import COLORS, THING_BY_NAME, concept_words
from hrvlab.store import read_dataset
from tests.experiments.test_steering import vectors
from tests.experiments.test_weakening import Brightness
from tests.pipelines import save_tiny_clip, tiny_sd

CASE = Case(
    prompt="a rose vase",
    word="rose",
    wanted="red",
    unwanted="tree and cat",
    toward="Color",
    away="Plants",
    reworded="a red vase",
)
OTHER = CASE.model_copy(update={"prompt": "a photo of rose", "wanted": "a long text indeed"})
CALL = {"num_inference_steps": 2, "progress": False, "seeds": [0, 3], "score": Brightness()}


def test_every_baseline_is_as_large_as_adjusting(tiny_pipe):
    hrv = vectors(tiny_pipe)
    ways = make_factors(hrv, CASE)
    np.testing.assert_array_equal(ways["plain"], 1)
    adjusting = ways["adjusting"]
    np.testing.assert_allclose(adjusting, 2 * hrv.values[0] - hrv.values[1])
    np.testing.assert_allclose(ways["strengthening"], hrv.values[0])
    np.testing.assert_array_equal(np.sort(ways["shuffled heads"]), np.sort(adjusting))
    assert (ways["shuffled heads"] != adjusting).any()
    assert len(set(ways["uniform"])) == 1
    assert (ways["uniform"] ** 2).sum() == pytest.approx((adjusting**2).sum())


def test_every_way_is_what_generate_draws(tiny_pipe, tmp_path):
    hrv = vectors(tiny_pipe)
    found = disambiguate(tiny_pipe, hrv, [CASE, OTHER], store=tmp_path, **CALL)
    call = {"num_inference_steps": 2, "progress": False, "seed": [0, 3]}
    adjusting = hl.adjust(hrv, toward="Color", away="Plants", word="rose")
    for case, prompt in enumerate((CASE, OTHER)):
        for way, text, edit in (
            ("adjusting", prompt.prompt, adjusting),
            ("reworded", prompt.reworded, ()),
        ):
            expected = hl.generate(tiny_pipe, [text] * 2, edit=edit, **call)
            expected = expected[2 * case :][:2]
            image = found["image"].sel(arm=way).isel(prompt=case)
            np.testing.assert_allclose(read_images(found, image).astype(float), expected, atol=1)


def test_the_sense_that_scores_higher_is_the_one_seen(tiny_pipe, tmp_path):
    cases = [CASE, OTHER]
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), cases, store=tmp_path, **CALL)
    # Brightness adds a text's length, so that longer senses always win.
    assert found["misread"].sel(arm="plain").values.tolist() == [[True] * 2, [False] * 2]
    np.testing.assert_allclose(
        found["margin"].isel(prompt=0), len(CASE.wanted) - len(CASE.unwanted), atol=1e-4
    )
    plain = read_images(found, found["image"].sel(arm="plain").isel(prompt=1))
    expected = hl.generate(
        tiny_pipe, [OTHER.prompt] * 2, seed=[0, 3], num_inference_steps=2, progress=False
    )[2:]
    np.testing.assert_allclose(plain.astype(float), expected, atol=1)


def test_a_wanted_sense_that_is_not_there_at_all_is_not_seen(tiny_pipe, tmp_path):
    score = Brightness()
    score.least = 1e6
    found = disambiguate(
        tiny_pipe, vectors(tiny_pipe), [OTHER], store=tmp_path, **{**CALL, "score": score}
    )
    assert (found["margin"] > 0).all()
    assert found["misread"].all()


def test_clip_tells_the_senses_of_a_published_case_apart(tiny_pipe, tmp_path):
    save_tiny_clip(tmp_path / "clip")
    score = hl.clip_score(tmp_path / "clip")
    (case,) = [case for case in read_polysemy("published").cases if case.word == "rose-colored"]
    call = {**CALL, "score": score}
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), [case], store=tmp_path, **call)
    plain = read_images(found, found["image"].sel(arm="plain").isel(prompt=0))
    margin = score(plain, [case.wanted] * 2) - score(plain, [case.unwanted] * 2)
    np.testing.assert_allclose(found["margin"].sel(arm="plain").isel(prompt=0), margin, atol=1e-6)
    np.testing.assert_array_equal(found["misread"], found["margin"] <= 0)


def test_bad_input_is_refused_before_generating(tiny_pipe, tmp_path):
    calls = []
    tiny_pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    given = {"store": tmp_path, **CALL}
    hrv = vectors(tiny_pipe)
    with pytest.raises(ParameterError, match="list of cases is empty"):
        disambiguate(tiny_pipe, hrv, [], **given)
    with pytest.raises(ConceptError, match="no concept 'Hue'"):
        disambiguate(tiny_pipe, hrv, [CASE.model_copy(update={"away": "Hue"})], **given)
    with pytest.raises(ModelError, match="built from model"):
        disambiguate(tiny_pipe, vectors(tiny_sd(seed=1)), [CASE], **given)
    assert not calls


def test_the_result_is_kept_and_knows_where_it_came_from(tiny_pipe, tmp_path):
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], store=tmp_path, **CALL)
    kept = read_dataset(Path(found.encoding["source"]))
    xr.testing.assert_identical(kept, found)
    assert kept.attrs["schema"] == "polysemy"
    assert kept.attrs["seed"] == [0, 3]
    assert '"reworded": "a red vase"' in kept.attrs["parameters"]


def test_a_lost_result_is_not_written_anew_while_another_run_writes(tiny_pipe, tmp_path):
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], store=tmp_path, **CALL).load()
    kept = Path(found.encoding["source"])
    shutil.rmtree(kept)
    with writing(kept.parent), pytest.raises(StoreError, match="another process is writing"):
        keep_result(tiny_pipe, found, "polysemy", {})
    assert not kept.exists()
    keep_result(tiny_pipe, found, "polysemy", {})
    assert kept.exists()


def test_further_ways_are_drawn_beside_the_others(tiny_pipe, tmp_path):
    cases = [CASE, OTHER]
    again = {"again": [Prompt(case.prompt, index) for index, case in enumerate(cases)]}
    given = {"store": tmp_path, **CALL}
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), cases, others=again, **given)
    margin = found["margin"]
    np.testing.assert_allclose(margin.sel(arm="again"), margin.sel(arm="plain"), atol=1e-3)
    with pytest.raises(ParameterError, match="'again' needs an arm of one row for each of 1 cases"):
        disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], others=again, **given)


def test_no_word_is_in_both_splits():
    words = {
        split: {case.word for case in read_polysemy("miniature", split).cases}
        for split in ("dev", "test")
    }
    assert not words["dev"] & words["test"]
    assert len(read_polysemy("miniature", "test").cases) >= 8


@pytest.mark.parametrize("case", read_polysemy("miniature").cases, ids=lambda case: case.prompt)
def test_the_shipped_cases_speak_of_the_miniature_s_world(case):
    def concept(sense):
        if sense == f"{case.word}-colored":
            assert case.word in COLORS
            return "Color"
        assert THING_BY_NAME[sense].word == case.word
        return THING_BY_NAME[sense].category

    assert case.wanted != case.unwanted
    assert concept(case.wanted) in (case.toward, "Food", "Sports", "Tools")
    assert concept(case.unwanted) == case.away
    assert case.word in case.prompt.split()
    assert case.wanted in case.reworded
    assert {case.toward, case.away} <= concept_words().keys()
