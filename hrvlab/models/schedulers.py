"""Schedulers of diffusers by their names, in place of a pipeline's own."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import diffusers

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

ENDING = re.compile(r"(discrete|multistep)?scheduler$")


def find_scheduler(name: str, own: str) -> type[SchedulerMixin]:
    """Find the class of a scheduler that can take the place of another.

    Parameters
    ----------
    name : str
        Of a class of diffusers; small letters, and without "Scheduler" and the like, will do.
    own : str
        Class of the scheduler that it replaces.

    Returns
    -------
    type

    Raises
    ------
    ParameterError
        If there is none, it steps in another way than the model was trained for, or a library that
        it needs is not installed.
    """
    known = _known()
    exact = {cls.lower(): cls for cls in known}
    short = {ENDING.sub("", cls.lower()): cls for cls in known}
    wanted = re.sub(r"[^a-z0-9]", "", name.lower())
    found = exact.get(wanted) or exact.get(f"{wanted}scheduler") or short.get(wanted)
    takes = set(known[own]) if own in known else set()
    if found is None:
        near = difflib.get_close_matches(wanted, short, n=3)
        listed = [short[one] for one in near] or sorted(takes)
        raise ParameterError(f"diffusers has no scheduler {name!r}; give {', '.join(listed)}")
    if not takes & {found, *known[found]}:
        raise ParameterError(
            f"{found} cannot take the place of this model's {own}; give one of: "
            f"{', '.join(sorted(takes)) or own}"
        )
    cls: Any = getattr(diffusers, found)
    if not issubclass(cls, diffusers.SchedulerMixin):  # a stand-in that names what is missing
        needed = ", ".join(cls._backends)
        raise ParameterError(f"{found} needs {needed}, of which something is not installed")
    return cls


def _known() -> dict[str, list[str]]:
    """Return the names of diffusers' schedulers, each with those that can take its place."""
    names = [name for name in dir(diffusers.schedulers) if name.endswith("Scheduler")]
    return {
        name: list(getattr(getattr(diffusers, name), "_compatibles", []))
        for name in names
        if hasattr(diffusers, name) and not name.startswith(("Flax", "Karras"))
    }
