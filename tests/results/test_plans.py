"""What ships is what today's studies make of the units that ship."""

from types import SimpleNamespace

import numpy as np
import pytest

import hrvlab as hl
from hrvlab.experiments.head_effects.trial import head_effects
from hrvlab.results.check import unpack_result
from hrvlab.results.make import join_parts, read_result, results_path
from hrvlab.results.registry import STUDIES, find_study

ATTENTION = "attention"  # of single heads: measured each time, and in no unit


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store of all units that ship, which accepts no plan but theirs, and a counting pipeline."""
    store = tmp_path_factory.mktemp("store")
    folders = {name: unpack_result(name, results_path(), store) for name in STUDIES}
    pipe, calls = hl.load("miniature"), []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    return SimpleNamespace(store=store, folders=folders, pipe=pipe, calls=calls)


# The plans of these take seconds, and are made as the others' are.
LONG = {"ablations", "disambiguation", "disambiguation-tuning", "head-effects"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.full if n in LONG else ()) for n in STUDIES]
)
def test_a_study_asks_for_exactly_the_plans_that_ship_and_generates_nothing(
    finished, name, monkeypatch
):
    module = "hrvlab.experiments.head_effects.study"
    monkeypatch.setattr(f"{module}.effects_beside_attention", head_effects)
    study, shipped = find_study(name), read_result(name).data
    parts = study.run(finished.pipe, finished.store)
    assert not finished.calls
    assert {label: part.stored() for label, part in parts.items()} == finished.folders[name]
    made = join_parts(study, parts)
    assert set(made.variables) == set(shipped.variables) - {ATTENTION}
    for variable in made.variables:
        assert made[variable].dims == shipped[variable].dims
        np.testing.assert_array_equal(made[variable], shipped[variable])
