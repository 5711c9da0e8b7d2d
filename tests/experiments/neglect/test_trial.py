import time

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, TokenError
from hrvlab.experiments.neglect.cases import ObjectPair
from hrvlab.experiments.neglect.conditions import ExcitedPair, make_candidates
from hrvlab.experiments.neglect.outcomes import best_condition, count_outcomes
from hrvlab.experiments.neglect.trial import compare_excitations, rate_pairs, try_conditions
from hrvlab.methods.excitation import Excitation
from hrvlab.noise import initial_noise
from tests.experiments.withholding import Withholding
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd
from tests.scores import Brightness, HighThreshold, NoThreshold

PAIR = ObjectPair("a red car and a blue tree", ("car", "tree"), ("Color", "Plants"))
OTHER = ObjectPair("a tree and a car", ("tree", "car"), ("Plants", "Color"))
SETTINGS = {
    "with_vectors": Excitation(side=1 / 2, step_size=300.0, thresholds={}),
    "without": Excitation(side=1, layers="side", step_size=300.0, thresholds={}),
}
CALL = {"num_inference_steps": 4, "progress": False, "seeds": [0, 3], "score": Brightness()}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def run(pipe, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return compare_excitations(pipe, vectors(pipe), [OTHER, PAIR], store=store, **SETTINGS, **CALL)


def test_the_images_are_those_that_generate_and_excite_make_of_the_same_noise(pipe, run):
    noise = initial_noise(pipe, [0, 3], 1)
    call = {"num_inference_steps": 4, "progress": False, "seed": [0, 3], "latents": noise}
    names = run.data["image"].isel(prompt=1)
    plain = hl.generate(pipe, PAIR.prompt, batch_size=8, **call)
    np.testing.assert_array_equal(run.images(names.sel(condition="plain")), plain)
    excited = hl.excite(
        pipe,
        PAIR.prompt,
        PAIR.objects,
        hrv=vectors(pipe),
        concept=PAIR.concepts,
        preset=SETTINGS["with_vectors"],
        batch_size=8,
        **call,
    )
    np.testing.assert_array_equal(run.images(names.sel(condition="A&E-HRV")), excited.images)
    assert (plain != excited.images).any()


def test_passes_with_gradients_are_counted_for_every_image(run):
    passes = run.data["passes"]
    # Latents are updated before the first two calls of four steps.
    assert (passes.sel(condition="plain") == 0).all()
    assert (passes.drop_sel(condition="plain") == 2).all()
    assert passes.dims == ("condition", "prompt", "seed")


def test_each_object_is_scored_for_itself(run):
    found = run.data
    one = found.sel(condition="A&E").isel(prompt=1)
    images = run.images(one["image"])
    for number, text in enumerate(PAIR.phrases):
        expected = Brightness()(images, [text] * 2)
        np.testing.assert_allclose(one["score"].isel(object=number), expected)
    expected = Brightness()(images, [PAIR.prompt] * 2)
    np.testing.assert_allclose(one["prompt_score"], expected)
    assert (found["shown"] == (found["score"] >= Brightness().threshold)).all()
    assert found["present"].dims == found["shown"].dims


def test_a_second_run_generates_nothing_anew(pipe, tmp_path):
    call = {"store": tmp_path, **SETTINGS, **CALL}
    first = compare_excitations(pipe, vectors(pipe), [PAIR], **call)
    time.sleep(1.1)  # a result's attributes name the second in which it was made
    with pipe.unet.register_forward_pre_hook(lambda *_: pytest.fail("the denoiser ran")):
        again = compare_excitations(pipe, vectors(pipe), [PAIR], **call)
    assert again.data.identical(first.data)


def test_the_candidate_whose_worse_object_scores_highest_is_chosen(pipe, tmp_path):
    candidates = make_candidates([1 / 2, 1], [1.0, 3000.0], thresholds={})
    assert candidates["side 0.5, step 3000"] == Excitation(0.5, step_size=3000.0, thresholds={})
    conditions = try_conditions([PAIR], candidates, None)
    run = rate_pairs(pipe, vectors(pipe), [PAIR], conditions, store=tmp_path, **CALL)
    chosen = best_condition(run.data)
    means = {}
    for name, one in candidates.items():
        noise = initial_noise(pipe, CALL["seeds"], 0)
        images = hl.excite(
            pipe,
            PAIR.prompt,
            PAIR.objects,
            preset=one,
            latents=noise,
            seed=CALL["seeds"],
            batch_size=8,
            num_inference_steps=4,
        ).images
        scores = [Brightness()(images, [phrase] * 2) for phrase in PAIR.phrases]
        means[name] = np.minimum(*scores).mean()
    assert chosen == max(means, key=means.get)
    assert len(set(means.values())) > 1


def test_outcomes_tell_what_is_wrong():
    dims = ("condition", "prompt", "seed", "object")
    present = np.array([[1, 1], [1, 1], [1, 0], [0, 1], [0, 0]], bool)
    shown = np.array([[1, 1], [1, 0], [1, 0], [0, 0], [0, 0]], bool)
    found = xr.Dataset(
        {"present": (dims, present[None, None]), "shown": (dims, shown[None, None])},
        {"condition": ["plain"]},
    )
    shares = count_outcomes(found)
    assert shares.dims == ("condition", "outcome")
    np.testing.assert_allclose(shares, 0.2)
    assert shares["outcome"].values[1] == "both, a color wrong"


def test_images_about_which_nothing_is_known_are_not_counted():
    dims = ("condition", "prompt", "seed", "object")
    shown = np.array([[1, 1], [1, 0], [np.nan, np.nan], [1, np.nan]])
    found = xr.Dataset(
        {name: (dims, shown[None, None]) for name in ("present", "shown")}, {"condition": ["plain"]}
    )
    shares = count_outcomes(found).sel(condition="plain").to_series()
    assert shares["all right"] == shares["the first alone"] == 0.5
    assert shares.sum() == 1


def test_what_an_image_shows_is_not_known_if_it_was_withheld_or_there_is_no_threshold(pipe):
    conditions = [{"plain": ExcitedPair(PAIR, 0), "checked": Withholding(ExcitedPair(PAIR, 0))}]
    score = {"bright": Brightness(), "cannot tell": NoThreshold()}
    found = rate_pairs(pipe, vectors(pipe), [PAIR], conditions, **{**CALL, "score": score}).data
    for name in ("shown", "present"):
        one = found[name].sel(evaluator="bright").isel(prompt=0)
        assert (one.sel(condition="plain") == 1).all()
        np.testing.assert_array_equal(one.sel(condition="checked"), [[np.nan] * 2, [1] * 2])
        assert np.isnan(found[name].sel(evaluator="cannot tell")).all()
    assert np.isnan(found["score"].sel(condition="checked", seed=0)).all()
    assert found["score"].sel(condition="checked", seed=3).notnull().all()


def test_several_evaluators_score_the_same_images(pipe, run, tmp_path):
    class Strict(Brightness):
        name = "strict"
        threshold = 1000.0

    call = {**SETTINGS, **CALL, "score": {"kind": Brightness(), "strict": Strict()}}
    both = compare_excitations(pipe, vectors(pipe), [OTHER, PAIR], store=tmp_path, **call).data
    np.testing.assert_array_equal(both["score"].sel(evaluator="kind"), run.data["score"])
    np.testing.assert_array_equal(both["score"].sel(evaluator="strict"), run.data["score"])
    assert both["shown"].sel(evaluator="kind").all()
    assert not both["shown"].sel(evaluator="strict").any()
    assert both["passes"].dims == ("condition", "prompt", "seed")
    assert count_outcomes(both).dims == ("evaluator", "condition", "outcome")


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], ParameterError, "list of pairs is empty"),
        ([ObjectPair("a car and a tree", ("car", "zebra"), PAIR.concepts)], TokenError, "'zebra'"),
        (
            [ObjectPair(PAIR.prompt, PAIR.objects, ("Color", "Hue"))],
            ConceptError,
            "no concept 'Hue'",
        ),
    ],
)
def test_bad_pairs_are_refused_before_generating(pipe, tmp_path, pairs, error, message):
    with pytest.raises(error, match=message):
        compare_excitations(pipe, vectors(pipe), pairs, store=tmp_path, **SETTINGS, **CALL)
    with pytest.raises(ModelError, match="built from model"):
        other = vectors(tiny_sd(seed=1))
        compare_excitations(pipe, other, [PAIR], store=tmp_path, **SETTINGS, **CALL)
    assert not list(tmp_path.iterdir())


def refuse(*_, **__):
    raise AssertionError("nothing must be generated again")


def test_another_threshold_changes_the_result_and_generates_nothing(pipe, run, monkeypatch):
    monkeypatch.setattr(ExcitedPair, "generate", refuse)
    strict = {**CALL, "score": HighThreshold()}
    store = run.stored().parent
    again = compare_excitations(
        pipe, vectors(pipe), [OTHER, PAIR], store=store, **SETTINGS, **strict
    )
    assert again.folder == run.folder
    assert run.data["present"].any()
    assert not again.data["present"].any()
