import xarray as xr

from hrvlab.experiments.findings import compare, verdict, where_it_helps


def test_an_interval_that_contains_zero_decides_nothing():
    words = {"less": "less often", "more": "more often"}
    assert verdict(-0.3, -0.1, **words) == "less often"
    assert verdict(0.1, 0.3, **words) == "more often"
    assert verdict(-0.1, 0.3, **words) == "neither clearly less often nor clearly more often"
    assert verdict(-0.1, 0.0, **words) == "neither clearly less often nor clearly more often"


def test_every_condition_gets_its_sentence():
    differences = xr.Dataset(
        {
            "mean": ("condition", [-0.25, 0.5]),
            "low": ("condition", [-0.4, -0.1]),
            "high": ("condition", [-0.1, 0.8]),
        },
        {"condition": ["plain", "uniform"]},
    )
    text = compare(differences, "Adjusting misreads", less="less often", more="more often")
    assert text.splitlines() == [
        "- Adjusting misreads **less often** than *plain*: by 25.0 points, "
        "95 % interval 10.0 to 40.0.",
        "- Adjusting misreads **neither clearly less often nor clearly more often** than "
        "*uniform*: by +50.0 points, 95 % interval -10.0 to +80.0.",
    ]


def test_cases_are_grouped_by_whether_they_gained():
    differences = xr.DataArray(
        [0.0, -0.25, 0.125, -0.5], {"case": ["bat", "rose", "nut", "bow"]}, "case"
    )
    assert where_it_helps(differences, "Adjusting", "plain") == (
        "Adjusting fails, compared with *plain*, **less often for** *bow* (-50), *rose* (-25); "
        "**more often for** *nut* (+12); **just as often for** 1 of 4."
    )


def test_groups_without_cases_are_left_out():
    differences = xr.DataArray([0.0], {"case": ["bat"]}, "case")
    text = where_it_helps(differences, "Adjusting", "plain")
    assert text == "Adjusting fails, compared with *plain*, **just as often for** 1 of 1."
