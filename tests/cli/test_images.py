"""Commands that write images: they are those of the functions, with their settings beside them."""

import json
import re
import shutil
from functools import wraps

import numpy as np
import pytest
from PIL import Image

import hrvlab as hl
from hrvlab.attention import Rescale
from hrvlab.cli.images import split_images
from hrvlab.errors import ModelError
from hrvlab.forecast import forecast_calls
from hrvlab.relevance.vectors import rank
from hrvlab.results import read_result
from tests.methods.test_steering import vectors
from tests.pipelines import tiny_sd
from tests.test_cli import run

PROMPTS = ["a red car", "a red cat in the forest"]
GIVEN = [text for prompt in PROMPTS for text in ("--prompt", prompt)]
CALL = {"num_inference_steps": 2, "progress": False}


@pytest.fixture(scope="module")
def pipe():
    return hl.load("miniature")


@pytest.fixture(scope="module")
def hrv():
    return read_result("votes").data.hrv.relevance()


@pytest.fixture
def hrvlab(monkeypatch, capsys, tmp_path):
    return lambda *arguments: run(
        monkeypatch, capsys, *arguments, "-o", tmp_path / "out", "--steps", 2, "--device", "cpu"
    )


def written(folder):
    """The settings, and the images in the order in which they list them."""
    settings = json.loads((folder / "settings.json").read_text())
    names = [name for one in settings["images"] for name in one["files"]]
    own = {"settings.json", "contact-sheet.png", "plan.json", "versions.json", "lock"}
    assert {path.name for path in folder.iterdir()} == own | set(names)
    return settings, np.stack([np.asarray(Image.open(folder / name)) for name in names])


def test_generated_images_are_those_of_generate_in_any_batches(hrvlab, tmp_path, pipe):
    given = [*GIVEN, "--seed", 5, "--images", 2, "--batch-size", 2]
    code, out, _ = hrvlab("generate", *given)
    assert code == 0
    assert out.startswith("4 images, their settings and a contact sheet: ")
    settings, images = written(tmp_path / "out")
    expected = hl.generate(pipe, PROMPTS, seed=[5, 6], batch_size=2, **CALL)
    np.testing.assert_array_equal(images, expected)
    assert settings["images"][1] == {
        "prompt": PROMPTS[1],
        "files": ["001-seed-5.png", "001-seed-6.png"],
    }
    assert settings["model"] == "miniature"
    assert settings["seed"] == [5, 6]
    used = settings["parameters"]
    assert used["batch_size"] == used["num_inference_steps"] == 2


def half_way(hrv):
    order = rank(hrv.sel(concept="Color")).values[:16]
    factors = np.ones(hrv.sizes["head_position"])
    factors[order] = -1.0
    return Rescale(factors, "red")


def test_images_are_generated_as_the_options_say(hrvlab, tmp_path, pipe):
    options = ["--guidance-scale", 2, "--scheduler", "ddim", "--height", 64, "--width", 128]
    assert hrvlab("generate", *GIVEN[:2], *options)[0] == 0
    settings, images = written(tmp_path / "out")
    ddim = hl.load("miniature", scheduler="ddim", device="cpu")
    expected = hl.generate(ddim, PROMPTS[:1], guidance_scale=2.0, height=64, width=128, **CALL)
    np.testing.assert_array_equal(images, expected)
    assert settings["scheduler"] == "DDIMScheduler"
    assert settings["guidance_scale"] == 2.0


STEERED = {
    "strengthen": (
        ["--concept", "Color", "--word", "red", "--strength", 3],
        lambda hrv: hl.strengthen(hrv, "Color", "red", strength=3.0),
    ),
    "adjust": (
        ["--toward", "Animals", "--away", "Color", "--word", "a", "--word", "red", "--clamp", 3],
        lambda hrv: hl.adjust(hrv, toward="Animals", away="Color", word=["a", "red"], clamp=3.0),
    ),
    "weaken": (
        ["--concept", "Color", "--top", 16, "--factor", -1, "--word", "red"],
        half_way,
    ),
}


