"""The studies whose results ship, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.results import editing, neglect, polysemy
from hrvlab.results.study import Study
from hrvlab.results.votes import BALLOT_VOTES, VOTES, run_ballots, run_votes
from hrvlab.results.weakening import (
    ABLATIONS,
    EFFECTS,
    WEAKENING,
    first_prompt,
    run_ablations,
    run_effects,
    run_weakening,
)


def no_pictures(part: xr.Dataset) -> NDArray[np.str_]:
    """Ship no pictures."""
    return np.array([], str)


STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        Study(VOTES, run_votes, "part", no_pictures),
        Study(polysemy.TUNING, polysemy.run_tuning, "part", no_pictures, needs=(VOTES,)),
        Study(
            polysemy.POLYSEMY,
            polysemy.run_polysemy,
            "part",
            polysemy.extreme_words,
            needs=(VOTES, polysemy.TUNING),
        ),
        Study(editing.TUNING, editing.run_tuning, "part", no_pictures, needs=(VOTES,)),
        Study(editing.EDITING, editing.run_editing, "part", editing.extreme_edits, needs=(VOTES,)),
        Study(neglect.TUNING, neglect.run_tuning, "vectors", no_pictures, needs=(VOTES,)),
        Study(
            neglect.NEGLECT,
            neglect.run_neglect,
            "section",
            neglect.extreme_pairs,
            needs=(VOTES, neglect.TUNING),
        ),
        Study(WEAKENING, run_weakening, "concept", first_prompt, needs=(VOTES,)),
        Study(EFFECTS, run_effects, "concept", no_pictures),
        Study(BALLOT_VOTES, run_ballots, "ballot", no_pictures),
        Study(ABLATIONS, run_ablations, "part", no_pictures, needs=(VOTES, BALLOT_VOTES)),
    )
}
