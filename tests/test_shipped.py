"""The shipped miniature has the properties that the book claims."""

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel

import hrvlab as hl
from hrvlab.paths import data_path
from hrvlab.scorers.judge import load_judge

FOLDER = data_path("miniature")
COLORS = ["red", "blue", "green", "yellow"]
OBJECTS = ["car", "chair", "cup", "guitar"]


@pytest.fixture(scope="module")
def pipe():
    return hl.load("miniature")


def test_it_loads_with_diffusers_alone():
    pipe = StableDiffusionPipeline.from_pretrained(FOLDER, use_safetensors=True)
    parts = (pipe.unet, pipe.vae, pipe.text_encoder)
    assert {part.dtype for part in parts} == {torch.float32}


def test_it_is_small_and_has_no_executable_files():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60e6
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}


def test_its_128_heads_are_in_16_layers(pipe):
    table = hl.head_table(pipe.unet)
    assert table.sizes["head_position"] == 128
    assert len(np.unique(table["layer"])) == 16


def test_its_text_encoder_is_that_of_its_clip(pipe):
    clip = CLIPModel.from_pretrained(FOLDER / "clip").text_model.state_dict()
    own = pipe.text_encoder.state_dict()
    assert own.keys() == clip.keys()
    assert all(torch.equal(own[name], clip[name]) for name in own)


def test_it_generates_colors_as_often_as_the_book_says(pipe):
    prompts = [f"a {color} {name}" for name in OBJECTS for color in COLORS]
    images = hl.generate(pipe, prompts, seed=1, num_inference_steps=25, batch_size=16)
    rates = json.loads((FOLDER / "quality.json").read_text())["rates"]
    claimed = {
        row["evaluator"]: row["low"]
        for row in rates
        if (row["question"], row["images"]) == ("color", "generated")
    }
    score = hl.clip_score()
    scores = np.stack([score(images, [color] * len(images)) for color in COLORS])
    right = scores.argmax(0) == np.arange(len(images)) % len(COLORS)
    assert right.mean() >= claimed["CLIP"] - 0.15
    judged = np.array(load_judge().answers(images)["color"])
    assert (judged == COLORS * len(OBJECTS)).mean() >= claimed["judge"] - 0.15


def test_the_quickstart_of_the_readme_works(pipe, tmp_path):
    ds = hl.capture(pipe, ["a red car"], num_inference_steps=4, seed=0)
    assert ds["attention"].dims == ("prompt", "timestep", "layer", "head", "token")
    assert ds["image"].shape == (1, 64, 64, 3)
    concepts = hl.ConceptSet.read(data_path("concepts", "miniature.yaml"))
    prompts = hl.read_prompts("miniature")[:8]
    votes = hl.collect_votes(
        pipe, concepts, prompts, store=tmp_path / "votes", seed=0, num_inference_steps=4
    )
    hrv = votes.hrv.relevance()
    np.testing.assert_allclose(hrv.sum("head_position"), 128)
    same = hl.relevance_from_array(hrv.values, concepts=list(concepts.names), pipe=pipe)
    np.testing.assert_array_equal(same, hrv)
    edit = hl.strengthen(hrv, "Color", word="red")
    assert hl.generate(pipe, "a red car", edit=edit, num_inference_steps=4).shape[0] == 1
    pair = hl.edit(pipe, "a red car", "a blue car", hrv=hrv, concept="Color", num_inference_steps=4)
    assert len(pair) == 2
    settings = hl.Excitation(side=1, step_size=10)
    both = hl.excite(
        pipe,
        "a cat and a frog",
        ["cat", "frog"],
        hrv=hrv,
        concept="Animals",
        preset=settings,
        num_inference_steps=4,
    )
    assert len(both.images) == 1