@pytest.mark.parametrize("command", STEERED)
def test_steered_images_stand_beside_plain_ones(hrvlab, tmp_path, pipe, hrv, command):
    options, build = STEERED[command]
    code, _, err = hrvlab("edit", command, *GIVEN, *options)
    assert code == 0, err
    settings, images = written(tmp_path / "out")
    np.testing.assert_array_equal(images[::2], hl.generate(pipe, PROMPTS, **CALL))
    edited = hl.generate(pipe, PROMPTS, edit=build(hrv), **CALL)
    np.testing.assert_array_equal(images[1::2], edited)
    assert (images[1::2] != images[::2]).any()
    assert settings["parameters"]["edit"] == command
    assert settings["parameters"]["vectors"] == "miniature"


def test_a_word_is_replaced_by_several_in_every_prompt(hrvlab, tmp_path, pipe, hrv):
    by = ["--word", "red", "--by", "small blue", "--concept", "Color", "--blend"]
    assert hrvlab("edit", "replace", *GIVEN, *by)[0] == 0
    settings, images = written(tmp_path / "out")
    targets = ["a small blue car", "a small blue cat in the forest"]
    blend = {"hrv": hrv, "concept": "Color", "blend": ("red", "small blue")}
    np.testing.assert_array_equal(images, hl.edit(pipe, PROMPTS, targets, **blend, **CALL))
    assert settings["parameters"]["targets"] == targets


def test_prompts_are_edited_by_prompt_to_prompt(hrvlab, tmp_path, pipe):
    options = ["--source", "a red car", "--target", "a car in the forest"]
    options += ["--blend-target", "forest"]
    assert hrvlab("edit", "p2p", *options, "--images", 2)[0] == 0
    _, images = written(tmp_path / "out")
    expected = hl.edit(
        pipe, "a red car", "a car in the forest", blend=((), "forest"), seed=[0, 1], **CALL
    )
    np.testing.assert_array_equal(images, expected)


CONCEPT = ["--concept", "Color"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["strengthen", *GIVEN, *CONCEPT, "--word", "cat"], "'cat' is not a word of the prompt"),
        (["strengthen", *GIVEN, "--concept", "Hue", "--word", "red"], "no concept 'Hue'"),
        (["strengthen", *GIVEN, *CONCEPT, "--word", "red", "--strength", "nan"], "finite number"),
        (["weaken", *GIVEN, *CONCEPT, "--top", "999"], "not between 0 and"),
        (["replace", *GIVEN, "--word", "blue", "--by", "red"], "'blue' is not a word of"),
        (["replace", *GIVEN, "--word", "red", "--by", "red"], "replace, add or drop a word"),
        (["p2p", "--source", "a", "--target", "a b", "--vectors", "v"], "give --concept too"),
        (["p2p", "--source", "a", "--target", "a b", "--blend-source", "b"], "'b' is not a word"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_generated(
    hrvlab, tmp_path, monkeypatch, pipe, arguments, message
):
    calls = []
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: pipe)
    handle = pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    code, out, err = hrvlab("edit", *arguments)
    handle.remove()
    assert (code, out, calls) == (1, "", [])
    *_, line = err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_vectors_of_another_model_and_a_folder_that_exists_are_refused(
    hrvlab, tmp_path, monkeypatch
):
    hl.save_relevance(vectors(tiny_sd(seed=1)), tmp_path / "hrv.zarr")
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: tiny_sd())
    given = ["edit", "strengthen", *GIVEN[:2], *CONCEPT, "--word", "red"]
    code, _, err = hrvlab(*given, "--vectors", tmp_path / "hrv.zarr")
    assert (code, "were built from model" in err) == (1, True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    code, _, err = hrvlab(*given, "--vectors", tmp_path / "hrv.zarr")
    assert (code, "already exists, and holds something else; remove it" in err) == (1, True)


def test_images_that_were_finished_are_kept(hrvlab, tmp_path, monkeypatch, pipe):
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) > forecast_calls(pipe, CALL):
            raise ModelError("the model failed")

    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: pipe)
    handle = pipe.unet.register_forward_pre_hook(fail)
    code, _, err = hrvlab("generate", *GIVEN, "--batch-size", 1)
    handle.remove()
    assert (code, "error: the model failed" in err) == (1, True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"settings.json", "000-seed-0.png"} < names
    assert not {"contact-sheet.png", "001-seed-0.png"} & names


