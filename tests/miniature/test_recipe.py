import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel

import hrvlab as hl
from hrvlab.errors import StoreError
from hrvlab.miniature import rendering
from hrvlab.miniature.assembly import (
    loss_curve,
    trained_clip,
    trained_unet,
    training_hours,
    unpack,
)
from hrvlab.miniature.lessons import LESSONS
from hrvlab.miniature.recipe import SHIPPED, SMOKE, STAGES, run_stages, train_clip
from hrvlab.miniature.tokens import TOKENIZER
from hrvlab.miniature.training import averaged_weights, checkpoint_path
from hrvlab.paths import data_path

ROOT = Path(__file__).parents[2]


def test_the_stages_run_end_to_end_and_their_pipeline_loads(tmp_path):
    command = [sys.executable, "-m", "hrvlab", "model", "train", "--smoke", "--folder"]
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    check_lessons_resume(tmp_path)
    pipe = hl.load(tmp_path / "pipeline")
    image = hl.generate(pipe, "a red car", num_inference_steps=2)
    assert image.shape == (1, 64, 64, 3)
    quality = json.loads((tmp_path / "pipeline" / "quality.json").read_text())
    rows = [*quality["rates"], *quality["rates_of_answers"]]
    assert all(row["low"] <= row["correct"] / row["of"] <= row["high"] for row in rows)
    for whole in (row for row in quality["rates"] if row["images"] == "generated"):
        parts = [
            row
            for row in quality["rates_of_answers"]
            if row["evaluator"] == whole["evaluator"]
            and row["question"].startswith(f"{whole['question']}: ")
        ]
        assert sum(row["correct"] for row in parts) == whole["correct"]
        assert sum(row["of"] for row in parts) == whole["of"]
    commit = json.loads((tmp_path / "pipeline" / "training.json").read_text())["commit"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    assert (commit or "").removesuffix("-dirty") == head.stdout.strip()
    sizes = [path.stat().st_size for path in (tmp_path / "pipeline").rglob("*.safetensors")]
    assert sum(sizes) < 60e6


def check_lessons_resume(folder):
    """Finished lessons are left alone, and a lost one is trained again to the same weights."""
    *_, before, last = LESSONS
    done = checkpoint_path(folder, before).read_bytes()
    lost = averaged_weights(folder, last)
    checkpoint_path(folder, last).unlink()
    run_stages([before, last], folder, folder / "pipeline", SMOKE)
    assert checkpoint_path(folder, before).read_bytes() == done
    again = averaged_weights(folder, last)
    assert all(torch.equal(again[name], weight) for name, weight in lost.items())


def test_without_the_font_no_stage_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "FONT", tmp_path / "none.ttf")
    with pytest.raises(StoreError, match="fonts-noto-color-emoji"):
        run_stages(STAGES, tmp_path / "work", tmp_path / "target", SHIPPED)
    assert not (tmp_path / "work").exists()


def test_a_stage_needs_the_earlier_stages(tmp_path):
    with pytest.raises(StoreError, match="train the stage 'clip' first"):
        run_stages(["denoiser"], tmp_path, tmp_path / "target", SHIPPED)
    assert not any(tmp_path.iterdir())


def test_a_loss_logged_again_by_a_resumed_run_counts_once(tmp_path):
    steps = [(50, 3, 90), (100, 2, 90), (100, 1, 180)]
    lines = [json.dumps({"step": s, "loss": loss, "seconds": t}) for s, loss, t in steps]
    (tmp_path / "clip.jsonl").write_text("\n".join(lines))
    assert loss_curve(tmp_path, "clip") == {"step": [50, 100], "loss": [3, 1]}
    assert training_hours(tmp_path, "clip") == 0.1


def test_an_assembled_miniature_unpacks_into_finished_stages(tmp_path):
    unpack(data_path("miniature"), tmp_path)
    shipped = data_path("miniature", "tokenizer", TOKENIZER)
    assert (tmp_path / TOKENIZER).read_bytes() == shipped.read_bytes()
    unet = trained_unet(tmp_path, "word-conditioning").state_dict()
    shipped = hl.load("miniature").unet.state_dict()
    assert all(torch.equal(unet[name], weight) for name, weight in shipped.items())
    train_clip(tmp_path, tmp_path, replace(SHIPPED, images=250))
    clip, _ = trained_clip(tmp_path)
    kept = CLIPModel.from_pretrained(data_path("miniature", "clip")).state_dict()
    assert all(torch.equal(clip.state_dict()[name], weight) for name, weight in kept.items())
    report = json.loads(data_path("miniature", "training.json").read_text())
    assert loss_curve(tmp_path, "judge") == report["losses"]["judge"]
    assert training_hours(tmp_path, "judge") == report["hours"]["judge"]


def test_a_folder_that_was_not_assembled_is_not_unpacked(tmp_path):
    with pytest.raises(StoreError, match="training.json"):
        unpack(tmp_path, tmp_path / "work")
