import shutil

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, StoreError
from hrvlab.experiments.conditions import Prompt
from hrvlab.experiments.disambiguation.cases import AmbiguousWord, read_disambiguation
from hrvlab.experiments.disambiguation.trial import choose_setting, disambiguate
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.locks import writing
from hrvlab.storage.units import DATA
from tests.experiments.withholding import Withholding
from tests.methods.test_steering import vectors
from tests.pipelines import save_tiny_clip, tiny_sd
from tests.scores import Brightness, HighThreshold, NoThreshold

CASE = AmbiguousWord(
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


def test_every_condition_is_what_generate_makes(tiny_pipe, tmp_path):
    hrv = vectors(tiny_pipe)
    run = disambiguate(tiny_pipe, hrv, [CASE, OTHER], store=tmp_path, **CALL)
    call = {"num_inference_steps": 2, "progress": False, "seed": [0, 3]}
    adjusting = hl.adjust(hrv, toward="Color", away="Plants", word="rose")
    for number, case in enumerate((CASE, OTHER)):
        for condition, text, edit in (
            ("adjusting", case.prompt, adjusting),
            ("reworded", case.reworded, ()),
        ):
            expected = hl.generate(tiny_pipe, [text] * 2, edit=edit, **call)
            expected = expected[2 * number :][:2]
            names = run.data["image"].sel(condition=condition).isel(prompt=number)
            np.testing.assert_allclose(run.images(names).astype(float), expected, atol=1)


def test_an_image_shows_the_sense_that_scores_higher(tiny_pipe, tmp_path):
    run = disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE, OTHER], store=tmp_path, **CALL)
    found = run.data
    # Brightness adds a text's length, so that longer senses always win.
    assert found["misread"].sel(condition="plain").values.tolist() == [[True] * 2, [False] * 2]
    np.testing.assert_allclose(
        found["margin"].isel(prompt=0), len(CASE.wanted) - len(CASE.unwanted), atol=1e-4
    )
    plain = run.images(found["image"].sel(condition="plain").isel(prompt=1))
    expected = hl.generate(
        tiny_pipe, [OTHER.prompt] * 2, seed=[0, 3], num_inference_steps=2, progress=False
    )[2:]
    np.testing.assert_allclose(plain.astype(float), expected, atol=1)


def test_a_wanted_sense_below_the_threshold_is_not_shown(tiny_pipe):
    score = Brightness()
    score.threshold = 1e6
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), [OTHER], **{**CALL, "score": score}).data
    assert (found["margin"] > 0).all()
    assert found["misread"].all()


def test_it_is_not_known_whether_a_withheld_image_was_misread(tiny_pipe):
    others = {"checked": [Withholding(Prompt(OTHER.prompt, 0))]}
    score = {"bright": Brightness(), "cannot tell": NoThreshold()}
    call = {**CALL, "score": score, "others": others}
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), [OTHER], **call).data
    for evaluator in score:
        one = found.sel(evaluator=evaluator)
        checked = one.sel(condition="checked").isel(prompt=0)
        np.testing.assert_array_equal(checked["misread"], [np.nan, 0])
        assert np.isnan(checked["margin"]).values.tolist() == [True, False]
        assert not one["misread"].drop_sel(condition="checked").any()


def test_clip_tells_the_senses_of_a_published_case_apart(tiny_pipe, tmp_path):
    save_tiny_clip(tmp_path / "clip")
    score = hl.clip_score(tmp_path / "clip")
    published = read_disambiguation("published").cases
    (case,) = [case for case in published if case.word == "rose-colored"]
    call = {**CALL, "score": score}
    run = disambiguate(tiny_pipe, vectors(tiny_pipe), [case], store=tmp_path, **call)
    found = run.data
    plain = run.images(found["image"].sel(condition="plain").isel(prompt=0))
    margin = score(plain, [case.wanted] * 2) - score(plain, [case.unwanted] * 2)
    np.testing.assert_allclose(
        found["margin"].sel(condition="plain").isel(prompt=0), margin, atol=1e-6
    )
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
    run = disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], store=tmp_path, **CALL)
    kept = read_dataset(run.stored() / DATA)
    xr.testing.assert_identical(kept, run.data)
    assert kept.attrs["schema"] == "disambiguation"
    assert kept.attrs["seed"] == [0, 3]
    assert '"reworded": "a red vase"' in kept.attrs["parameters"]


