from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, TokenError
from hrvlab.experiments.benchmarks import read_editing
from hrvlab.experiments.editing_trial import compare_edits, distance_outside
from hrvlab.experiments.editing_ways import make_ways
from hrvlab.experiments.forms import Replacement
from hrvlab.experiments.pictures import read_images
from hrvlab.miniature import world
from hrvlab.store import read_dataset
from tests.experiments.test_steering import vectors
from tests.experiments.test_weakening import Brightness
from tests.pipelines import save_tiny_clip, tiny_sd

CASE = Replacement(
    source="a red car", target="a blue car", noun="car", thing="car", wanted="blue", concept="Color"
)
OTHER = CASE.model_copy(update={"source": "a car that is red", "target": "a car that is blue"})
CALL = {"num_inference_steps": 2, "progress": False, "seeds": [0, 3], "score": Brightness()}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def found(pipe, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return compare_edits(pipe, vectors(pipe), [OTHER, CASE], store=store, **CALL)


def test_every_way_is_there_and_differs_by_one_thing_from_another(pipe):
    hrv = vectors(pipe)
    ways = make_ways(hrv, CASE, strengths=[1.0, 0.5])
    assert list(ways) == [
        "P2P",
        "P2P, long",
        "P2P, early",
        "P2P-HRV × 0",
        "P2P-HRV × 1",
        "P2P-HRV × 0.5",
        "P2P-HRV × 1, short",
        "P2P-HRV × 1, early",
        "shuffled heads",
        "redrawn",
    ]
    shuffled = ways["shuffled heads"].hrv
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(hrv))
    assert (shuffled != hrv).any()
    plans = [way.plan() for way in ways.values()]
    assert all(plan not in plans[:number] for number, plan in enumerate(plans))


def test_the_pictures_are_those_that_edit_makes(pipe, found):
    call = {"num_inference_steps": 2, "progress": False, "seed": [0, 3]}
    cases = [OTHER, CASE]
    pairs = hl.edit(pipe, [c.source for c in cases], [c.target for c in cases], **call)
    edited = read_images(found, found["image"].sel(arm="P2P"))
    np.testing.assert_allclose(edited.astype(float), pairs[1::2], atol=1)
    sources = read_images(found, found["source_image"])
    np.testing.assert_allclose(sources.astype(float), pairs[::2], atol=1)
    redrawn = read_images(found, found["image"].sel(arm="redrawn"))
    expected = hl.generate(pipe, [c.target for c in cases], **call)
    np.testing.assert_allclose(redrawn.astype(float), expected, atol=1)


def test_reached_and_kept_are_scores_of_the_edited_picture(found):
    image = found["image"].sel(arm="redrawn").isel(prompt=0)
    pictures = read_images(found, image)
    for name, text in (("reached", "blue"), ("kept", "car")):
        expected = Brightness()(pictures, [text] * 2)
        np.testing.assert_allclose(found[name].sel(arm="redrawn").isel(prompt=0), expected)


def test_clip_scores_a_published_replacement(pipe, tmp_path):
    save_tiny_clip(tmp_path / "clip")
    score = hl.clip_score(tmp_path / "clip")
    (case,) = [case for case in read_editing("published").cases if case.target == "a red car"]
    call = {**CALL, "score": score}
    found = compare_edits(pipe, vectors(pipe), [case], store=tmp_path, **call)
    redrawn = read_images(found, found["image"].sel(arm="redrawn").isel(prompt=0))
    for name, text in (("reached", "red"), ("kept", "car")):
        expected = score(redrawn, [text] * 2)
        np.testing.assert_allclose(found[name].sel(arm="redrawn").isel(prompt=0), expected)


def test_moved_is_the_distance_to_the_source_outside_the_thing(pipe, found):
    moved = found["moved"].sel(arm="redrawn").isel(prompt=1)
    before = read_images(found, found["source_image"].isel(prompt=1))
    after = read_images(found, found["image"].sel(arm="redrawn").isel(prompt=1))
    lowest, highest = (
        reduce(np.abs(before.astype(float) - after).mean(-1), (1, 2)) / 255
        for reduce in (np.min, np.max)
    )
    assert (lowest < moved).all()
    assert (moved < highest).all()


def test_only_what_lies_outside_counts():
    before = np.zeros((1, 2, 2, 3), np.uint8)
    after = before.copy()
    after[0, 0, 0] = 255
    outside = np.array([[[0.0, 1.0], [1.0, 1.0]]])
    assert distance_outside(before, after, outside)[0] == 0
    assert distance_outside(before, after, 1 - outside)[0] == 1
    assert distance_outside(before, after, np.ones((1, 2, 2)))[0] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("cases", "error", "message"),
    [
        ([], ParameterError, "list of cases is empty"),
        ([CASE.model_copy(update={"target": "a car"})], TokenError, "3 words and the target 2"),
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


def test_the_result_is_kept_and_knows_where_it_came_from(found):
    kept = read_dataset(Path(found.encoding["source"]))
    xr.testing.assert_identical(kept, found)
    assert kept.attrs["schema"] == "editing"
    assert '"target": "a blue car"' in kept.attrs["parameters"]


def test_the_ways_with_and_without_a_vector_are_compared_at_equal_steps(pipe):
    shares = {
        name: (way.self_share, way.cross_share)
        for name, way in make_ways(vectors(pipe), CASE).items()
        if name != "redrawn"
    }
    assert shares["P2P"] == shares["P2P-HRV × 1, short"]
    assert shares["P2P, long"] == shares["P2P-HRV × 1"] == shares["shuffled heads"]
    assert shares["P2P, early"] == shares["P2P-HRV × 1, early"]
    assert len(set(shares.values())) == 3


def test_no_replaced_pair_is_in_both_splits_and_every_attribute_has_cases_in_both():
    def pair(case):
        return frozenset(case.source.split()) ^ frozenset(case.target.split())

    dev, test = (read_editing("miniature", split).cases for split in ("dev", "test"))
    assert not {pair(case) for case in dev} & {pair(case) for case in test}
    for cases, least in ((dev, 2), (test, 3)):
        attributes = [case.concept for case in cases]
        assert len(set(attributes)) == 5
        assert min(attributes.count(one) for one in attributes) >= least


@pytest.mark.parametrize("case", read_editing("miniature").cases, ids=lambda case: case.target)
def test_the_shipped_cases_speak_of_the_miniature_s_world(case):
    words = world.concept_words()
    assert case.wanted in words[case.concept]
    assert case.thing in world.THING_BY_NAME
    assert case.noun in case.source.split()
    old, new = (set(text.split()) for text in (case.source, case.target))
    (replaced,) = old - new
    assert new - old == {case.wanted}
    assert replaced in words[case.concept]
