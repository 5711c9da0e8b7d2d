import pytest
import torch

import hrvlab as hl
from hrvlab.errors import ModelError
from hrvlab.models import load as loading
from hrvlab.models.devices import choose_device


def test_by_default_the_best_device_is_chosen():
    expected = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    assert choose_device() == expected
    assert choose_device("cpu") == torch.device("cpu")


def test_a_device_that_is_missing_is_found_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(loading.DiffusionPipeline, "from_pretrained", pytest.fail)
    with pytest.raises(ModelError, match="this machine has no 'cuda' that PyTorch .* can use"):
        hl.load("miniature", device="cuda")


def test_a_device_beyond_the_last_is_refused_with_the_numbers_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1").index == 1
    with pytest.raises(ModelError, match="there is no 'cuda:2'; .* from 0 to 1"):
        choose_device("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "npu", ""])
def test_a_device_that_pytorch_does_not_know_is_refused(device):
    with pytest.raises(ModelError, match="has no device"):
        choose_device(device)
