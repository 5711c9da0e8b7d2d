import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hrvlab.errors import StoreError
from hrvlab.miniature.training import WARMUP, Stage, _schedule, averaged_weights, train


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weights = nn.Linear(3, 1)

    def forward(self, x):
        return (self.weights(x) + torch.randn(len(x), 1) - x.sum(1, keepdim=True)).square().mean()


class Killed(Exception):
    pass


def stage(steps, die_at=None):
    count = 0

    def loss(model, rng):
        nonlocal count
        count += 1
        if die_at is not None and count > die_at:
            raise Killed
        return model(torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32)))

    def preview(model, path):
        path.write_text("seen")

    return Stage("line", Line(), loss, steps, 1e-2, 0.9, preview)


def same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("die_at", [1, 7, 19])
def test_a_killed_and_resumed_training_ends_in_the_same_weights(tmp_path, die_at):
    train(stage(20), tmp_path / "whole")
    with pytest.raises(Killed):
        train(stage(20, die_at), tmp_path / "killed", save_every_s=0)
    train(stage(20), tmp_path / "killed")
    same(*(averaged_weights(tmp_path / name, "line") for name in ("whole", "killed")))


def test_the_loss_curve_ends_with_the_last_step(tmp_path):
    train(stage(60), tmp_path)
    logged = [json.loads(line)["step"] for line in (tmp_path / "line.jsonl").open()]
    assert logged == [50, 60]


def test_the_averaged_weights_are_the_exponential_moving_average(tmp_path):
    history = []

    def watched(steps):
        plain = stage(steps)

        def loss(model, rng):
            history.append(model.weights.weight.detach().clone())
            return plain.loss(model, rng)

        return replace(plain, loss=loss)

    last = watched(30)
    train(last, tmp_path)
    # The first update starts the average; every later one moves it by a tenth.
    after_each_step = [*history[1:], last.model.weights.weight.detach()]
    expected = after_each_step[0]
    for weight in after_each_step[1:]:
        expected = 0.9 * expected + 0.1 * weight
    kept = averaged_weights(tmp_path, "line")["weights.weight"]
    torch.testing.assert_close(kept, expected)


def test_another_seed_ends_in_different_weights(tmp_path):
    weights = []
    for seed in (0, 1):
        train(stage(5), tmp_path / str(seed), seed=seed)
        weights.append(averaged_weights(tmp_path / str(seed), "line")["weights.weight"])
    assert not torch.equal(*weights)


def test_training_lowers_the_loss_and_logs_it(tmp_path):
    train(stage(400), tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "line.jsonl").open()]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert [p.name for p in (tmp_path / "line-samples").iterdir()] == ["000400.png"]


def test_a_finished_stage_is_left_alone(tmp_path):
    train(stage(5), tmp_path)
    train(stage(5, die_at=0), tmp_path)


def test_the_learning_rate_warms_up_holds_and_falls_to_zero():
    rates = [_schedule(step, 10_000) for step in range(10_000)]
    assert rates[0] == pytest.approx(1 / WARMUP)
    assert set(rates[WARMUP:7500]) == {1.0}
    assert rates[-1] == pytest.approx(1 / 2500)
    assert (np.diff(rates[7500:]) < 0).all()


def test_a_stage_that_was_not_trained_is_named(tmp_path):
    with pytest.raises(StoreError, match="train the stage 'clip' first"):
        averaged_weights(tmp_path, "clip")
