"""A study: an experiment at full scale, whose result ships and can be made and checked anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.experiments.pictures import FOLDER
from hrvlab.ledger import DATA
from hrvlab.models.load import fingerprint
from hrvlab.paths import data_path
from hrvlab.results.packing import pack
from hrvlab.store import read_dataset, write_dataset

IMAGE = "image"  # ends the name of every variable that names pictures


@dataclass(frozen=True)
class Study:
    """An experiment at full scale.

    Parameters
    ----------
    name : str
        Of its folder in ``data/results``.
    run : callable (pipe, store) -> mapping of str to xarray.Dataset
        Gives its parts by label, each finished in a plan of its own below the store.
    dim : str
        Along which labelled parts lie in the result; of one part there is no such dim.
    shown : callable (part) -> ndarray of str
        Names of the pictures that chapters show, which ship with the result.
    needs : tuple of str
        Studies whose results it reads from the same store.
    """

    name: str
    run: Callable[[DiffusionPipeline, Path], Mapping[str, xr.Dataset]]
    dim: str
    shown: Callable[[xr.Dataset], NDArray[np.str_]]
    needs: tuple[str, ...] = ()


def folder_of(part: xr.Dataset) -> Path:
    """Say where a part's plan keeps its units and pictures."""
    return Path(part.encoding["source"]).parent


def results_path() -> Path:
    """Say where shipped results lie."""
    return data_path("results")


def make_result(study: Study, pipe: DiffusionPipeline, work: Path, results: Path) -> Path:
    """Run a study and write its result; a killed run resumes.

    Parameters
    ----------
    study : Study
    pipe : diffusers.DiffusionPipeline
    work : Path
        Keeps finished units and all pictures.
    results : Path
        Folder of all results; that of the study is replaced once it is whole.

    Returns
    -------
    Path
        The study's folder: ``data.zarr``; ``units``, what every part was made of; and ``images``,
        the pictures that chapters show.
    """
    parts = study.run(pipe, work)
    folder = results / study.name
    partial = results / f"{study.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for label, part in parts.items():
        pack(folder_of(part), partial / "units" / f"{label}.npz")
        for name in study.shown(part).ravel():
            target = partial / FOLDER / label / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder_of(part) / FOLDER / name, target)
    write_dataset(_joined(study, parts), partial / DATA)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def read_result(name: str, results: Path | None = None) -> xr.Dataset:
    """Read a finished result that ships with hrvlab.

    Parameters
    ----------
    name : str
        Of a study.
    results : Path, optional
        Folder of all results; default: the shipped ones.

    Returns
    -------
    xarray.Dataset
        `hrvlab.experiments.pictures.read_images` gives the pictures that chapters show.

    Raises
    ------
    StoreError
        If there is none.
    """
    folder = (results or results_path()) / name
    if not folder.is_dir():
        raise StoreError(
            f"there is no finished result {name!r}; make it with: hrvlab results {name}"
        )
    return read_dataset(folder / DATA)


def result_for(
    pipe: DiffusionPipeline, name: str, results: Path | None = None
) -> xr.Dataset | None:
    """Read a finished result if there is one that was made with this very model.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    name : str
        Of a study.
    results : Path, optional
        Folder of all results; default: the shipped ones.

    Returns
    -------
    xarray.Dataset or None
    """
    if not ((results or results_path()) / name).is_dir():
        return None
    result = read_result(name, results)
    return result if result.attrs["model_fingerprint"] == fingerprint(pipe) else None


def _joined(study: Study, parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Lay the parts side by side; a picture's name begins with its part's label."""
    # What parts remember of their files would cut the texts of all to the length of the first's.
    plain = {label: part.drop_encoding() for label, part in parts.items()}
    named = [
        part.assign(
            {
                name: _below(label, names)
                for name, names in part.data_vars.items()
                if str(name).endswith(IMAGE)
            }
        )
        for label, part in plain.items()
    ]
    if len(named) == 1:
        return named[0]
    labels = xr.DataArray(list(parts), dims=study.dim, name=study.dim)
    return xr.concat(named, labels, join="exact", combine_attrs="drop_conflicts")


def _below(label: str, names: xr.DataArray) -> xr.DataArray:
    return names.copy(data=np.char.add(f"{label}/", names.values.astype(str)))
