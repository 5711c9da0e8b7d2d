"""What a training of the miniature is forecast to take."""

from dataclasses import replace
from time import perf_counter

import pytest

from hrvlab.miniature import dry_run
from hrvlab.miniature.dry_run import StageForecast, rehearse_stages
from hrvlab.miniature.recipe import SMOKE, run_stages
from hrvlab.miniature.training import Budget
from tests.test_cli import run

FOUND = StageForecast(0.0, 10**9, 10**6)
CLOSE = 1.5


def forecast(recipe, per_step=2.0, spent=(9.0, 7.0), arrays=0.0, done=(0, 0.0)):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dry_run, "_trained", lambda *_: done)
        patch.setattr(dry_run.os, "cpu_count", lambda: 2)
        return dry_run._of_training("clip", None, recipe, FOUND, per_step, spent, arrays)


def test_time_is_of_the_steps_that_remain_and_of_what_is_done_once():
    recipe = replace(SMOKE, clip=Budget(100))
    # The second rehearsal took three steps: one second is spent once.
    assert forecast(recipe).seconds == 100 * 2 + 1
    assert forecast(recipe, done=(75, 150.0)).seconds == 25 * 2 + 1
    assert forecast(recipe, done=(75, 150.0)).steps == 25
    assert forecast(recipe, done=(100, 200.0)).seconds == 1


def test_a_budget_of_time_is_that_time_unless_the_steps_end_before():
    assert forecast(replace(SMOKE, clip=Budget(seconds=3600))).seconds == 3601
    both = Budget(100, 3600)
    assert forecast(replace(SMOKE, clip=both)).seconds == 201


def test_images_that_are_not_there_are_prepared_by_all_cores():
    many = replace(SMOKE, clip=Budget(100), images=250 * 100)
    # The first rehearsal prepared for 9 - 1 - 2 seconds.
    assert forecast(many, arrays=100.0).seconds == 201 + 6 * 100 / 2
    few = replace(many, images=250)
    assert forecast(few, arrays=1.0).seconds == 201 + 6


def test_a_forecast_is_one_line():
    text = str(replace(FOUND, seconds=7200.0, steps=3600, seconds_per_step=2.0))
    assert text == "2.0 hours (3600 steps of 2 s), 1.0 GB of memory, 1.0 MB on disk"
    assert str(replace(FOUND, seconds=5.0)) == "5 seconds, 1.0 GB of memory, 1.0 MB on disk"


@pytest.mark.full
def test_time_and_bytes_of_a_training_are_forecast(tmp_path):
    # As many images as one process renders; starting others takes longer than these trainings.
    recipe = replace(SMOKE, images=250, clip=Budget(12), autoencoder=Budget(30))
    folder = tmp_path / "training"
    for name, found in rehearse_stages(["clip", "autoencoder"], folder, recipe):
        before = written(folder)
        begun = perf_counter()
        run_stages([name], folder, folder / "pipeline", recipe)
        spent = perf_counter() - begun
        made = written(folder) - before
        assert spent / CLOSE < found.seconds < spent * CLOSE
        assert made / CLOSE < found.written < made * CLOSE
        assert found.memory > 1e8
    # What is finished takes neither steps nor bytes.
    (again,) = (found for _, found in rehearse_stages(["clip"], folder, recipe))
    assert (again.steps, again.written) == (0, 0)


def written(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.full
def test_the_command_forecasts_and_writes_nothing(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "training"
    given = ["train", "autoencoder", "--smoke", "--dry-run", "--folder", folder]
    code, out, _ = run(monkeypatch, capsys, "model", *given)
    assert code == 0
    assert out.startswith("autoencoder: ")
    assert "2 steps of" in out
    assert not folder.exists()
