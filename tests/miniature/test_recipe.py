import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer
from typer.testing import CliRunner

import hrvlab as hl
from hrvlab.cli import app
from hrvlab.errors import StoreError
from hrvlab.miniature import rendering
from hrvlab.miniature.assembly import loss_curve, training_hours
from hrvlab.miniature.checkpoints import averaged_weights, checkpoint_path
from hrvlab.miniature.clip import clip_stage
from hrvlab.miniature.recipe import SHIPPED, SMOKE, STAGES, run_stages, start_from
from hrvlab.miniature.tokens import kept_tokenizer
from hrvlab.miniature.training import Budget
from hrvlab.models.known_words import read_known_words
from hrvlab.paths import data_path

ROOT = Path(__file__).parents[2]


def test_the_stages_run_end_to_end_and_their_pipeline_loads(tmp_path):
    command = [sys.executable, "-m", "hrvlab", "model", "train", "--smoke", "--folder"]
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    check_resuming(tmp_path)
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
    assert sum(sizes) < 45e6
    assert "elephant" in read_known_words(tmp_path / "pipeline")


def check_resuming(folder):
    """Finished stages are left alone, and a lost one is trained again to the same weights."""
    done = checkpoint_path(folder, "autoencoder").read_bytes()
    lost = averaged_weights(folder, "denoiser")
    checkpoint_path(folder, "denoiser").unlink()
    run_stages(["autoencoder", "denoiser"], folder, folder / "pipeline", SMOKE)
    assert checkpoint_path(folder, "autoencoder").read_bytes() == done
    again = averaged_weights(folder, "denoiser")
    assert all(torch.equal(again[name], weight) for name, weight in lost.items())


@pytest.mark.full
@pytest.mark.font
def test_the_joint_model_is_trained_and_saved_after_the_miniature(tmp_path):
    for stages in ([], ["joint"], ["assemble-joint"]):
        command = [sys.executable, "-m", "hrvlab", "model", "train", *stages, "--smoke"]
        subprocess.run([*command, "--folder", str(tmp_path)], check=True, capture_output=True)
    joint = tmp_path / "pipeline-joint"
    assert json.loads((joint / "training.json").read_text())["losses"]["joint"]["step"] == [2]
    models = [tmp_path / "pipeline", joint]
    sizes = [path.stat().st_size for model in models for path in model.rglob("*.safetensors")]
    assert sum(sizes) < 45e6


def test_without_the_font_no_stage_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "FONT", tmp_path / "none.ttf")
    with pytest.raises(StoreError, match="fonts-noto-color-emoji"):
        run_stages(list(STAGES), tmp_path / "work", tmp_path / "target", SHIPPED)
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


@pytest.mark.font
def test_a_training_can_start_from_an_assembled_miniature(tmp_path):
    start_from(data_path("miniature"), tmp_path)
    tokenizer = kept_tokenizer(tmp_path)
    stage = clip_stage(tmp_path, side=64, images=250, budget=Budget(1))
    shipped = CLIPModel.from_pretrained(data_path("miniature", "clip")).eval()
    before = CLIPTokenizer.from_pretrained(data_path("miniature", "clip"))
    assert len(tokenizer) >= len(before)
    ids = tokenizer("a red cat made of wood", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        ours = stage.model.clip.eval().text_model(ids).last_hidden_state
        theirs = shipped.text_model(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs)


def test_a_training_keeps_what_it_started_from(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        start_from(tmp_path / name, tmp_path / "work")
    assert (tmp_path / "work" / "start" / "file").read_text() == "one"


def test_a_folder_that_was_not_assembled_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["model", "train", "--from", str(tmp_path)])
    assert isinstance(result.exception, StoreError)
    assert "training.json" in str(result.exception)