def test_without_a_store_the_numbers_are_the_same(tiny_pipe, tmp_path):
    hrv = vectors(tiny_pipe)
    kept = disambiguate(tiny_pipe, hrv, [CASE], store=tmp_path, **CALL).data
    found = disambiguate(tiny_pipe, hrv, [CASE], **CALL).data
    np.testing.assert_array_equal(found["margin"], kept["margin"])
    assert "image" not in found


def test_a_lost_result_is_not_made_anew_while_another_run_writes(tiny_pipe, tmp_path):
    given = {"store": tmp_path, **CALL}
    run = disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], **given)
    run.data.load()
    kept = run.stored() / DATA
    shutil.rmtree(kept)
    with writing(run.stored()), pytest.raises(StoreError, match="another process is writing"):
        disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], **given)
    assert not kept.exists()
    again = disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], **given)
    assert kept.exists()
    xr.testing.assert_equal(again.data, run.data)


def test_further_conditions_are_generated_beside_the_others(tiny_pipe, tmp_path):
    cases = [CASE, OTHER]
    again = {"again": [Prompt(case.prompt, index) for index, case in enumerate(cases)]}
    given = {"store": tmp_path, **CALL}
    found = disambiguate(tiny_pipe, vectors(tiny_pipe), cases, others=again, **given).data
    margin = found["margin"]
    np.testing.assert_allclose(
        margin.sel(condition="again"), margin.sel(condition="plain"), atol=1e-3
    )
    with pytest.raises(ParameterError, match="'again' needs a condition of one row for each of 1"):
        disambiguate(tiny_pipe, vectors(tiny_pipe), [CASE], others=again, **given)


def test_conditions_of_another_name_are_relabelled_without_generating(tiny_pipe, tmp_path):
    hrv, given = vectors(tiny_pipe), {"store": tmp_path, **CALL}
    plain = [Prompt(CASE.prompt, 0)]
    first = disambiguate(tiny_pipe, hrv, [CASE], others={"again": plain}, **given)
    margin = first.data["margin"].values
    with tiny_pipe.unet.register_forward_pre_hook(lambda *_: pytest.fail("the denoiser ran")):
        second = disambiguate(tiny_pipe, hrv, [CASE], others={"once more": plain}, **given)
    assert second.folder == first.folder
    assert second.data["condition"].values[-1] == "once more"
    np.testing.assert_array_equal(second.data["margin"], margin)


def test_the_setting_that_is_misread_least_is_chosen_and_the_first_of_equals():
    misread = np.ones((2, 4, 3, 2), bool)
    misread[:, 2:, 0] = False
    found = xr.Dataset(
        {"misread": (("evaluator", "condition", "prompt", "seed"), misread)},
        {"condition": ["plain", "a", "b", "c"]},
    )
    assert choose_setting(found, ["a", "b", "c"]) == "b"
    assert choose_setting(found, ["a", "plain"]) == "a"


def refuse(*_, **__):
    raise AssertionError("nothing must be generated again")


def test_another_threshold_changes_the_result_and_generates_nothing(
    tiny_pipe, tmp_path, monkeypatch
):
    hrv = vectors(tiny_pipe)
    lenient = disambiguate(tiny_pipe, hrv, [OTHER], store=tmp_path, **CALL)
    monkeypatch.setattr(Prompt, "generate", refuse)
    strict = {**CALL, "score": HighThreshold()}
    again = disambiguate(tiny_pipe, hrv, [OTHER], store=tmp_path, **strict)
    assert again.folder == lenient.folder
    assert not lenient.data["misread"].all()
    assert again.data["misread"].all()
