import time

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import ConceptError, ModelError, ParameterError, TokenError
from hrvlab.experiments.excitation import Excitation
from hrvlab.experiments.neglect_trial import (
    compare_excitations,
    count_outcomes,
    likeliest,
    try_excitations,
)
from hrvlab.experiments.neglect_ways import make_candidates, make_ways
from hrvlab.experiments.pairs import Pair
from hrvlab.experiments.pictures import read_images
from hrvlab.generation import initial_noise
from tests.experiments.test_steering import vectors
from tests.experiments.test_weakening import Brightness
from tests.pipelines import tiny_sd

PAIR = Pair("a red car and a blue tree", ("car", "tree"), ("Color", "Plants"))
OTHER = Pair("a tree and a car", ("tree", "car"), ("Plants", "Color"))
SETTINGS = {
    "with_vectors": Excitation(side=1 / 2, step_size=300.0, thresholds={}),
    "without": Excitation(side=1, layers="side", step_size=300.0, thresholds={}),
}
CALL = {"num_inference_steps": 4, "progress": False, "seeds": [0, 3], "score": Brightness()}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd()


@pytest.fixture(scope="module")
def found(pipe, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return compare_excitations(pipe, vectors(pipe), [OTHER, PAIR], store=store, **SETTINGS, **CALL)


def test_every_way_is_there_and_differs_from_another_by_one_thing(pipe):
    hrv = vectors(pipe)
    ways = make_ways(hrv, PAIR, 0, **SETTINGS)
    assert list(ways) == ["plain", "A&E", "r ≡ 1", "A&E-HRV", "shuffled heads"]
    shuffled = ways["shuffled heads"].hrv
    np.testing.assert_array_equal(np.sort(shuffled), np.sort(hrv))
    assert (shuffled != hrv).any()
    plans = [way.plan() for way in ways.values()]
    assert all(plan not in plans[:number] for number, plan in enumerate(plans))


def test_the_pictures_are_those_that_generate_and_excite_make_of_the_same_noise(pipe, found):
    noise = initial_noise(pipe, [0, 3], 1)
    call = {"num_inference_steps": 4, "progress": False, "seed": [0, 3], "latents": noise}
    plain = hl.generate(pipe, PAIR.prompt, batch_size=8, **call)
    np.testing.assert_array_equal(
        read_images(found, found["image"].sel(arm="plain").isel(prompt=1)), plain
    )
    excited = hl.excite(
        pipe,
        PAIR.prompt,
        PAIR.things,
        hrv=vectors(pipe),
        concept=PAIR.concepts,
        preset=SETTINGS["with_vectors"],
        batch_size=8,
        **call,
    )
    np.testing.assert_array_equal(
        read_images(found, found["image"].sel(arm="A&E-HRV").isel(prompt=1)), excited.images
    )
    assert (plain != excited.images).any()


def test_passes_with_gradients_are_kept_for_every_picture(found):
    # Latents move before the first two calls of four steps.
    assert (found["passes"].sel(arm="plain") == 0).all()
    assert (found["passes"].drop_sel(arm="plain") == 2).all()
    assert found["passes"].dims == ("arm", "prompt", "seed")


def test_each_half_is_scored_for_itself(found):
    pictures = read_images(found, found["image"].sel(arm="A&E").isel(prompt=1))
    for half, text in enumerate(PAIR.halves):
        expected = Brightness()(pictures, [text] * 2)
        scores = found["score"].sel(arm="A&E").isel(prompt=1, half=half)
        np.testing.assert_allclose(scores, expected)
    whole = Brightness()(pictures, [PAIR.prompt] * 2)
    np.testing.assert_allclose(found["whole"].sel(arm="A&E").isel(prompt=1), whole)
    assert (found["shown"] == (found["score"] >= Brightness().least)).all()
    assert found["present"].dims == found["shown"].dims


def test_a_second_run_draws_nothing_anew(pipe, tmp_path, found):
    call = {"store": tmp_path, **SETTINGS, **CALL}
    first = compare_excitations(pipe, vectors(pipe), [PAIR], **call)
    time.sleep(1.1)  # results tell the second in which they were written
    with pipe.unet.register_forward_pre_hook(lambda *_: pytest.fail("the UNet ran")):
        again = compare_excitations(pipe, vectors(pipe), [PAIR], **call)
    assert again.identical(first)


def test_the_candidate_whose_worse_half_scores_highest_is_chosen(pipe, tmp_path):
    candidates = make_candidates([1 / 2, 1], [1.0, 3000.0], thresholds={})
    assert candidates["side 0.5, step 3000"] == Excitation(0.5, step_size=3000.0, thresholds={})
    call = {"store": tmp_path, "vectors": False, **CALL}
    chosen = likeliest(try_excitations(pipe, vectors(pipe), [PAIR], candidates, **call))
    means = {}
    for name, one in candidates.items():
        noise = initial_noise(pipe, CALL["seeds"], 0)
        drawn = hl.excite(
            pipe,
            PAIR.prompt,
            PAIR.things,
            preset=one,
            latents=noise,
            seed=CALL["seeds"],
            batch_size=8,
            num_inference_steps=4,
        ).images
        halves = [Brightness()(drawn, [half] * 2) for half in PAIR.halves]
        means[name] = np.minimum(*halves).mean()
    assert chosen == max(means, key=means.get)
    assert len(set(means.values())) > 1


def test_outcomes_tell_what_is_wrong():
    dims = ("arm", "prompt", "seed", "half")
    present = np.array([[1, 1], [1, 1], [1, 0], [0, 1], [0, 0]], bool)
    shown = np.array([[1, 1], [1, 0], [1, 0], [0, 0], [0, 0]], bool)
    found = xr.Dataset(
        {"present": (dims, present[None, None]), "shown": (dims, shown[None, None])},
        {"arm": ["plain"]},
    )
    shares = count_outcomes(found)
    assert shares.dims == ("arm", "outcome")
    np.testing.assert_allclose(shares, 0.2)
    assert shares["outcome"].values[1] == "both, a color wrong"


def test_several_witnesses_rate_the_same_pictures(pipe, found, tmp_path):
    class Strict(Brightness):
        name = "strict"
        least = 1000.0

    call = {**SETTINGS, **CALL, "score": {"kind": Brightness(), "strict": Strict()}}
    both = compare_excitations(pipe, vectors(pipe), [OTHER, PAIR], store=tmp_path, **call)
    np.testing.assert_array_equal(both["score"].sel(witness="kind"), found["score"])
    np.testing.assert_array_equal(both["score"].sel(witness="strict"), found["score"])
    assert both["shown"].sel(witness="kind").all()
    assert not both["shown"].sel(witness="strict").any()
    assert both["passes"].dims == ("arm", "prompt", "seed")
    assert count_outcomes(both).dims == ("witness", "arm", "outcome")


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], ParameterError, "list of pairs is empty"),
        ([Pair("a car and a tree", ("car", "zebra"), PAIR.concepts)], TokenError, "'zebra'"),
        ([Pair(PAIR.prompt, PAIR.things, ("Color", "Hue"))], ConceptError, "no concept 'Hue'"),
    ],
)
def test_bad_pairs_are_refused_before_generating(pipe, tmp_path, pairs, error, message):
    with pytest.raises(error, match=message):
        compare_excitations(pipe, vectors(pipe), pairs, store=tmp_path, **SETTINGS, **CALL)
    with pytest.raises(ModelError, match="built from model"):
        other = vectors(tiny_sd(seed=1))
        compare_excitations(pipe, other, [PAIR], store=tmp_path, **SETTINGS, **CALL)
    assert not list(tmp_path.iterdir())
