import json

import numpy as np
import pytest

from hrvlab.miniature.pairs import choose_threshold, make_claims, measure_pairs, sample_scenes
from hrvlab.paths import data_path

SCENES = sample_scenes(3, 40)


def test_scenes_have_one_object_or_two_with_and_without_colors():
    kinds = {(len(scene.figures), scene.figures[0].color is None) for scene in SCENES}
    assert kinds == {(1, True), (1, False), (2, True), (2, False)}
    assert sample_scenes(3, 40) == SCENES
    assert sample_scenes(4, 40) != SCENES


def test_a_claim_is_true_if_and_only_if_its_reason_is_there():
    claims = make_claims(SCENES, 0)
    for claim in claims:
        *color, name = claim.text.split()
        shown = SCENES[claim.scene].figures
        true = any(f.object.name == name and (not color or f.color == color[0]) for f in shown)
        assert true == (claim.reason == "there")
        assert (claim.kind == "colored object") == bool(color)
    assert {claim.reason for claim in claims} == {
        "there",
        "not there, two others",
        "not there, one object alone",
        "no color",
        "the other's color",
    }


def test_the_threshold_balances_false_claims_by_their_reason():
    reasons = np.array(["there"] * 10 + ["rare"] + ["common"] * 100)
    scores = np.r_[np.full(10, 0.3), 0.1, np.full(100, 0.01)]
    assert 0.1 < choose_threshold(scores, reasons) <= 0.3


@pytest.mark.font
def test_a_measurement_stores_thresholds_and_their_error_rates(tmp_path):
    for part in data_path("miniature").iterdir():
        if part.name != "pairs.json":
            (tmp_path / part.name).symlink_to(part)
    measure_pairs(tmp_path, scenes=16)
    report = json.loads((tmp_path / "pairs.json").read_text())
    assert set(report["thresholds"]) == {"object", "colored object"}
    assert {row["images"] for row in report["rates"]} == {
        "rendered",
        "rendered, blurred",
        "rendered, noised",
    }
    of = {row["question"]: row["of"] for row in report["rates"]}
    assert of["object: there"] == 16
    assert of["colored object: the other's color"] == 8
    assert all(row["low"] <= row["correct"] / row["of"] <= row["high"] for row in report["rates"])
