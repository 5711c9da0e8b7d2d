import pytest
import torch
from torch import nn

from hrvlab.miniature.muon import groups_of, muon_step, orthogonal
from hrvlab.miniature.optimizer import BETAS, WEIGHT_DECAY, Optimizer, is_matrix


class Loss(nn.Module):
    """A convolution within (Muon), a bias and an output (AdamW), and a frozen weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Conv2d(4, 8, 3)
        self.conv_out = nn.Linear(8, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x):
        return self.frozen(self.conv_out(self.inner(x).mean((2, 3)))).square().mean()


def optimizer(model, rate=1e-3, muon_rate=0.01, ema_decay=0.9):
    return Optimizer(
        model, rate=rate, muon_rate=muon_rate, ema_decay=ema_decay, device=torch.device("cpu")
    )


BATCHES = [[torch.randn(5, 4, 6, 6, generator=torch.Generator().manual_seed(i))] for i in range(4)]


def weights_of(trained):
    return {name: view.clone() for name, view in trained._views(trained.weights).items()}


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 31)])
def test_orthogonal_matrices_have_orthonormal_rows(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    made = orthogonal(matrices)
    identity = torch.eye(shape[1]).expand(shape[0], -1, -1)
    torch.testing.assert_close(made @ made.mT, identity, atol=0.25, rtol=0)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    torch.testing.assert_close(made, u @ v, atol=0.15, rtol=0)


def test_a_step_of_muon_has_the_rate_as_its_spectral_norm_and_follows_the_momentum():
    shapes = [torch.Size((6, 3)), torch.Size((3, 2, 3, 1)), torch.Size((3, 6))]
    groups = groups_of(shapes)
    assert groups == [[0, 1, 2]]
    generator = torch.Generator().manual_seed(0)
    weights = [torch.zeros(shape) for shape in shapes]
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]
    muon_step(weights, gradients, [torch.zeros(s) for s in shapes], groups, torch.tensor(0.1))
    for weight, gradient in zip(weights, gradients, strict=True):
        moved = weight.flatten(1)
        norm = torch.linalg.matrix_norm(moved, 2).item()
        assert norm == pytest.approx(0.1 * max(1, moved.shape[0] / moved.shape[1]) ** 0.5, rel=0.15)
        assert (moved * gradient.flatten(1)).sum() < 0


def test_matrices_within_are_trained_by_muon():
    model = Loss()
    named = dict(model.named_parameters())
    assert next(name for name, p in named.items() if is_matrix(name, p)) == "inner.weight"
    assert not is_matrix("conv_out.weight", named["conv_out.weight"])
    assert not is_matrix("token_embedding.weight", torch.zeros(3, 3))
    assert not is_matrix("inner.bias", named["inner.bias"])


def test_the_rest_is_trained_as_by_adamw():
    ours, reference = Loss(), Loss()
    trained = optimizer(ours, muon_rate=0.0)
    theirs = torch.optim.AdamW(
        [p for name, p in reference.named_parameters() if name in trained.shapes][1:],
        1e-3,
        betas=BETAS,
        weight_decay=WEIGHT_DECAY,
    )
    for number, batch in enumerate(BATCHES):
        trained.step(batch, number, 1.0, 0.0)
        reference(*batch).backward()
        nn.utils.clip_grad_norm_([p for p in reference.parameters() if p.requires_grad], 1.0)
        theirs.step()
        reference.zero_grad()
    found = weights_of(trained)
    for name, weight in reference.named_parameters():
        if name in found:
            torch.testing.assert_close(found[name], weight.detach(), rtol=1e-5, atol=1e-6)


def test_the_average_is_the_exponential_moving_average_of_the_weights():
    trained = optimizer(Loss(), ema_decay=0.5)
    average = trained.weights.clone()
    for number, batch in enumerate(BATCHES):
        trained.step(batch, number, 1.0, 0.0)
        kept = min(0.5, (number + 1) / (number + 10))
        average = kept * average + (1 - kept) * trained.weights
    torch.testing.assert_close(trained.average, average)


def test_frozen_weights_stay_and_the_model_computes_with_the_trained_ones():
    model = Loss()
    frozen = model.frozen.weight.clone()
    trained = optimizer(model)
    first, _ = trained.step(BATCHES[0], 0, 1.0, 0.0)
    assert torch.equal(model.frozen.weight, frozen)
    assert torch.equal(model.inner.weight, weights_of(trained)["inner.weight"])
    assert model(*BATCHES[0]).item() < first


def test_the_progress_of_a_step_is_returned():
    assert optimizer(Loss()).step(BATCHES[0], 0, 1.0, 0.25)[1] == 0.25
