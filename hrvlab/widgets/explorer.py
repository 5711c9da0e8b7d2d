"""The head atlas in JupyterLab, VS Code and Colab: one explorer, with a kernel behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
import xarray as xr
import yaml

from hrvlab.atlas.arrays import LARGE, encode_array, image_address, replace_arrays
from hrvlab.atlas.data import explorer_data
from hrvlab.atlas.pages import MODULE, as_element, built
from hrvlab.atlas.turning import Turn
from hrvlab.attention.edits import CONTENT
from hrvlab.errors import HrvlabError, ParameterError
from hrvlab.generation import Batch, as_uint8, check_edits, run_batch
from hrvlab.keywords import check_call
from hrvlab.paths import user_path
from hrvlab.relevance.model import check_model
from hrvlab.storage.atomic import storing
from hrvlab.widgets.latest import Latest, Stale

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.atlas.changes import Changed
    from hrvlab.atlas.data import AtlasData
    from hrvlab.atlas.panel import Panel
    from hrvlab.typing import Images

PREVIEW_STEPS = 4
STEPS = "num_inference_steps"
NO_PIPELINE = "there is no pipeline to generate with; give hl.explore(…, pipe=pipe)"


class Explorer(anywidget.AnyWidget):
    """The explorer of a head atlas, as a widget.

    Parameters
    ----------
    data : AtlasData
    pipe : diffusers.DiffusionPipeline, optional
        Generates images in which heads are turned down.
    call : mapping of str to object, optional
        Keywords of the pipeline's own call.
    folder : str or Path
        Where "save as parameters" writes.
    """

    _esm = built(MODULE)
    place = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        data: AtlasData,
        pipe: DiffusionPipeline | None = None,
        call: Mapping[str, Any] | None = None,
        folder: str | Path = ".",
    ) -> None:
        super().__init__()
        self.data = data
        self._pipe, self._call, self._folder = pipe, dict(call or {}), folder
        self._plain: dict[tuple[int, int], Images] = {}
        self._latest = Latest(self._generate)
        self.on_msg(self._receive)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Show the widget, or the atlas without a kernel where widgets are dead: in the book."""
        shown = super()._repr_mimebundle_(**kwargs)
        bundle, metadata = shown if isinstance(shown, tuple) else (shown or {}, {})
        bundle = {**bundle, "text/html": as_element(self.data), "text/plain": str(self)}
        return bundle, metadata

    def __str__(self) -> str:
        """Say what is shown, in a line."""
        heads, concepts = sum(self.data.first["layers"]["heads"]), len(self.data.first["concepts"])
        return f"head atlas of {self.data.first['model']}: {heads} heads, {concepts} concepts"

    def _receive(self, _: object, content: Mapping[str, Any], __: object) -> None:
        """Answer a message of the page: a record, an image, or the end of one."""
        if "cancel" in content:
            self._latest.cancel()
        elif "load" in content:
            self._answer(content["id"], lambda: {"record": self._record(str(content["load"]))})
        elif content.get("run", {}).get("save"):
            self._answer(content["id"], lambda: {"said": self._save(content["run"])})
        elif "run" in content:
            self._latest.submit(content)

    def _answer(self, number: int, make: Callable[[], dict[str, Any]]) -> None:
        try:
            made = make()
        except HrvlabError as error:
            made = {"error": str(error)}
        self.send({"id": number, **made})

    def _record(self, name: str) -> Any:
        first = {**self.data.first, "records": "kernel", "live": self._pipe is not None}
        record = first if name == "first" else self.data.record(name)
        return replace_arrays(record, encode_array)

    def _turn(self, request: Mapping[str, Any]) -> Turn:
        """Read a turn from what the page asks for."""
        words = request["words"]
        start, stop = request["window"]
        return Turn(
            tuple(request["heads"]),
            float(request["factor"]),
            CONTENT if words == CONTENT else tuple(words),
            (int(start), None if stop is None else int(stop)),
        )

    def _generate(self, content: Mapping[str, Any], check: Callable[[], None]) -> None:
        """Generate an image with heads turned down: a preview of few steps, then the whole."""
        request, number = content["run"], content["id"]
        try:
            if self._pipe is None:
                raise ParameterError(NO_PIPELINE)
            steps = self._call.get(STEPS)
            previews = [PREVIEW_STEPS] if steps is not None and steps > 2 * PREVIEW_STEPS else []
            for own, preview in [(few, True) for few in previews] + [(steps, False)]:
                before = self._image(request, None, own, check)
                image = self._image(request, self._turn(request), own, check)
                addresses = {
                    "before": image_address(before[0], LARGE),
                    "image": image_address(image[0], LARGE),
                }
                self.send({"id": number, "preview": preview, **addresses})
        except Stale:
            raise
        except Exception as error:  # a background thread has nowhere else to report it
            self.send({"id": number, "error": str(error)})

    def _image(
        self,
        request: Mapping[str, Any],
        turn: Turn | None,
        steps: int | None,
        check: Callable[[], None],
    ) -> Images:
        """Generate the image of a prompt of the panel; untouched ones are kept."""
        assert self._pipe is not None
        index = int(request["prompt"])
        key = (index, steps or 0)
        if turn is None and key in self._plain:
            return self._plain[key]
        prompt = self.data.first["prompts"][index]
        call = {**self._call, **({STEPS: steps} if steps else {})}

        def each_step(_: object, __: int, ___: object, kwargs: dict[str, Any]) -> dict[str, Any]:
            check()
            return kwargs

        edits = []
        if turn is not None:
            window = turn.window
            whole = self._call.get(STEPS)
            if steps and whole and steps < whole:  # a preview: the same part of fewer steps
                start = window[0] * steps // whole
                stop = None if window[1] is None else max(start + 1, window[1] * steps // whole)
                turn = Turn(turn.heads, turn.factor, turn.words, (start, stop))
            edits = [turn.edit(self.data.heads)]
            check_edits(self._pipe, edits, [prompt["text"]], call)
        own = check_call(
            self._pipe, {**call, "callback_on_step_end": each_step}, prompts=1, images=1
        )
        batch = Batch((prompt["text"],), (index,), (int(prompt["seed"] or 0),))
        made = as_uint8(run_batch(self._pipe, batch, *edits, output_type="np", **own).images)
        if turn is None:
            self._plain[key] = made
        return made

    def _save(self, request: Mapping[str, Any]) -> str:
        """Write a turn as a parameter of the chapter on the atlas, and say how to run it."""
        prompt = self.data.first["prompts"][int(request["prompt"])]
        parameters = {"turned": [str(self._turn(request))], "turned_prompt": prompt["text"]}
        path = save_parameters(parameters, user_path(self._folder))
        return f"hrvlab run atlas -f {path}"


def save_parameters(parameters: Mapping[str, Any], folder: Path) -> Path:
    """Write parameters to a new file, numbered after those that are there.

    Parameters
    ----------
    parameters : mapping of str to object
    folder : Path

    Returns
    -------
    Path
        ``turned-1.yaml``, or with the next number.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    text = yaml.safe_dump(dict(parameters), sort_keys=False, allow_unicode=True)
    number = 1
    while (path := folder / f"turned-{number}.yaml").exists():
        number += 1
    with storing(path), path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def explore(
    hrv: xr.DataArray | None = None,
    *,
    votes: xr.Dataset | None = None,
    effects: xr.Dataset | None = None,
    capture: xr.Dataset | xr.DataTree | Panel | None = None,
    changed: Changed | Sequence[Changed] = (),
    measures: Mapping[str, xr.DataArray] | None = None,
    pipe: DiffusionPipeline | None = None,
    folder: str | Path = ".",
    **call: Any,
) -> Explorer:
    """Build the explorer of a head atlas, for JupyterLab, VS Code, Colab and the book.

    Parameters
    ----------
    hrv, votes, effects, capture, changed, measures
        See `hrvlab.atlas.explorer_data`.
    pipe : diffusers.DiffusionPipeline, optional
        Turns heads down live, on prompts of the capture.
    folder : str or Path
        Where "save as parameters" writes ``turned-1.yaml``, …, for ``hrvlab run atlas -f``.
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``.

    Returns
    -------
    Explorer
        A widget. `Explorer.place` is where the visitor is, as in a page's address; it can be set.

    Raises
    ------
    ParameterError
        If neither vectors nor votes are given, something is of other heads, or a keyword is wrong.
    ModelError
        If the vectors are of another model than the pipeline.

    Examples
    --------
    >>> atlas = hl.explore(hrv)
    >>> print(atlas)
    head atlas of miniature: 128 heads, 17 concepts
    >>> atlas.place = "#/heads?concept=Color&head=up.7.7"
    """
    if pipe is None and call:
        raise ParameterError(f"{', '.join(call)} is for images, and {NO_PIPELINE}")
    data = explorer_data(
        hrv, votes=votes, effects=effects, capture=capture, changed=changed, measures=measures
    )
    if pipe is not None:
        check_call(pipe, call, prompts=1, images=1)
        if hrv is not None:
            check_model(hrv, pipe)
    return Explorer(data, pipe, call, folder)
