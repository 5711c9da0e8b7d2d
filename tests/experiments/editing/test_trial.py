import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, TokenError
from hrvlab.experiments.conditions import Prompt
from hrvlab.experiments.editing.cases import EditingCase, read_editing
from hrvlab.experiments.editing.trial import compare_edits, misses, rate_edits
from hrvlab.storage.datasets import read_dataset
from hrvlab.storage.units import DATA
from tests.experiments.withholding import Withholding
from tests.methods.test_steering import vectors
from tests.pipelines import save_tiny_clip, tiny_sd
from tests.scores import Brightness

CASE = EditingCase(
    source="a red car",
    target="a blue car",
    noun="car",
    object="car",
    wanted="blue",
    concept="Color",
)
OTHER = CASE.model_copy(update={"source": "a car that is red", "target": "a car that is blue"})
CALL = {"num_inference_steps": 2, "progress": False, "seeds": [0, 3], "score": Brightness()}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def run(pipe, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return compare_edits(pipe, vectors(pipe), [OTHER, CASE], store=store, **CALL)


def test_the_images_are_those_that_edit_and_generate_make(pipe, run):
    call = {"num_inference_steps": 2, "progress": False, "seed": [0, 3]}
    cases = [OTHER, CASE]
    pairs = hl.edit(pipe, [c.source for c in cases], [c.target for c in cases], **call)
    edited = run.images(run.data["image"].sel(condition="P2P"))
    np.testing.assert_allclose(edited.astype(float), pairs[1::2], atol=1)
    sources = run.images(run.data["source_image"])
    np.testing.assert_allclose(sources.astype(float), pairs[::2], atol=1)
    regenerated = run.images(run.data["image"].sel(condition="regenerated"))
    expected = hl.generate(pipe, [c.target for c in cases], **call)
    np.testing.assert_allclose(regenerated.astype(float), expected, atol=1)


def test_target_score_and_preservation_are_scores_of_the_edited_image(run):
    one = run.data.sel(condition="regenerated").isel(prompt=0)
    images = run.images(one["image"])
    for name, text in (("target_score", "blue"), ("preservation", "car")):
        np.testing.assert_allclose(one[name], Brightness()(images, [text] * 2))


def test_nothing_is_measured_in_images_that_were_withheld(pipe):
    conditions = [{"plain": Prompt(CASE.target, 0), "checked": Withholding(Prompt(CASE.target, 0))}]
    found = rate_edits(pipe, vectors(pipe), [CASE], conditions, **CALL).data.isel(prompt=0)
    for name in ("target_score", "preservation", "background_change"):
        assert found[name].sel(condition="plain").notnull().all()
        assert np.isnan(found[name].sel(condition="checked")).values.tolist() == [True, False]
    missed = misses(found["target_score"], 1e6)
    np.testing.assert_array_equal(missed, [[1, 1], [np.nan, 1]])
    assert np.isnan(misses(found["target_score"], None)).all()


def test_clip_scores_a_published_case(pipe, tmp_path):
    save_tiny_clip(tmp_path / "clip")
    score = hl.clip_score(tmp_path / "clip")
    (case,) = [case for case in read_editing("published").cases if case.target == "a red car"]
    call = {**CALL, "score": score}
    run = compare_edits(pipe, vectors(pipe), [case], store=tmp_path, **call)
    one = run.data.sel(condition="regenerated").isel(prompt=0)
    images = run.images(one["image"])
    for name, text in (("target_score", "red"), ("preservation", "car")):
        np.testing.assert_allclose(one[name], score(images, [text] * 2))


def test_background_change_is_the_distance_to_the_source_outside_the_object(run):
    one = run.data.sel(condition="regenerated").isel(prompt=1)
    before, after = run.images(one["source_image"]), run.images(one["image"])
    lowest, highest = (
        reduce(np.abs(before.astype(float) - after).mean(-1), (1, 2)) / 255
        for reduce in (np.min, np.max)
    )
    assert (lowest < one["background_change"]).all()
    assert (one["background_change"] < highest).all()


@pytest.mark.parametrize(
    ("cases", "error", "message"),
    [
        ([], ParameterError, "list of cases is empty"),
        ([CASE.model_copy(update={"target": CASE.source})], TokenError, "add or drop a word"),
        ([CASE.model_copy(update={"noun": "zebra"})], TokenError, "'zebra' is not a word"),
        ([CASE.model_copy(update={"concept": "Hue"})], ConceptError, "no concept 'Hue'"),
    ],
)
def test_bad_cases_are_refused_before_generating(pipe, tmp_path, cases, error, message):
    with pytest.raises(error, match=message):
        compare_edits(pipe, vectors(pipe), cases, store=tmp_path, **CALL)
    with pytest.raises(ModelError, match="built from model"):
        compare_edits(pipe, vectors(tiny_sd(seed=1)), [CASE], store=tmp_path, **CALL)
    assert not list(tmp_path.iterdir())


def test_the_result_is_kept_and_knows_where_it_came_from(run):
    kept = read_dataset(run.stored() / DATA)
    xr.testing.assert_identical(kept, run.data)
    assert kept.attrs["schema"] == "editing"
    assert '"target": "a blue car"' in kept.attrs["parameters"]


def test_without_a_store_the_numbers_are_the_same(pipe, run):
    found = compare_edits(pipe, vectors(pipe), [OTHER, CASE], **CALL).data
    for name in ("target_score", "preservation", "background_change"):
        np.testing.assert_array_equal(found[name], run.data[name])
    assert not {"image", "source_image"} & {*found.data_vars}


def test_cases_of_another_concept_are_relabelled_without_generating(pipe, tmp_path):
    given = {"store": tmp_path, **CALL}
    conditions = [{"new": Prompt(CASE.target, 0)}]
    first = rate_edits(pipe, vectors(pipe), [CASE], conditions, **given)
    other = CASE.model_copy(update={"concept": "Plants"})
    with pipe.unet.register_forward_pre_hook(lambda *_: pytest.fail("the denoiser ran")):
        second = rate_edits(pipe, vectors(pipe), [other], conditions, **given)
    assert second.folder == first.folder
    assert second.data["concept"].values.tolist() == ["Plants"]
