import xarray as xr

from hrvlab.experiments.disambiguation.findings import what_decides


def test_the_swap_that_helps_more_decides_where_the_sense_lies():
    conditions = ["plain", "word swapped", "end swapped", "word and end swapped"]
    rates = xr.DataArray([0.6, 0.5, 0.2, 0.1], {"condition": conditions}, "condition")
    for interval, said in (
        ((0.1, 0.5), "states of the end token"),
        ((-0.5, -0.1), "the word's own state"),
        ((-0.1, 0.5), "it is unclear which of the two carries the sense"),
    ):
        low, high = interval
        difference = xr.Dataset({"mean": (low + high) / 2, "low": low, "high": high})
        text = what_decides(rates, difference)
        assert said in text
        assert "60% of its images" in text
