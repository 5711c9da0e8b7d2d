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
from hrvlab.widgets.steering import FINISHED
from tests.methods.test_steering import vectors


class Panel:
    """A panel on a tiny model, and its parts."""

    def __init__(self, pipe, folder, **options):
        call = {"num_inference_steps": 2, **options}
        box = steering_panel(
            pipe,
            vectors(pipe),
            model="a/model",
            prompt="a rose vase",
            word="rose",
            toward="Color",
            away="Plants",
            folder=folder,
            progress=False,
            **{name: value for name, value in call.items() if value is not None},
        )
        images, *rows, last = box.children
        self.plain, self.steered = images.children
        self.save, self.status = last.children
        self.controls = {c.description: c for row in rows for c in row.children}

    def wait(self, text=FINISHED):
        end = time.monotonic() + 60
        while text not in self.status.value:
            assert time.monotonic() < end, self.status.value
            time.sleep(0.02)

    def set(self, name, value, text=FINISHED):
        self.status.value = ""
        self.controls[name].value = value
        self.wait(text)


@pytest.fixture
def panel(tiny_pipe, tmp_path):
    made = Panel(tiny_pipe, tmp_path)
    made.wait()
    return made


def shown(image):
    return np.asarray(Image.open(BytesIO(image.value)))


def test_the_panel_shows_the_images_that_generate_returns(panel, tiny_pipe):
    call = {"num_inference_steps": 2, "progress": False}
    edit = hl.strengthen(vectors(tiny_pipe), "Color", "rose")
    expected = [
        hl.generate(tiny_pipe, "a rose vase", **call)[0],
        hl.generate(tiny_pipe, "a rose vase", edit=edit, **call)[0],
    ]
    for widget, image in zip((panel.plain, panel.steered), expected, strict=True):
        side = shown(widget).shape[:2]
        large = Image.fromarray(image).resize(side, Image.Resampling.NEAREST)
        np.testing.assert_array_equal(shown(widget), np.asarray(large))


def test_strength_0_leaves_the_plain_image_and_more_changes_it(panel):
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


def test_a_missing_word_is_reported_and_the_images_stay(panel):
    before = panel.steered.value
    panel.set("word", "zebra", text="zebra")
    assert panel.steered.value == before
    panel.set("word", "vase")
    assert panel.steered.value != before


def test_saving_writes_parameters_that_the_chapter_takes(panel, tmp_path):
    panel.set("seed", 3)
    panel.save.click()
    saved = yaml.safe_load((tmp_path / "steering-1.yaml").read_text())
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
        "steps": 2,
    }
    assert "hrvlab run steering -f" in panel.status.value
    chapter = find_chapter(Path(__file__).parents[2], "steering")
    assert saved.items() <= check_parameters(chapter.parameters, saved, "steering").items()


def test_every_setting_that_is_saved_is_kept(panel, tmp_path):
    for strength in (0.5, 2.5):
        panel.controls["strength"].value = strength
        panel.save.click()
        assert "hrvlab run steering -f" in panel.status.value
    saved = [yaml.safe_load(path.read_text())["strength"] for path in sorted(tmp_path.iterdir())]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "steering-1.yaml",
        "steering-2.yaml",
    ]
    assert saved == [0.5, 2.5]


def test_what_the_chapter_cannot_draw_again_is_not_saved(tiny_pipe, tmp_path):
    made = Panel(tiny_pipe, tmp_path, guidance_rescale=0.7)
    made.wait()
    made.save.click()
    assert (
        "not saved: the chapter on steering has no parameter for guidance_rescale"
        in made.status.value
    )
    assert not list(tmp_path.iterdir())


def test_steps_and_parameters_of_the_vectors_are_saved_in_any_case(tiny_pipe, tmp_path):
    others = {"concepts": "published", "prompts": "café.txt", "count": 8}
    made = Panel(tiny_pipe, tmp_path, others=others, num_inference_steps=None)
    made.save.click()
    text = (tmp_path / "steering-1.yaml").read_text(encoding="utf-8")
    assert "café.txt" in text
    assert {**others, "steps": 50}.items() <= yaml.safe_load(text).items()


def test_a_folder_that_cannot_be_written_is_reported(tiny_pipe, tmp_path):
    made = Panel(tiny_pipe, tmp_path / "missing")
    made.wait()
    made.save.click()
    assert "not saved: cannot write" in made.status.value


def test_an_unknown_concept_is_refused_at_once(tiny_pipe):
    texts = {
        "model": "a/model",
        "prompt": "a rose",
        "word": "rose",
        "toward": "Hue",
        "away": "Plants",
    }
    with pytest.raises(ConceptError, match="no concept 'Hue'"):
        steering_panel(tiny_pipe, vectors(tiny_pipe), **texts)


def test_errors_of_the_pipeline_are_reported(tiny_pipe, panel):
    hook = tiny_pipe.unet.register_forward_pre_hook(lambda *_: 1 / 0)
    panel.set("seed", 5, text="division by zero")
    hook.remove()
    panel.set("seed", 6)
