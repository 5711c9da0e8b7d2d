"""``hrvlab results --model``: the studies on a model of the user's own, and pages of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hrvlab.cli.clusters import connected
from hrvlab.cli.options import check_steps, prompts_from, say
from hrvlab.cli.run import make_page
from hrvlab.errors import ParameterError, StoreError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.yaml_texts import load_yaml
from hrvlab.models.locate import locate_model
from hrvlab.options import split_scale
from hrvlab.paths import MINIATURE, data_path, user_path

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.study import Study
    from hrvlab.options import GenerationOptions, LoadOptions

SHIPPED = (MINIATURE, "published", "imagenet")  # names of inputs that are no paths
PUBLISHED_CLIP = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


@dataclass(frozen=True)
class Own:
    """What the command is asked for.

    Parameters
    ----------
    asked : sequence of str
        Names of studies; none: all that can run.
    model : str
    given : mapping of str to object
        Values of the other options, by name.
    loading : LoadOptions
    generating : GenerationOptions
    """

    asked: Sequence[str]
    model: str
    given: Mapping[str, Any]
    loading: LoadOptions
    generating: GenerationOptions

    @property
    def output(self) -> Path:
        """The folder of results and pages.

        Raises
        ------
        ParameterError
            If there is none, or it lies in that of the shipped results.
        """
        output = self.given["output"]
        if output is None:
            raise ParameterError("a model of your own needs --output, a folder for its results")
        if output.resolve().is_relative_to(data_path().resolve()):
            raise ParameterError(f"{output} holds shipped data; choose another --output")
        return output.absolute()

    @property
    def work(self) -> Path:
        """The folder of finished units."""
        return (self.given["work"] or self.output / "work").absolute()

    @property
    def clip(self) -> str:
        """The CLIP that scores.

        Raises
        ------
        ParameterError
            If none is given for another model than the miniature.
        """
        clip = self.given["clip"] or (MINIATURE if self.model == MINIATURE else None)
        if clip is None:
            raise ParameterError(
                "the miniature's judge and CLIP know no other images; give --clip with a folder or "
                f"a hub id, such as {PUBLISHED_CLIP}, of which the published scores are"
            )
        return absolute(clip)

    @property
    def common(self) -> dict[str, Any]:
        """What all studies' settings have in common, besides evaluator and cluster.

        Raises
        ------
        ParameterError, ConceptError
            If concepts or prompts cannot be used.
        """
        texts = {}
        for name in ("concepts", "prompts"):
            given = self.given[name]
            if given is None and self.model != MINIATURE:
                raise ParameterError(f"give --{name}: a file, or a shipped set")
            texts[name] = absolute(given or MINIATURE)
        ConceptSet.read(texts["concepts"])
        prompts_from(None, texts["prompts"], self.given["column"])
        return {**texts, "column": self.given["column"], **vars(self.generating)}

    @property
    def changes(self) -> dict[str, Any]:
        """Parameters of studies, by name.

        Raises
        ------
        ParameterError
            If one is not of the form name=value, or its value cannot be read.
        """
        pairs = [text.partition("=") for text in self.given["parameter"] or ()]
        if wrong := ["".join(pair) for pair in pairs if not pair[1]]:
            raise ParameterError(f"cannot read the parameter {wrong[0]!r}; write name=value")
        try:
            return {name.strip(): load_yaml(value) for name, _, value in pairs}
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ParameterError(f"cannot read the value of a parameter: {reason}") from error


def make_own_results(own: Own, dry_run: bool) -> None:
    """Run studies on a model of the user's own, and make their pages."""
    output, clip, common, changes = own.output, own.clip, own.common, own.changes
    locate_model(own.model)
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.models.load import load
    from hrvlab.results.own import fit_inputs, fit_model, own_studies
    from hrvlab.results.own_settings import check_changes, find_cases, own_setting
    from hrvlab.results.registry import find_study
    from hrvlab.scorers.clip import clip_score

    names = own_studies(own.asked)
    check_changes(changes)
    cases = find_cases(common["concepts"], own.given["cases"])
    settings = {name: own_setting(find_study(name), common, cases, changes) for name in names}
    fit = fit_inputs(names, own.asked, settings)
    with connected(own.given["cluster"]) as client:
        loading = replace(own.loading, device="cpu") if client else own.loading
        pipe = load(own.model, **vars(loading))
        check_steps(pipe, own.generating.steps)
        score = clip_score(clip, device=pipe.device)
        for name, setting in settings.items():
            settings[name] = replace(setting, evaluators=lambda: {"CLIP": score}, client=client)
        fit = fit_model(pipe, fit, own.asked, settings)
        for note in fit.notes:
            say(note)
        if dry_run:
            _forecast(fit.studies, pipe)
            return
        _make(fit.studies, pipe, output, own.work)
    _make_pages(own, fit.studies, output, clip)


def _forecast(studies: Mapping[str, Study], pipe: DiffusionPipeline) -> None:
    """Tell what each study takes."""
    from hrvlab.results.own_forecast import rehearse_study

    for name, study in studies.items():
        say(f"{name}: {rehearse_study(pipe, study)}")


def _make(studies: Mapping[str, Study], pipe: DiffusionPipeline, output: Path, work: Path) -> None:
    """Make the results of studies."""
    from hrvlab.models.load import fingerprint
    from hrvlab.results.make import make_result, read_result
    from hrvlab.storage.atomic import check_writable

    results = output / "results"
    check_writable(results)
    there = [name for name in studies if (results / name).exists()]
    for name in there:
        if read_result(name, results).data.attrs["model_fingerprint"] != fingerprint(pipe):
            raise StoreError(
                f"{results / name} is the result of another model; choose another --output"
            )
    for name, study in studies.items():
        done = "replaced" if name in there else "made"
        say(f"{done}: {make_result(study, pipe, work, results, threads=None)}")


def _make_pages(own: Own, studies: Mapping[str, Study], output: Path, clip: str) -> None:
    """Make the pages of the chapters, which are in a checkout."""
    from hrvlab.publish.chapters import find_checkout
    from hrvlab.publish.own_pages import OwnBook, plan_own_pages

    try:
        root = find_checkout()
    except StoreError as error:
        say(f"no pages: {error}")
        return
    loading = {**vars(own.loading), "lora": [_absolute_lora(one) for one in _loras(own.loading)]}
    config = loading["config"]
    values = {
        **loading,
        "dtype": str(loading["dtype"]),
        "config": absolute(str(config)) if config else None,
        "model": absolute(own.model),
        "clip": clip,
    }
    name = re.sub(r"[^\w-]+", "-", output.name).strip("-") or "own"
    book = OwnBook(output, output / "results", own.work, studies, name, values)
    pages, left_out = plan_own_pages(root, book)
    for note in [] if own.asked else left_out:
        say(note)
    for page in pages:
        say(make_page(page))
    say(f"to render the book: hrvlab book --output {output}")


def absolute(source: str) -> str:
    """Return an input as it is named wherever it is read: files and folders by whole paths."""
    path = user_path(source)
    return str(path.absolute()) if source not in SHIPPED and path.exists() else source


def _loras(loading: LoadOptions) -> list[str]:
    return [loading.lora] if isinstance(loading.lora, str) else list(loading.lora or ())


def _absolute_lora(lora: str) -> str:
    source, scale = split_scale(lora)
    return f"{absolute(source)}:{scale}"
