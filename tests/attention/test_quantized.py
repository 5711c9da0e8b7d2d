"""Projections whose weights are stored in few bits are read as the layer itself computes."""

import numpy as np
import pytest
import torch
from torch import nn

import hrvlab as hl
from hrvlab.errors import ModelError
from hrvlab.models.load import fingerprint
from tests.pipelines import tiny_lora, tiny_sd

CALL = {"num_inference_steps": 2, "progress": False}


class Int8Linear(nn.Module):
    """A linear layer with weights of 8 bits, and a scale for each output."""

    def __init__(self, linear):
        super().__init__()
        self.scale = linear.weight.abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("weight", (linear.weight / self.scale).round().to(torch.int8))

    def forward(self, states):
        return states @ (self.weight.to(states) * self.scale).T


class PackedLinear(Int8Linear):
    """The same, whose weights are no tensor, as those of PyTorch's own quantized layers."""

    def __init__(self, linear):
        super().__init__(linear)
        self.register_buffer("packed", self.weight)
        del self.weight
        self.weight = lambda: self.packed

    def forward(self, states):
        return states @ (self.packed.to(states) * self.scale).T


def projections(unet):
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            yield module


def int8(pipe):
    for module in projections(pipe.unet):
        module.to_k = Int8Linear(module.to_k)


def rounded_to_int8(pipe):
    for module in projections(pipe.unet):
        linear = Int8Linear(module.to_k)
        module.to_k.weight.data = linear.weight * linear.scale


def float8(pipe):
    pipe.unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)


def rounded_to_float8(pipe):
    float8(pipe)
    weights = {name: value.float() for name, value in pipe.unet.state_dict().items()}
    pipe.unet = tiny_sd().unet
    pipe.unet.load_state_dict(weights)


def torchao(pipe):
    quantization = pytest.importorskip("torchao.quantization")
    wanted = [module.to_k for module in projections(pipe.unet)]
    quantization.quantize_(
        pipe.unet,
        quantization.Int8WeightOnlyConfig(),
        filter_fn=lambda module, _: any(module is one for one in wanted),
    )


def quanto(pipe):
    library = pytest.importorskip("optimum.quanto")
    library.quantize(pipe.unet, weights=library.qint8, include="*attn2.to_k")
    library.freeze(pipe.unet)


def rounded_by(quantize):
    def rounded(pipe):
        quantize(pipe)
        for module in projections(pipe.unet):
            values = module.to_k.weight.dequantize().detach()
            module.to_k = nn.Linear(values.shape[1], values.shape[0], bias=False)
            module.to_k.weight.data = values

    return rounded


@pytest.mark.parametrize(
    ("quantize", "rounded"),
    [
        (int8, rounded_to_int8),
        (float8, rounded_to_float8),
        (torchao, rounded_by(torchao)),
        (quanto, rounded_by(quanto)),
    ],
)
def test_votes_are_those_of_the_same_weights_in_full_precision(quantize, rounded, concepts):
    pipe, plain = tiny_sd(), tiny_sd()
    quantize(pipe)
    rounded(plain)
    votes = [hl.collect_votes(one, concepts, "a red car", **CALL) for one in (pipe, plain)]
    np.testing.assert_array_equal(*(one["votes_by_prompt"] for one in votes))
    assert fingerprint(pipe) != fingerprint(tiny_sd())


def test_a_lora_on_quantized_weights_is_read_too(concepts):
    pipe = tiny_lora()
    for module in projections(pipe.unet):
        module.to_k.base_layer = Int8Linear(module.to_k.base_layer)
    assert hl.collect_votes(pipe, concepts, "a red car", **CALL)["votes_by_prompt"].sum() > 0


def test_weights_that_cannot_be_read_are_refused_by_the_name_of_their_layer(concepts):
    pipe = tiny_sd()
    for module in projections(pipe.unet):
        module.to_k = PackedLinear(module.to_k)
    with pytest.raises(ModelError, match="a projection of keys is a PackedLinear, whose weights"):
        hl.collect_votes(pipe, concepts, "a red car", **CALL)
