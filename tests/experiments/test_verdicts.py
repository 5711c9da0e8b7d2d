import xarray as xr

from hrvlab.experiments.verdicts import compare, verdict, what_decides, where_it_helps


def test_an_interval_that_holds_zero_decides_nothing():
    words = {"less": "less often", "more": "more often"}
    assert verdict(-0.3, -0.1, **words) == "less often"
    assert verdict(0.1, 0.3, **words) == "more often"
    assert verdict(-0.1, 0.3, **words) == "neither clearly less often nor clearly more often"
    assert verdict(-0.1, 0.0, **words) == "neither clearly less often nor clearly more often"


def test_every_arm_gets_its_sentence():
    differences = xr.Dataset(
        {
            "mean": ("arm", [-0.25, 0.5]),
            "low": ("arm", [-0.4, -0.1]),
            "high": ("arm", [-0.1, 0.8]),
        },
        {"arm": ["plain", "uniform"]},
    )
    text = compare(differences, "Adjusting misreads", less="less often", more="more often")
    assert text.splitlines() == [
        "- Adjusting misreads **less often** than *plain*: by -25.0 points, "
        "95 % interval -40.0 to -10.0.",
        "- Adjusting misreads **neither clearly less often nor clearly more often** than "
        "*uniform*: by +50.0 points, 95 % interval -10.0 to +80.0.",
    ]


def test_cases_are_sorted_by_whether_they_gained():
    differences = xr.DataArray(
        [0.0, -0.25, 0.125, -0.5], {"case": ["bat", "rose", "nut", "bow"]}, "case"
    )
    assert where_it_helps(differences, "Adjusting", "plain") == (
        "Adjusting fails, against *plain*, **less often for** *bow* (-50), *rose* (-25); "
        "**more often for** *nut* (+12); **just as often for** 1 of 4."
    )


def test_kinds_that_there_are_not_are_not_told():
    differences = xr.DataArray([0.0], {"case": ["bat"]}, "case")
    text = where_it_helps(differences, "Adjusting", "plain")
    assert text == "Adjusting fails, against *plain*, **just as often for** 1 of 1."


def test_the_swap_that_helps_more_says_where_the_sense_lies():
    arms = ["plain", "word swapped", "end swapped", "word and end swapped"]
    rates = xr.DataArray([0.6, 0.5, 0.2, 0.1], {"arm": arms}, "arm")
    for interval, said in (
        ((0.1, 0.5), "states of the end token"),
        ((-0.5, -0.1), "the word's own state"),
        ((-0.1, 0.5), "neither clearly decides"),
    ):
        low, high = interval
        difference = xr.Dataset({"mean": (low + high) / 2, "low": low, "high": high})
        text = what_decides(rates, difference)
        assert said in text
        assert "60% of its pictures" in text
