import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hrvlab.errors import StoreError
from hrvlab.miniature.checkpoints import averaged_weights
from hrvlab.miniature.training import DECAY, WARMUP, Budget, Stage, _schedule, train


class Net(nn.Module):
    def __init__(self, width=5):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(3, width)
        self.heads = nn.Linear(width, 1)

    def forward(self, x):
        noise = torch.randn(len(x), 1)
        return (self.heads(self.inner(x).relu()) + noise - x.sum(1, keepdim=True)).square().mean()


class Killed(Exception):
    pass


def stage(steps, die_at=None, width=5):
    count = 0

    def sample(rng, progress):
        nonlocal count
        count += 1
        if die_at is not None and count > die_at:
            raise Killed
        return [torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32))]

    def preview(weights, path):
        path.write_text(" ".join(weights))

    return Stage("net", Net(width), sample, Budget(steps), 1e-2, 1e-2, 0.9, preview)


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("die_at", [1, 7, 19])
def test_a_killed_and_resumed_training_ends_in_the_same_weights(tmp_path, die_at):
    train(stage(20), tmp_path / "whole")
    with pytest.raises(Killed):
        train(stage(20, die_at), tmp_path / "killed", save_every_s=0)
    train(stage(20), tmp_path / "killed")
    same(*(averaged_weights(tmp_path / name, "net") for name in ("whole", "killed")))


def test_a_training_killed_between_checkpoints_repeats_the_steps_since(tmp_path):
    train(stage(20), tmp_path / "whole")
    with pytest.raises(Killed):
        train(stage(20, 5), tmp_path / "killed", save_every_s=0)
    with pytest.raises(Killed):
        train(stage(20, 9), tmp_path / "killed", save_every_s=1e9)
    train(stage(20), tmp_path / "killed")
    same(*(averaged_weights(tmp_path / name, "net") for name in ("whole", "killed")))


def test_a_checkpoint_that_was_being_written_does_no_harm(tmp_path):
    with pytest.raises(Killed):
        train(stage(20, 5), tmp_path, save_every_s=0)
    (tmp_path / "net.partial").write_bytes(b"half a checkpoint")
    train(stage(20), tmp_path)
    assert not (tmp_path / "net.partial").exists()


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    train(stage(2), tmp_path)
    with pytest.raises(StoreError, match="of another model"):
        train(stage(4, width=6), tmp_path)


def test_a_longer_budget_continues_a_training_whose_rate_has_not_fallen_yet(tmp_path):
    train(stage(40), tmp_path / "whole")
    with pytest.raises(Killed):
        train(stage(20, die_at=5), tmp_path / "longer", save_every_s=0)
    train(stage(40), tmp_path / "longer")
    same(*(averaged_weights(tmp_path / name, "net") for name in ("whole", "longer")))


def test_a_budget_of_seconds_ends_the_training(tmp_path):
    train(replace(stage(1), budget=Budget(seconds=0.3)), tmp_path)
    (last,) = [json.loads(line) for line in (tmp_path / "net.jsonl").open()][-1:]
    assert last["step"] > 1
    train(replace(stage(1, die_at=0), budget=Budget(seconds=0.3)), tmp_path)


def test_the_budget_that_ends_first_counts():
    assert Budget(steps=10, seconds=100).progress(5, 75) == 0.75
    assert Budget(steps=8, seconds=100).progress(7, 75) == 0.875
    assert Budget(seconds=100).progress(9, 25) == 0.25


def test_the_loss_curve_ends_with_the_last_step(tmp_path):
    train(stage(60), tmp_path)
    logged = [json.loads(line)["step"] for line in (tmp_path / "net.jsonl").open()]
    assert logged == [50, 60]


def test_another_seed_ends_in_different_weights(tmp_path):
    weights = []
    for seed in (0, 1):
        train(stage(5), tmp_path / str(seed), seed=seed)
        weights.append(averaged_weights(tmp_path / str(seed), "net")["inner.weight"])
    assert not torch.equal(*weights)


def test_training_lowers_the_loss_and_previews_the_averaged_weights(tmp_path):
    train(stage(400), tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "net.jsonl").open()]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert [p.name for p in (tmp_path / "net-samples").iterdir()] == ["000400.png"]


def test_a_finished_stage_is_left_alone(tmp_path):
    train(stage(5), tmp_path)
    train(stage(5, die_at=0), tmp_path)


def test_the_learning_rate_warms_up_holds_and_falls_to_zero():
    rates = [_schedule(step, step / 10_000) for step in range(10_000)]
    assert rates[0] == pytest.approx(1 / WARMUP)
    falling = round(10_000 * (1 - DECAY))
    assert set(rates[WARMUP:falling]) == {1.0}
    assert rates[-1] == pytest.approx(1 / (10_000 * DECAY))
    assert (np.diff(rates[falling + 1 :]) < 0).all()


def test_a_stage_that_was_not_trained_is_named(tmp_path):
    with pytest.raises(StoreError, match="train the stage 'clip' first"):
        averaged_weights(tmp_path, "clip")
