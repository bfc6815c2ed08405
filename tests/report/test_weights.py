"""Digest and bytes of a model's weights."""

from __future__ import annotations

import torch
from safetensors.torch import load
from torch import nn

from trainloop.report.weights import weights_bytes, weights_sha256


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_equal_models_have_equal_digests_whatever_the_memory_format():
    assert weights_sha256(make_model()) == weights_sha256(make_model().to(memory_format=torch.channels_last))


def test_the_digest_sees_one_bit_of_a_parameter_a_buffer_and_the_sign_of_zero():
    digests = {weights_sha256(make_model())}
    for change in (flip_last_bit, count_a_batch, negative_zero, positive_zero):
        model = make_model()
        change(model)
        digests.add(weights_sha256(model))
    assert len(digests) == 5


def flip_last_bit(model):
    model[0].weight.data.view(torch.int32).view(-1)[5] ^= 1


def count_a_batch(model):
    model[1].num_batches_tracked += 1


def negative_zero(model):
    model[1].bias.data.fill_(-0.0)
    model[1].weight.data.fill_(2.0)


def positive_zero(model):
    model[1].bias.data.fill_(0.0)
    model[1].weight.data.fill_(2.0)


def test_the_digest_sees_names_types_and_shapes():
    one, two = nn.Linear(2, 2, bias=False), nn.Linear(4, 1, bias=False)
    for model in (one, two):
        model.weight.data.fill_(1.0)
    assert weights_sha256(one) != weights_sha256(two)
    assert weights_sha256(one) != weights_sha256(nn.Sequential(one))


def test_bytes_hold_the_whole_state_even_of_tied_weights():
    model = make_model()
    model.add_module("again", model[0])
    state = load(weights_bytes(model))
    assert state.keys() == model.state_dict().keys()
    assert torch.equal(state["again.weight"], model[0].weight)
