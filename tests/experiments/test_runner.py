import errno
import os
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from diffusers import DDIMScheduler

from hrvlab.errors import StoreError
from hrvlab.experiments.runner import Generated, Trial, TrialUnit, run_trial
from hrvlab.storage.locks import writing
from hrvlab.storage.schema import SCHEMAS, Schema
from tests.pipelines import tiny_sd
from tests.scores import Brightness, Redness


@pytest.fixture(autouse=True)
def any_rows(monkeypatch):
    monkeypatch.setitem(SCHEMAS, "rows", Schema("rows", {}))


@pytest.fixture
def generated():
    """The units that were generated, in order."""
    return []


@pytest.fixture
def trial(generated):
    """Three units of two images, each brighter than the one before."""

    def unit(number):
        def generate(_):
            generated.append(number)
            images = np.full((2, 8, 8, 3), 10 * number + 10, np.uint8)
            return Generated(images, {"passes": np.array([number, number])})

        names = [f"{number}-{image}.png" for image in range(2)]
        return TrialUnit(generate, names, {"shown": ["a", "bbb"]})

    units = [unit(number) for number in range(3)]

    def assemble(finished):
        shown = np.stack([arrays["shown"] for arrays in finished])
        dims = ("evaluator", "unit", "seed")[-shown.ndim :]
        return xr.Dataset(
            {
                "shown": (dims, np.moveaxis(shown, 0, -2)),
                "passes": (("unit", "seed"), np.stack([arrays["passes"] for arrays in finished])),
                "image": (("unit", "seed"), np.array([unit.names for unit in units])),
                "source_image": (("unit", "seed"), np.array([unit.names for unit in units])),
            },
            {"condition": ("unit", ["dark", "dim", "bright"])},
        )

    return Trial("rows", {"number": 3}, {"number": 3}, [0, 1], Brightness(), units, assemble)


@pytest.fixture
def run(tiny_pipe, trial):
    def run_here(store=None, pipe=tiny_pipe, **changes):
        return run_trial(pipe, replace(trial, **changes), store=store, progress=False)

    return run_here


def test_images_are_scored_kept_and_described(run, tmp_path):
    found = run(tmp_path)
    assert found.data["shown"].values.tolist() == [[11, 13], [21, 23], [31, 33]]
    assert found.data["passes"].values.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert found.images(found.data["image"][2]).min() == 30
    assert found.data.attrs["schema"] == "rows"
    assert found.data.attrs["parameters"] == '{"number": 3}'
    assert found.data.attrs["seed"] == [0, 1]


def test_an_image_that_was_withheld_has_no_score(run, trial, tmp_path):
    first, *rest = trial.units
    generated = first.generate(None)
    generated.images[1] = 0
    units = [replace(first, generate=lambda _: generated), *rest]
    for _ in range(2):  # the second run reads what the first has stored
        shown = run(tmp_path, units=units).data["shown"]
        np.testing.assert_array_equal(shown, [[11, np.nan], [21, 23], [31, 33]])


def test_several_evaluators_score_the_same_images(run, generated):
    found = run(score={"bright": Brightness(), "red": Redness()})
    assert found.data["shown"].dims == ("evaluator", "unit", "seed")
    assert found.data["shown"].isel(evaluator=1).values.tolist() == [[10, 30], [20, 60], [30, 90]]
    assert generated == [0, 1, 2]


def test_without_a_store_the_numbers_are_the_same_and_there_are_no_images(run, tmp_path):
    plain, stored = run(), run(tmp_path)
    assert plain.folder is None
    assert set(stored.data) - set(plain.data) == {"image", "source_image"}
    np.testing.assert_array_equal(plain.data["shown"], stored.data["shown"])


def test_a_second_run_generates_nothing_and_a_killed_one_only_the_rest(run, generated, tmp_path):
    first = run(tmp_path)
    del generated[:]
    xr.testing.assert_identical(run(tmp_path).data, first.data)
    assert not generated
    (first.stored() / "ledger" / "000001.npz").unlink()
    (first.stored() / "data.zarr" / "zarr.json").unlink()
    again = run(tmp_path)
    assert generated == [1]
    xr.testing.assert_identical(again.data.drop_attrs(), first.data.drop_attrs())


def test_readers_of_a_finished_trial_do_not_refuse_each_other(run, tmp_path):
    first = run(tmp_path)
    with writing(first.stored()):
        xr.testing.assert_identical(run(tmp_path).data, first.data)


def test_an_unfinished_trial_is_refused_while_another_run_writes_it(run, generated, tmp_path):
    first = run(tmp_path)
    (first.stored() / "data.zarr" / "zarr.json").unlink()
    del generated[:]
    with writing(first.stored()), pytest.raises(StoreError, match="another process is writing to"):
        run(tmp_path)
    assert not generated


def test_other_parameters_are_written_without_generating_again(run, trial, generated, tmp_path):
    def relabelled(finished):
        return trial.assemble(finished).assign_coords(condition=("unit", ["a", "b", "c"]))

    first = run(tmp_path)
    again = run(tmp_path, assemble=relabelled, parameters={"conditions": ["a", "b", "c"]})
    assert again.folder == first.folder
    assert again.data["condition"].values.tolist() == ["a", "b", "c"]
    assert generated == [0, 1, 2]


def test_a_full_disk_keeps_what_was_finished(run, generated, tmp_path, monkeypatch):
    free = [None] * 4  # the plan, the versions and two units

    def fsync(_):
        if not free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        free.pop()

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StoreError, match="disk is full .* run the same command again"):
            run(tmp_path)
    (folder,) = tmp_path.iterdir()
    kept = sorted(path.name for path in (folder / "ledger").iterdir())
    assert kept == ["000000.npz", "000001.npz"]
    del generated[:]
    assert run(tmp_path).data["shown"].shape == (3, 2)
    assert generated == [2]


def test_another_plan_scheduler_or_decoder_has_another_folder(run, tmp_path):
    pipe = tiny_sd()
    run(tmp_path, pipe)
    run(tmp_path, pipe, plan={"number": 4})
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    run(tmp_path, pipe)
    pipe.vae.post_quant_conv.weight.data += 1
    run(tmp_path, pipe)
    assert len(list(tmp_path.iterdir())) == 4


def test_scores_keep_their_evaluators_in_whatever_order_these_are_given(run, tmp_path):
    scores = {"red": Redness(), "bright": Brightness()}
    first = run(tmp_path, score=scores).data["shown"].copy(deep=True)
    (run(tmp_path, score=scores).stored() / "ledger" / "000001.npz").unlink()
    (run(tmp_path, score=scores).stored() / "data.zarr" / "zarr.json").unlink()
    again = run(tmp_path, score=dict(reversed(scores.items()))).data["shown"]
    np.testing.assert_array_equal(again, first[::-1])
