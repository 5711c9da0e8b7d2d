import json

import numpy as np
import pytest

from hrvlab.miniature.pairs import choose_threshold, draw_scenes, make_claims, measure_pairs
from hrvlab.paths import data_path

SCENES = draw_scenes(3, 40)


def test_scenes_are_of_one_thing_and_of_two_with_and_without_colors():
    kinds = {(len(scene.figures), scene.figures[0].color is None) for scene in SCENES}
    assert kinds == {(1, True), (1, False), (2, True), (2, False)}
    assert draw_scenes(3, 40) == SCENES
    assert draw_scenes(4, 40) != SCENES


def test_claims_are_true_where_they_say_so_and_nowhere_else():
    claims = make_claims(SCENES, 0)
    for claim in claims:
        *color, thing = claim.text.split()
        shown = SCENES[claim.scene].figures
        true = any(f.thing.name == thing and (not color or f.color == color[0]) for f in shown)
        assert true == (claim.because == "there")
        assert (claim.kind == "colored thing") == bool(color)
    assert {claim.because for claim in claims} == {
        "there",
        "not there, two others",
        "not there, one thing alone",
        "no color",
        "the other's color",
    }


def test_the_threshold_parts_true_claims_from_false_ones_of_every_kind_alike():
    because = np.array(["there"] * 10 + ["rare"] + ["common"] * 100)
    scores = np.r_[np.full(10, 0.3), 0.1, np.full(100, 0.01)]
    assert 0.1 < choose_threshold(scores, because) <= 0.3


@pytest.mark.font
def test_a_measurement_tells_thresholds_and_the_errors_at_them(tmp_path):
    for part in data_path("miniature").iterdir():
        if part.name != "pairs.json":
            (tmp_path / part.name).symlink_to(part)
    measure_pairs(tmp_path, scenes=16)
    report = json.loads((tmp_path / "pairs.json").read_text())
    assert set(report["thresholds"]) == {"thing", "colored thing"}
    assert {row["pictures"] for row in report["rates"]} == {
        "drawn",
        "drawn, blurred",
        "drawn, noised",
    }
    of = {row["question"]: row["of"] for row in report["rates"]}
    assert of["thing: there"] == 16
    assert of["colored thing: the other's color"] == 8
    assert all(row["low"] <= row["correct"] / row["of"] <= row["high"] for row in report["rates"])
