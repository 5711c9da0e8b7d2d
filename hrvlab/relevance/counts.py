"""The votes that a dataset holds, after whatever was selected from it or joined to it.

Votes are kept in two tables, by prompt and by denoiser call, which sum to the same numbers. Who
selects prompts changes only the first, who selects calls only the second, so that only the changed
table holds the votes that were selected:

- where the sums are the same, both tables hold the votes;
- where they differ, the coordinate ``collected (head_position, concept)``, the sum of all votes
  when they were collected, shows in which table votes were selected, repeated or joined: that one
  holds the votes, by prompt or by call;
- where both were changed, votes of some prompts in some calls are asked for, which were never
  counted by themselves, and are refused; so are tables that differ without the coordinate.

A dataset with one of the tables holds the votes of that table.
"""

from __future__ import annotations

import xarray as xr

from hrvlab.errors import ParameterError, SchemaError
from hrvlab.storage.schema import VOTES

COLLECTED = "collected"
# The tables, by the dim that each of them has to itself.
TABLES = {dims[0]: name for name, dims in VOTES.variables.items()}


def with_collected(votes: xr.Dataset) -> xr.Dataset:
    """Add the sum of all votes, before any are selected, as the coordinate ``collected``.

    Parameters
    ----------
    votes : xarray.Dataset
        All votes of a run; those that have the coordinate keep it.

    Returns
    -------
    xarray.Dataset
    """
    if COLLECTED in votes.coords:
        return votes
    return votes.assign_coords({COLLECTED: votes[TABLES["timestep"]].sum("timestep").variable})


def counts(votes: xr.Dataset) -> xr.DataArray:
    """Count the votes of a dataset.

    Parameters
    ----------
    votes : xarray.Dataset
        From `collect_votes`, or some of its prompts, denoiser calls, heads or concepts.

    Returns
    -------
    xarray.DataArray
        Dims ``(head_position, concept)``.

    Raises
    ------
    ParameterError
        If it cannot be told which votes are meant, or some are missing or negative.
    SchemaError
        If the votes have other dims.
    """
    dim = holders(votes)[-1]  # the votes by call are the fewer numbers
    return _table(votes, dim).sum(dim)


def counts_by_prompt(votes: xr.Dataset) -> xr.DataArray:
    """Return the votes of each of a dataset's prompts.

    Parameters
    ----------
    votes : xarray.Dataset
        See `counts`.

    Returns
    -------
    xarray.DataArray
        Dims ``(prompt, head_position, concept)``.

    Raises
    ------
    ParameterError
        Also if denoiser calls were selected.
    SchemaError
        As `counts` does.
    """
    if "prompt" not in holders(votes):
        raise ParameterError(
            "votes by prompt are those of all denoiser calls, but some calls were selected; "
            "give votes of all calls"
        )
    return _table(votes, "prompt")


def counts_by_timestep(votes: xr.Dataset) -> xr.DataArray:
    """Return the votes in each denoiser call.

    Parameters
    ----------
    votes : xarray.Dataset
        See `counts`.

    Returns
    -------
    xarray.DataArray
        Dims ``(timestep, head_position, concept)``.

    Raises
    ------
    ParameterError
        Also if prompts were selected.
    SchemaError
        As `counts` does.
    """
    if "timestep" not in holders(votes):
        raise ParameterError(
            "votes by denoiser call are those of all prompts, but some prompts were selected; "
            "collect the votes of these prompts alone"
        )
    return _table(votes, "timestep")


def holders(votes: xr.Dataset) -> list[str]:
    """Name the dims whose tables hold the votes of a dataset, see this module.

    Parameters
    ----------
    votes : xarray.Dataset
        See `counts`.

    Returns
    -------
    list of str
        ``"prompt"``, ``"timestep"`` or both.

    Raises
    ------
    ParameterError, SchemaError
        As `counts` does.
    """
    sums = {dim: _sum(votes[name], dim) for dim, name in TABLES.items() if name in votes}
    changed = _changed(sums, votes.coords.get(COLLECTED))
    found = [dim for dim in sums if dim in changed] or list(sums)
    fitting = [dim for dim in found if {*votes[TABLES[dim]].dims} == _dims(dim)]
    if not fitting:
        held = ", ".join(f"{name} {votes[name].dims}" for name in TABLES.values() if name in votes)
        raise SchemaError(
            f"votes need votes_by_prompt {VOTES.variables['votes_by_prompt']} or "
            f"votes_by_timestep {VOTES.variables['votes_by_timestep']}, got {held or 'neither'}; "
            "select by lists, such as isel(prompt=[0]), and one entry of any further dim"
        )
    for dim in fitting:
        if not (sums[dim] >= 0).all():  # which NaN is not, either
            raise ParameterError(f"{TABLES[dim]} holds NaN or negative numbers; give whole votes")
    return fitting


def _changed(sums: dict[str, xr.DataArray], collected: xr.DataArray | None) -> set[str]:
    """Name the dim whose table alone was changed; none if the tables agree."""
    if len(sums) < 2 or _equal(*sums.values()):
        return set()
    changed = {
        dim for dim, total in sums.items() if collected is None or not _equal(total, collected)
    }
    if len(changed) == 2:
        raise ParameterError(
            "votes by prompt and votes by denoiser call differ, and those of some prompts in some "
            "calls are not counted; select either prompts or calls, or drop the table that is not "
            "meant, such as by drop_dims('timestep')"
        )
    return changed


def _equal(one: xr.DataArray, other: xr.DataArray) -> bool:
    return bool((one == other).all())


def _sum(table: xr.DataArray, dim: str) -> xr.DataArray:
    """Sum a table; one half at a time, because a large one is read from a store."""
    if dim not in table.dims:
        return table
    halves = [table.isel({dim: slice(start, None, 2)}) for start in (0, 1)]
    return halves[0].sum(dim, skipna=False) + halves[1].sum(dim, skipna=False)


def _table(votes: xr.Dataset, dim: str) -> xr.DataArray:
    """Return a table with its dims in order, without the sum that was collected."""
    table = votes[TABLES[dim]].transpose(*VOTES.variables[TABLES[dim]])
    return table.drop_vars(COLLECTED, errors="ignore")


def _dims(dim: str) -> set[str]:
    return set(VOTES.variables[TABLES[dim]])
