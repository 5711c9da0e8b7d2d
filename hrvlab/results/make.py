"""Make the result of a study, and read those that ship."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from hrvlab.errors import StoreError
from hrvlab.experiments.runner import is_image
from hrvlab.models.load import fingerprint
from hrvlab.paths import data_path, user_path
from hrvlab.relevance.counts import with_collected
from hrvlab.results.registry import STUDIES, select_studies
from hrvlab.scorers.base import where_known
from hrvlab.storage.archives import pack
from hrvlab.storage.atomic import SCRATCH, check_writable, storing
from hrvlab.storage.datasets import read_dataset, replace_folder, write_dataset
from hrvlab.storage.images import FOLDER
from hrvlab.storage.run import Run
from hrvlab.storage.units import DATA

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import Study

PACKED = "units"
PART = "part"  # the dim of studies that name none

# With other numbers of threads sums are rounded otherwise, which refinements of latents amplify.
THREADS = 2


def results_path() -> Path:
    """Locate the folder of the results that ship."""
    return data_path("results")


@contextmanager
def threads_of_results(threads: int | None = THREADS) -> Iterator[None]:
    """Compute with as many threads as all shipped results, wherever that is; None: as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_result(
    study: Study,
    pipe: DiffusionPipeline,
    work: Path,
    results: Path,
    *,
    threads: int | None = THREADS,
) -> Path:
    """Run a study and write its result; a killed run resumes.

    Parameters
    ----------
    study : Study
    pipe : diffusers.DiffusionPipeline
    work : Path
        Keeps finished units and all images.
    results : Path
        Folder of all results; the study's own is replaced once the new one is complete.
    threads : int, optional
        PyTorch's CPU threads; None: as many as there are now.

    Returns
    -------
    Path
        The study's folder: ``data.zarr``; ``units``, from which every part is assembled; and
        ``images``, those that chapters show.

    Raises
    ------
    StoreError
        If another run is writing to the same folder, or something cannot be written: the folder
        of results is tried before anything is computed.
    """
    work, results = user_path(work), user_path(results)
    check_writable(results)
    with threads_of_results(threads):
        parts = study.run(pipe, work)
    folder = results / study.name
    kept = f"units are kept in {work}, and {folder} is as it was"
    # A scratch folder of its own, for another process may make the same result.
    with (
        storing(folder, kept),
        tempfile.TemporaryDirectory(prefix=SCRATCH, dir=results) as scratch,
    ):
        partial = Path(scratch) / study.name
        for label, part in parts.items():
            pack(part.stored(), partial / PACKED / f"{label}.npz")
            for name in study.shown(part.data).ravel():
                target = partial / FOLDER / label / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(part.stored() / FOLDER / name, target)
        write_dataset(join_parts(study, parts), partial / DATA, kept)
        replace_folder(folder, partial)
    return folder


def read_result(name: str, results: str | Path | None = None) -> Run:
    """Read a finished result that ships with hrvlab.

    Parameters
    ----------
    name : str
        Of a study.
    results : str or Path, optional
        Folder of all results; default: that of the results that ship.

    Returns
    -------
    Run
        With the data of all parts, and the images that chapters show.

    Raises
    ------
    ParameterError
        If there is no study of that name.
    StoreError
        If there is no result, or it is damaged.

    Examples
    --------
    >>> from hrvlab.results import read_result
    >>> votes = read_result("votes").data
    >>> votes["votes_by_prompt"].dims
    ('prompt', 'head_position', 'concept')
    """
    folder = _result_folder(name, results)
    if not folder.is_dir():
        raise StoreError(
            f"there is no finished result {name!r}; make it with: hrvlab results {name}"
        )
    return Run(_as_today(read_dataset(folder / DATA)), folder)


def result_for(pipe: DiffusionPipeline, name: str, results: str | Path | None = None) -> Run | None:
    """Read a finished result if there is one that was made with this very model.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    name : str
        Of a study.
    results : str or Path, optional
        Folder of all results; default: that of the results that ship.

    Returns
    -------
    Run or None
        See `read_result`.

    Raises
    ------
    ParameterError
        If there is no study of that name.
    StoreError
        If it is damaged.

    Examples
    --------
    >>> from hrvlab.results import result_for
    >>> result_for(pipe, "weakening").data.sizes["concept"]
    16
    """
    if not _result_folder(name, results).is_dir():
        return None
    result = read_result(name, results)
    return result if result.data.attrs["model_fingerprint"] == fingerprint(pipe) else None


def _result_folder(name: str, results: str | Path | None) -> Path:
    """Return the folder of a study's result, which need not be there."""
    folder = user_path(results or results_path()) / name
    if name not in STUDIES and not (name and (folder / DATA).exists()):
        select_studies([name])
    return folder


def join_parts(study: Study, parts: Mapping[str, Run]) -> xr.Dataset:
    """Lay the parts of a study side by side.

    Parameters
    ----------
    study : Study
    parts : mapping of str to Run
        By label.

    Returns
    -------
    xarray.Dataset
        With the study's dim in front, unless it has a single part by its nature. File names of
        images are prefixed with their part's label.
    """
    # The encodings of the parts would cut all texts to the length of the first part's.
    named = [_prefixed(label, part.data.drop_encoding()) for label, part in parts.items()]
    if len(named) == 1 and study.dim == PART:
        return named[0]
    labels = xr.DataArray(list(parts), dims=study.dim, name=study.dim)
    return xr.concat(named, labels, join="exact", combine_attrs="drop_conflicts")


def _as_today(data: xr.Dataset) -> xr.Dataset:
    """Return a result as its study makes it today from the same units."""
    if data.attrs["schema"] == "votes":
        return with_collected(data)
    if data.attrs["schema"] == "neglect" and data["shown"].dtype == bool:
        # Up to version 0.2, every image counted as showing its text by CLIP, which cannot tell.
        known = data["evaluator"] != "CLIP"
        outcomes = {name: where_known(data[name], known) for name in ("shown", "present")}
        return data.assign(outcomes)
    return data


def _prefixed(label: str, part: xr.Dataset) -> xr.Dataset:
    """Prefix the file names of a part's images with its label."""
    names = {name: part[name] for name in part.data_vars if is_image(name)}
    return part.assign(
        {
            name: files.copy(data=np.char.add(f"{label}/", files.values.astype(str)))
            for name, files in names.items()
        }
    )
