"""A panel that steers a word by hand and shows the plain and the steered image."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import xarray as xr
import yaml

from hrvlab.errors import HrvlabError, ParameterError
from hrvlab.generation import generate
from hrvlab.methods.steering import adjust, strengthen
from hrvlab.paths import user_path
from hrvlab.relevance.vectors import concept_vector
from hrvlab.storage.atomic import storing
from hrvlab.widgets.images import show_image
from hrvlab.widgets.latest import Latest, Stale

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.attention import Rescale
    from hrvlab.typing import Images

SHOWN_SIDE = 288
STRENGTHEN, ADJUST = "strengthen", "adjust"
# Keywords of a pipeline's call that are parameters of the chapter, under their names there; and one
# that changes no image.
PARAMETERS = {
    "num_inference_steps": "steps",
    "batch_size": "batch_size",
    "guidance_scale": "guidance_scale",
    "height": "height",
    "width": "width",
}
NO_MATTER = {"progress"}
FINISHED = "left: plain; right: steered"


@dataclass(frozen=True)
class Steering:
    """The values of the controls; its fields are parameters of the chapter on steering.

    Parameters
    ----------
    prompt, word : str
    toward, away : str
        The wanted concept, and the unwanted one, which only adjusting uses.
    strength : float
        Of strengthening.
    gain, loss : float
        Of adjusting.
    seed : int
        Of the initial noise.
    """

    prompt: str
    word: str
    toward: str
    away: str
    strength: float
    gain: float
    loss: float
    seed: int

    def edit(self, hrv: xr.DataArray, method: str) -> Rescale:
        """Build the edit of the attention.

        Parameters
        ----------
        hrv : xarray.DataArray, dims (concept, head_position)
        method : {"strengthen", "adjust"}

        Raises
        ------
        ConceptError
            If there is no such concept.
        """
        if method == STRENGTHEN:
            return strengthen(hrv, self.toward, self.word, strength=self.strength)
        return adjust(
            hrv,
            toward=self.toward,
            away=self.away,
            word=self.word,
            gain=self.gain,
            loss=self.loss,
        )


def steering_panel(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    *,
    model: str,
    prompt: str,
    word: str,
    toward: str,
    away: str,
    strength: float = 1.0,
    gain: float = 2.0,
    loss: float = 1.0,
    seed: int = 0,
    folder: str | Path = ".",
    others: Mapping[str, Any] | None = None,
    **call: Any,
) -> ipywidgets.VBox:
    """Build controls that strengthen or adjust a concept in a word, with the resulting images.

    Moving a control cancels an image that is still being generated.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    model : str
        What the pipeline was loaded from; saved with the parameters.
    prompt, word, toward, away, strength, gain, loss, seed
        Initial values of the controls; see `Steering`.
    folder : str or Path
        Where "save as parameters" writes ``steering-1.yaml``, ``steering-2.yaml``, …, which
        ``hrvlab run steering -f`` takes.
    others : mapping of str to object, optional
        The chapter's other parameters, such as the concepts and the prompts that the vectors are
        from; saved with those of the controls.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    ipywidgets.VBox
        Two images, plain and steered, above the controls.

    Raises
    ------
    ConceptError
        If there is no such concept.
    """
    concepts = [str(name) for name in hrv["concept"].values]
    for concept in (toward, away):
        concept_vector(hrv, concept)
    amounts = (strength, gain, loss)
    slider = {"min": min(-1.0, *amounts), "max": max(4.0, *amounts), "step": 0.1}
    controls = {
        "prompt": ipywidgets.Text(prompt, description="prompt", continuous_update=False),
        "word": ipywidgets.Text(word, description="word", continuous_update=False),
        "toward": ipywidgets.Dropdown(options=concepts, value=toward, description="toward"),
        "away": ipywidgets.Dropdown(options=concepts, value=away, description="away from"),
        "strength": ipywidgets.FloatSlider(strength, description="strength", **slider),
        "gain": ipywidgets.FloatSlider(gain, description="gain", **slider),
        "loss": ipywidgets.FloatSlider(loss, description="loss", **slider),
        "seed": ipywidgets.BoundedIntText(seed, min=0, max=2**63 - 1, description="seed"),
    }
    method = ipywidgets.ToggleButtons(options=[STRENGTHEN, ADJUST], description="method")
    save = ipywidgets.Button(description="save as parameters")
    status = ipywidgets.HTML()  # a label would typeset what stands between dollar signs
    plain, steered = (ipywidgets.Image(format="png") for _ in range(2))

    known: dict[tuple[str, int], Images] = {}

    def show_images(request: tuple[Steering, str], check: Callable[[], None]) -> None:
        setting, chosen_method = request

        def each_step(_: object, __: int, ___: object, kwargs: dict[str, Any]) -> dict[str, Any]:
            check()
            return kwargs

        def image(edit: Rescale | Sequence[Rescale]) -> Images:
            options = {"seed": setting.seed, "callback_on_step_end": each_step, **call}
            return generate(pipe, setting.prompt, edit=edit, **options)

        status.value = "generating …"
        key = (setting.prompt, setting.seed)
        try:
            changed = image(setting.edit(hrv, chosen_method))
            if key not in known:
                known[key] = image(())
        except Stale:
            raise
        except Exception as error:  # a background thread has nowhere else to report it
            status.value = escape(str(error), quote=False)
        else:
            show_image(plain, known[key][0], SHOWN_SIDE)
            show_image(steered, changed[0], SHOWN_SIDE)
            status.value = FINISHED

    latest = Latest(show_images)

    def setting() -> Steering:
        return Steering(**{name: control.value for name, control in controls.items()})

    def show(_: object = None) -> None:
        for name in ("strength", "away", "gain", "loss"):
            used = (name == "strength") == (method.value == STRENGTHEN)
            controls[name].layout.display = None if used else "none"
        latest.submit((setting(), method.value))

    def write(_: object) -> None:
        try:
            steps = _chapter_parameters(pipe, call)
            saved = {"model": str(model), **asdict(setting()), **(others or {}), **steps}
            path = save_parameters(saved, user_path(folder))
        except HrvlabError as error:
            status.value = escape(f"not saved: {error}", quote=False)
        else:
            status.value = escape(f"hrvlab run steering -f {path}", quote=False)

    for control in (method, *controls.values()):
        control.observe(show, "value")
    save.on_click(write)
    show()
    return ipywidgets.VBox(
        [
            ipywidgets.HBox([plain, steered]),
            ipywidgets.HBox([controls[name] for name in ("prompt", "word", "seed")]),
            ipywidgets.HBox([method]),
            ipywidgets.HBox([controls[name] for name in ("toward", "away")]),
            ipywidgets.HBox([controls[name] for name in ("strength", "gain", "loss")]),
            ipywidgets.HBox([save, status]),
        ]
    )


def save_parameters(parameters: Mapping[str, Any], folder: Path) -> Path:
    """Write parameters to a new file, numbered after those that are there.

    Parameters
    ----------
    parameters : mapping of str to object
    folder : Path

    Returns
    -------
    Path
        ``steering-1.yaml``, or with the next number.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    text = yaml.safe_dump(dict(parameters), sort_keys=False, allow_unicode=True)
    number = 1
    while (path := folder / f"steering-{number}.yaml").exists():
        number += 1
    with storing(path), path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def _chapter_parameters(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords of a call as parameters of the chapter, and the steps in any case.

    Raises
    ------
    ParameterError
        If the chapter has no parameter for one.
    """
    unknown = sorted(set(call) - set(PARAMETERS) - NO_MATTER)
    if unknown:
        raise ParameterError(
            f"the chapter on steering has no parameter for {', '.join(unknown)}, so that a rerun "
            "would draw other images"
        )
    default = inspect.signature(pipe.__call__).parameters["num_inference_steps"].default
    given = {"num_inference_steps": default, **call}
    return {name: given[keyword] for keyword, name in PARAMETERS.items() if keyword in given}
