import xarray as xr

from hrvlab.experiments.verdicts import compare, verdict


def test_an_interval_that_holds_zero_decides_nothing():
    words = {"less": "less often", "more": "more often"}
    assert verdict(-0.3, -0.1, **words) == "less often"
    assert verdict(0.1, 0.3, **words) == "more often"
    assert verdict(-0.1, 0.3, **words) == "not clearly less often or more often"
    assert verdict(-0.1, 0.0, **words) == "not clearly less often or more often"


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
        "- Adjusting misreads **not clearly less often or more often** than *uniform*: "
        "by +50.0 points, 95 % interval -10.0 to +80.0.",
    ]
