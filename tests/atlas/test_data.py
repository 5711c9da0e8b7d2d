import base64
import json

import numpy as np
import pytest
import xarray as xr

from hrvlab.atlas import Changed, explorer_data, record_panel, turn_heads
from hrvlab.atlas.arrays import as_json, quantize
from hrvlab.atlas.data import head_names
from hrvlab.atlas.panel import kept_steps, pool
from hrvlab.atlas.records import deciles
from hrvlab.capture import capture
from hrvlab.errors import ParameterError
from hrvlab.generation import generate
from hrvlab.relevance.vectors import relevance
from hrvlab.results import read_result
from tests.pipelines import tiny_sd

PROMPTS = ["a red car", "a blue cat, a cat", "dog", "a green tree"]
CALL = {"num_inference_steps": 3, "progress": False}


@pytest.fixture(scope="module")
def pipe():
    return tiny_sd(heads=(2, 4))


@pytest.fixture(scope="module")
def panel(pipe):
    return record_panel(pipe, PROMPTS, batch_size=3, **CALL)


@pytest.fixture(scope="module")
def shipped():
    votes, effects = read_result("votes").data, read_result("head-effects").data
    return votes, effects, explorer_data(votes=votes, effects=effects)


def test_the_panel_holds_what_a_capture_of_each_prompt_holds(pipe, panel):
    for number, _prompt in enumerate(PROMPTS[:2]):
        batch = PROMPTS[: number + 1]
        one = capture(pipe, batch, **CALL)
        np.testing.assert_array_equal(panel.images[number], one["image"].values[number])
        means = one["attention"].isel(prompt=number).mean("timestep")
        heads = one["heads"].values.tolist()
        flat = np.concatenate([means.values[layer, :own] for layer, own in enumerate(heads)])
        np.testing.assert_allclose(panel.attention[number], flat, atol=1e-6)
    assert [list(words) for words in panel.words[:2]] == [
        ["a", "red", "car"],
        ["a", "blue", "cat,", "a (2)", "cat"],
    ]


def test_maps_of_featured_prompts_are_those_of_a_capture(pipe, panel):
    tree = capture(pipe, PROMPTS[0], maps=["a", "red", "car"], **CALL)
    own = panel.featured[0]
    assert own.words == ["a", "red", "car"]
    assert own.calls == tree.sizes["timestep"] and own.steps == list(range(own.calls))
    for name in tree.children:
        node = tree[name].to_dataset()["maps"].isel(prompt=0)
        for layer in node["map_layer"].values:
            maps = node.sel(map_layer=layer).transpose("timestep", "head", "map_word", ...).values
            kept = own.maps[int(layer)]
            np.testing.assert_allclose(kept, maps[:, : kept.shape[1]], atol=1e-5)


def test_a_capture_with_maps_features_its_prompts_as_a_recorded_panel_does(pipe, panel):
    tree = capture(pipe, PROMPTS[0], maps=["a", "red", "car"], **CALL)
    hrv = xr.DataArray(
        np.ones((1, panel.attention.shape[1])),
        dims=("concept", "head_position"),
        coords={"concept": ["Color"], **_table(pipe)},
    )
    data = explorer_data(hrv, capture=tree)
    recorded = explorer_data(hrv, capture=panel)
    name = next(name for name in data.makers if name.startswith("heads/"))
    one, other = data.record(name), recorded.record(name)
    assert one["word_maps"].shape[0] == 1 and other["word_maps"].shape[0] == 2
    scaled = [
        record["word_maps"][0, :, :3] * record["word_scale"][0] / 255 for record in (one, other)
    ]
    np.testing.assert_allclose(*scaled, atol=1 / 255)
    assert "maps" not in one and other["maps"].shape[0] == len(PROMPTS)


def _table(pipe):
    from hrvlab.models.heads import head_table

    return head_table(pipe.unet).coords


def test_pooling_keeps_the_mean_and_never_enlarges():
    maps = np.arange(2 * 12 * 20, dtype=np.float32).reshape(2, 12, 20)
    assert pool(maps, 4).shape == (2, 4, 4)
    np.testing.assert_allclose(pool(maps, 4).mean((1, 2)), maps.mean((1, 2)), rtol=1e-6)
    np.testing.assert_array_equal(pool(maps, 32), maps)


def test_kept_steps_are_spread_over_all_and_hold_the_last():
    assert kept_steps(50) == [0, 7, 14, 21, 28, 35, 42, 49]
    assert kept_steps(3) == [0, 1, 2] and kept_steps(1) == [0]


