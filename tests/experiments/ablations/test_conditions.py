from hrvlab.experiments.ablations.conditions import VOTING_RULES, variants


def test_the_windows_are_thirds_that_cover_all_calls_once():
    for steps in (3, 8, 20):
        windows = [given["window"] for given in variants(steps).values() if "window" in given]
        calls = [call for start, stop in windows for call in range(start, stop or steps)]
        assert calls == list(range(steps))


def test_every_variant_differs_from_the_published_in_one_factor():
    given = variants(6)
    assert given["published"] == {}
    assert all(len(changed) == 1 for name, changed in given.items() if name != "published")
    assert len({(rule.mass, rule.start) for rule in VOTING_RULES.values()}) == 4
