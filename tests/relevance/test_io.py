import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.errors import SchemaError, StoreError
from hrvlab.relevance.model import check_model
from tests.relevance.test_vectors import PROMPTS, example


def test_saved_vectors_are_loaded_with_their_model(tiny_pipe, tmp_path):
    hrv = example(tiny_pipe)
    hl.save_relevance(hrv, tmp_path / "hrv.zarr")
    loaded = hl.load_relevance(tmp_path / "hrv.zarr")
    xr.testing.assert_identical(loaded, hrv)
    check_model(loaded, tiny_pipe)


def test_a_folder_with_other_files_is_not_replaced(tiny_pipe, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="holds no dataset"):
        hl.save_relevance(example(tiny_pipe), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    for _ in range(2):
        hl.save_relevance(example(tiny_pipe), tmp_path / "hrv.zarr")


def test_votes_are_not_saved_as_vectors(tiny_pipe, concepts, tmp_path):
    votes = hl.collect_votes(
        tiny_pipe, concepts, PROMPTS[:2], num_inference_steps=1, progress=False
    )
    with pytest.raises(SchemaError):
        hl.save_relevance(votes["votes_by_timestep"], tmp_path / "hrv.zarr")
