import numpy as np
import pytest
import torch

from timings.compared import OURS, PLAIN, THEIRS, TINY, measure, runs_of, share_of_a_map
from timings.shapes import build


@pytest.fixture(scope="module", params=TINY)
def runs(request):
    shape = TINY[request.param]
    return runs_of(build(shape.builder, shape.config, "cpu", torch.float32), shape.call)


def test_a_run_returns_the_maps_of_all_heads_in_every_step(runs):
    maps = runs[OURS](2)
    heads, positions = maps[0].shape
    assert heads == 2
    assert positions in (16, 64)
    assert len(maps) % 2 == 0
    assert all(((one > 0) & (one < 1)).all() for one in maps)
    assert runs[PLAIN](2).isfinite().all()


def test_both_libraries_return_the_same_maps(runs):
    pytest.importorskip("attention_map_diffusers")
    for ours, theirs in zip(runs[OURS](2), runs[THEIRS](2), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_measurement_has_times_and_memory_of_both():
    pytest.importorskip("attention_map_diffusers")
    for shape in measure(1, quick=True).values():
        assert shape["peak_bytes"].keys() == {PLAIN, OURS, THEIRS}
        assert shape["seconds"].keys() == {PLAIN, OURS, THEIRS}
        assert all(len(seconds) == 1 for seconds in shape["seconds"].values())


def test_a_map_is_a_share_of_the_attention_that_it_reads():
    assert 0 < share_of_a_map(TINY["FLUX.1"], 1) < 10