def test_the_same_command_goes_on_and_another_is_refused_by_name(
    hrvlab, tmp_path, monkeypatch, pipe
):
    given = ["generate", *GIVEN, "--images", 3, "--batch-size", 2]
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: pipe)
    assert hrvlab(*given)[0] == 0
    folder = tmp_path / "out"
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "001-seed-2.png").unlink()
    (folder / "contact-sheet.png").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    code, out, _ = hrvlab(*given)
    assert (code, out.split(": ")[0]) == (0, "6 images, their settings and a contact sheet")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert all((folder / name).stat().st_mtime_ns == time for name, time in times.items())
    calls = []
    handle = pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    code, out, _ = hrvlab(*given)
    assert (code, "6 images, their settings and a contact sheet there already" in out) == (0, True)
    code, _, err = hrvlab("generate", *GIVEN, "--images", 2, "--guidance-scale", 3)
    assert code == 1
    assert "holds another plan, which differs in batch_size, guidance_scale, seeds; move" in err
    replaced = ["edit", "replace", *GIVEN, "--word", "red", "--by", "blue"]
    code, _, err = hrvlab(*replaced)
    assert (code, "differs in batch_size, blend_threshold, edit, " in err) == (1, True)
    handle.remove()
    assert not calls
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_other_vectors_of_the_same_name_are_another_plan(hrvlab, tmp_path, monkeypatch):
    monkeypatch.setattr("hrvlab.models.load.load", lambda *_, **__: tiny_sd())
    given = ["edit", "strengthen", *GIVEN[:2], *CONCEPT, "--word", "red"]
    given += ["--vectors", tmp_path / "hrv.zarr"]
    hl.save_relevance(vectors(tiny_sd()), tmp_path / "hrv.zarr")
    assert hrvlab(*given)[0] == 0
    shutil.rmtree(tmp_path / "hrv.zarr")
    hl.save_relevance(vectors(tiny_sd(), seed=1), tmp_path / "hrv.zarr")
    code, _, err = hrvlab(*given)
    assert (code, "holds another plan, which differs in vectors; move" in err) == (1, True)


@pytest.mark.parametrize(
    ("prompts", "images", "together", "units"),
    [
        (3, 1, 2, [([0, 1], [5]), ([2], [5])]),
        (2, 3, 2, [([0], [5, 6]), ([0], [7]), ([1], [5, 6]), ([1], [7])]),
        (3, 2, 5, [([0, 1], [5, 6]), ([2], [5, 6])]),
    ],
)
def test_images_are_drawn_together_prompt_by_prompt(prompts, images, together, units):
    found = split_images(prompts, list(range(5, 5 + images)), together)
    assert [(list(indices), list(seeds)) for indices, seeds in found] == units


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "--images", 3],
        ["edit", "strengthen", "--word", "red", "--concept", "Color"],
        pytest.param(["edit", "replace", "--word", "red", "--by", "blue"], marks=pytest.mark.full),
    ],
)
def test_a_dry_run_forecasts_images_and_writes_none(command, tmp_path, monkeypatch, capsys, pipe):
    calls, forward = [], type(pipe.unet).forward

    @wraps(forward)  # whose parameters are looked at
    def count(*given, **more):
        calls.append(1)
        return forward(*given, **more)

    monkeypatch.setattr(type(pipe.unet), "forward", count)
    given = [*command, *GIVEN, "--steps", 10, "--batch-size", 4, "-o", tmp_path / "out"]
    code, out, _ = run(monkeypatch, capsys, *given, "--device", "cpu", "--dry-run")
    assert (code, list(tmp_path.iterdir())) == (0, [])
    found = re.search(r"forecast: .*\((\d+) denoiser calls .* (\d+) kB on disk", out)
    del calls[:]
    assert run(monkeypatch, capsys, *given, "--device", "cpu")[0] == 0
    images = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.png")) / 1e3
    for forecast, made in zip(map(int, found.groups()), (len(calls), images), strict=True):
        assert made / 1.5 < forecast < made * 1.5
