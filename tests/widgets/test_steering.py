import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import hrvlab as hl
from hrvlab.errors import ConceptError
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.parameters import check_parameters
from hrvlab.widgets import steering_panel
from hrvlab.widgets.steering import DRAWN
from tests.experiments.test_steering import vectors


class Panel:
    """A panel on a tiny model, and what is in it."""

    def __init__(self, pipe, folder):
        box = steering_panel(
            pipe,
            vectors(pipe),
            model="a/model",
            prompt="a rose vase",
            word="rose",
            toward="Color",
            away="Plants",
            folder=folder,
            num_inference_steps=2,
            progress=False,
        )
        pictures, *rows, last = box.children
        self.plain, self.steered = pictures.children
        self.save, self.said = last.children
        self.controls = {c.description: c for row in rows for c in row.children}

    def wait(self, text=DRAWN):
        end = time.monotonic() + 60
        while text not in self.said.value:
            assert time.monotonic() < end, self.said.value
            time.sleep(0.02)

    def set(self, name, value, text=DRAWN):
        self.said.value = ""
        self.controls[name].value = value
        self.wait(text)


@pytest.fixture
def panel(tiny_pipe, tmp_path):
    made = Panel(tiny_pipe, tmp_path)
    made.wait()
    return made


def shown(picture):
    return np.asarray(Image.open(BytesIO(picture.value)))


def test_it_shows_what_generate_makes(panel, tiny_pipe):
    call = {"num_inference_steps": 2, "progress": False}
    edit = hl.strengthen(vectors(tiny_pipe), "Color", "rose")
    expected = [
        hl.generate(tiny_pipe, "a rose vase", **call)[0],
        hl.generate(tiny_pipe, "a rose vase", edit=edit, **call)[0],
    ]
    for picture, image in zip((panel.plain, panel.steered), expected, strict=True):
        side = shown(picture).shape[:2]
        large = Image.fromarray(image).resize(side, Image.Resampling.NEAREST)
        np.testing.assert_array_equal(shown(picture), np.asarray(large))


def test_no_strength_is_the_plain_picture_and_more_changes_it(panel):
    panel.set("strength", 0.0)
    assert panel.steered.value == panel.plain.value
    panel.set("strength", 3.0)
    assert panel.steered.value != panel.plain.value


def test_adjusting_has_its_own_controls(panel):
    strengthened = panel.steered.value
    panel.set("method", "adjust")
    assert panel.steered.value != strengthened
    assert panel.controls["strength"].layout.display == "none"
    assert panel.controls["gain"].layout.display is None


def test_a_word_that_is_not_there_is_said_and_the_pictures_stay(panel):
    before = panel.steered.value
    panel.set("word", "zebra", text="zebra")
    assert panel.steered.value == before
    panel.set("word", "vase")
    assert panel.steered.value != before


def test_what_is_saved_are_parameters(panel, tmp_path):
    panel.set("seed", 3)
    panel.save.click()
    saved = yaml.safe_load((tmp_path / "steering.yaml").read_text())
    assert saved == {
        "model": "a/model",
        "prompt": "a rose vase",
        "word": "rose",
        "toward": "Color",
        "away": "Plants",
        "strength": 1.0,
        "gain": 2.0,
        "loss": 1.0,
        "seed": 3,
    }
    assert "hrvlab run steering -f" in panel.said.value
    chapter = find_chapter(Path(__file__).parents[2], "steering")
    assert saved.items() <= check_parameters(chapter.parameters, saved, "steering").items()


def test_a_concept_that_is_not_there_is_refused_at_once(tiny_pipe):
    texts = {
        "model": "a/model",
        "prompt": "a rose",
        "word": "rose",
        "toward": "Hue",
        "away": "Plants",
    }
    with pytest.raises(ConceptError, match="no concept 'Hue'"):
        steering_panel(tiny_pipe, vectors(tiny_pipe), **texts)


def test_what_goes_wrong_in_the_pipeline_is_said(tiny_pipe, panel):
    hook = tiny_pipe.unet.register_forward_pre_hook(lambda *_: 1 / 0)
    panel.set("seed", 5, text="division by zero")
    hook.remove()
    panel.set("seed", 6)
