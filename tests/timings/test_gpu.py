import json

import pytest

from timings.gpu import TINY, TYPES, VOTING, main

OBSERVED = {"plain", "means of all tokens", "maps of one word", "an edit"}


@pytest.mark.full
def test_the_script_for_accelerators_measures_every_model(tmp_path):
    output = tmp_path / "gpu.json"
    main(output, batch=2, steps=2, rounds=1, quick=True)
    results = json.loads(output.read_text())
    assert results["batch"] == 2
    for model in TINY:
        found = results[model]
        assert found.keys() >= OBSERVED
        for name in OBSERVED:
            assert len(found[name]["milliseconds"]) == 1
            assert found[name]["over plain"] > 0
        if model in VOTING:
            assert found["votes of 34 concepts"]["over plain"] > 0
            assert found["vote flips"].keys() == TYPES.keys()
            assert all(0 <= share <= 1 for share in found["vote flips"].values())