def test_deciles_run_from_the_largest_share_to_the_smallest_and_draw_from_their_own_tenth():
    shares = np.random.default_rng(0).random((120, 2))
    share, drawn = deciles(shares, seed=3)
    assert (np.diff(share, axis=1) < 0).all() and drawn.shape == (2, 10, 3)
    for concept in range(2):
        order = list(np.argsort(-shares[:, concept]))
        for tenth in range(10):
            assert {order.index(own) // 12 for own in drawn[concept, tenth]} == {tenth}
    np.testing.assert_array_equal(drawn, deciles(shares, seed=3)[1])
    few, none = deciles(shares[:4], seed=0)
    assert np.isnan(few[:, 4:]).all() and (none[:, 4:] == 65535).all()


def test_relevance_and_effect_are_those_of_the_results_with_their_intervals(shipped):
    votes, effects, data = shipped
    arrays, concepts = data.first["arrays"], data.first["concepts"]
    vectors = relevance(votes)
    np.testing.assert_array_equal(arrays["relevance"], vectors.values.astype(np.float32))
    inside = (arrays["relevance_low"] <= arrays["relevance"]) & (
        arrays["relevance"] <= arrays["relevance_high"]
    )
    assert inside.mean() > 0.99
    color = effects["effect"].sel(concept="Color").isel(evaluator=0).mean(("prompt", "seed"))
    np.testing.assert_allclose(arrays["effect"][concepts.index("Color")], color.values, atol=1e-6)
    assert data.first["notes"]["effect"] == {
        "factor": -2.0, "prompts": 8, "seeds": 2, "evaluator": "judge"
    }  # fmt: skip
    unmeasured = concepts.index(next(c for c in concepts if c not in effects["concept"].values))
    assert np.isnan(arrays["effect"][unmeasured]).all()


def test_a_head_has_its_own_steps_and_deciles(shipped):
    votes, _, data = shipped
    record = data.record("heads/up_7_7")
    position = head_names(relevance(votes)).index("up.7.7")
    color = data.first["concepts"].index("Color")
    counted = votes["votes_by_timestep"].values[:, :, color].astype(float)
    by_hand = counted[:, position] / counted.sum(1) * counted.shape[1]
    np.testing.assert_allclose(record["steps"][color], by_hand, rtol=1e-5)
    assert record["decile_share"].shape == (17, 10)
    assert int(record["decile_prompt"].max()) < len(data.first["prompts"]) == 120
    assert data.first["decile_prompts"] == 120
    assert [layer for layer in data.first["layers"]["heads"]] == [8] * 16


def test_a_record_is_json_that_cannot_leave_its_script():
    record = {"text": "</script><b>\u2028", "a": np.array([[1.5, np.nan]], "<f4")}
    text = as_json(record)
    assert "<" not in text and "\u2028" not in text
    back = json.loads(text)
    assert back["text"] == record["text"]
    assert back["a"]["dtype"] == "<f4" and back["a"]["shape"] == [1, 2]
    values = np.frombuffer(base64.b64decode(back["a"]["data"]), "<f4")
    np.testing.assert_array_equal(values, record["a"][0])


def test_quantized_maps_are_right_to_half_a_level():
    maps = np.random.default_rng(0).random((3, 2, 4, 4)).astype(np.float32)
    codes, scale = quantize(maps, 3)
    assert scale.shape == (3,)
    error = abs(codes * scale[:, None, None, None] / 255 - maps)
    assert (error <= scale[:, None, None, None] / 510 + 1e-6).all()
    assert not quantize(np.zeros((1, 2, 2), np.float32), 2)[0].any()


def test_changed_images_are_those_of_the_edit_alone(pipe):
    changed = turn_heads(pipe, PROMPTS[0], heads=[3], factors=[0.0, 1.0], **CALL)
    plain = generate(pipe, PROMPTS[0], **CALL)[0].astype(int)
    assert abs(changed.images[0, 1].astype(int) - plain).max() <= 1
    assert isinstance(changed, Changed)
    with pytest.raises(ParameterError, match="no head 99"):
        turn_heads(pipe, PROMPTS[0], heads=[99], **CALL)


def test_the_first_record_and_a_head_stay_within_their_budget(shipped):
    *_, data = shipped
    assert len(as_json(data.first)) < 200_000
    assert len(as_json(data.record("heads/up_7_7"))) < 30_000


def test_datasets_of_other_heads_or_without_concepts_are_refused(shipped):
    votes, effects, _ = shipped
    hrv = relevance(votes)
    with pytest.raises(ParameterError, match="128 heads"):
        explorer_data(hrv, effects=effects.isel(head_position=slice(4)))
    with pytest.raises(ParameterError, match="expand_dims"):
        explorer_data(hrv, effects=effects.isel(concept=0))
    with pytest.raises(ParameterError, match="needs relevance vectors, votes or a capture"):
        explorer_data()
    with pytest.raises(ParameterError, match="measure 'depth'"):
        explorer_data(hrv, measures={"depth": xr.DataArray([1.0], dims="head_position")})


def test_measures_become_columns_of_their_own(shipped):
    hrv = relevance(shipped[0])
    data = explorer_data(hrv, measures={"depth": hrv["layer"], "signed": hrv - 1})
    labels = {column["label"]: column for column in data.first["columns"]}
    assert labels["depth"]["scale"] == "plain" and not labels["depth"]["by_concept"]
    assert labels["signed"]["scale"] == "signed" and labels["signed"]["by_concept"]
    np.testing.assert_array_equal(data.first["arrays"]["measure_0"], hrv["layer"].values)


def test_a_capture_alone_becomes_an_atlas_of_attention(pipe):
    tree = capture(pipe, PROMPTS[0], maps=["red", "car"], **CALL)
    data = explorer_data(capture=tree)
    assert data.first["concepts"] == [] and data.heads[:2] == ["down.0.0", "down.0.1"]
    assert [column["name"] for column in data.first["columns"]] == ["attention", "entropy"]
    assert data.first["layers"]["heads"] == tree["heads"].values.tolist()
    assert "word_maps" in data.record("heads/down_0_1")
