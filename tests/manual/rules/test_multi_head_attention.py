"""Multi-head attention as modules call it: self-attention, one tensor twice, batch first, and the shortcuts of evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

FORMS = ["formula", "aten"]


def tensor(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def compare(module, inputs, form, **options):
    """Assert that each parameter's gradient is autograd's: its bits under aten, within the table otherwise."""
    theirs, ours = (outcome(module, inputs, tape, options) for tape in (None, Tape(form=form)))
    for name, reference in theirs.items():
        if form == "aten":
            assert torch.equal(ours[name], reference), name
        else:
            bound = tolerance("float32", "gradient").bound(float(reference.abs().max()))
            assert float((ours[name] - reference).abs().max()) <= bound, name


def outcome(module, inputs, tape, options):
    module.zero_grad()
    torch.manual_seed(3)
    if tape is None:
        output = first(module(*inputs, **options))
        (output * output.detach().cos()).sum().backward()
    else:
        with tape:
            output = first(module(*inputs, **options))
            total = (output * output.detach().cos()).sum()
        tape.backward(total)
    return {"output": output.detach(), **{name: param.grad for name, param in module.named_parameters()}}


def first(output):
    return output if isinstance(output, torch.Tensor) else output[0]


def attention(**options):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(8, 2, **options)
    with torch.no_grad():  # biases begin as zeros, which would hide mistakes
        for param in module.parameters():
            param.add_(0.1 * torch.randn_like(param))
    return module


X = tensor(5, 3, 8)
OTHER, THIRD = tensor(6, 3, 8), tensor(6, 3, 8) + 1
INPUTS = {"self": (X, X, X), "encoder-decoder": (X, OTHER, OTHER), "apart": (X, OTHER, THIRD)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
def test_the_ways_to_project(form, need_weights, inputs):
    compare(attention(), inputs, form, need_weights=need_weights)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"bias": False},
        {"dropout": 0.3},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"kdim": 8, "vdim": 8},
        {"batch_first": True},
    ],
    ids=str,
)
def test_options_of_the_module(form, need_weights, options):
    compare(attention(**options), (X, X, X), form, need_weights=need_weights)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"attn_mask": torch.ones(5, 5).triu(1).bool()},
        {"attn_mask": torch.ones(5, 5).triu(1).bool(), "is_causal": True},
        {"attn_mask": tensor(6, 5, 5)},
        {"key_padding_mask": torch.tensor([[False] * 4 + [True]] * 3)},
        {"attn_mask": torch.ones(5, 5).triu(1).bool(), "key_padding_mask": torch.tensor([[False] * 4 + [True]] * 3)},
    ],
    ids=["causal", "causal, said so", "per head", "padding", "both"],
)
def test_masks(form, need_weights, options):
    compare(attention(), (X, X, X), form, need_weights=need_weights, **options)


@pytest.mark.parametrize("form", FORMS)
def test_without_a_batch(form):
    alone = tensor(5, 8)
    compare(attention(), (alone, alone, alone), form)


@pytest.fixture
def no_shortcut(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a shortcut that has no derivative was taken")

    for name in ("_native_multi_head_attention", "_transformer_encoder_layer_fwd"):
        monkeypatch.setattr(torch, name, refuse)


@pytest.mark.usefixtures("no_shortcut")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_a_layer_of_a_transformer(form, train, norm_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, norm_first=norm_first, batch_first=True)
    compare(layer.train(train), (X,), form)


@pytest.mark.usefixtures("no_shortcut")
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_a_transformer(train):
    torch.manual_seed(0)
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.2, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    compare(model.train(train), (X, OTHER[:5]), "aten", tgt_mask=mask, tgt_is_causal=True)


@pytest.mark.usefixtures("no_shortcut")
def test_evaluation_inside_a_tape_takes_no_shortcut():
    module = attention(batch_first=True).eval()
    with Tape() as tape:
        module(X, X, X)
    assert tape.nodes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": tensor(5, 8)}, r"\[2, 3, 3\] dimensions, expected all 3"),
        ({"embed_dim_to_check": 6}, r"query has size 8, expected embed_dim \(=6\)"),
        ({"num_heads": 3}, r"embed_dim \(=8\) must be divisible by num_heads \(=3\)"),
        ({"value": tensor(4, 3, 8)}, r"key has shape \(5, 3, 8\), value \(4, 3, 8\)"),
        ({"in_proj_weight": None}, "in_proj_weight is None"),
        ({"use_separate_proj_weight": True}, r"q_proj_weight has shape None, expected \(8, 8\)"),
        (
            {"use_separate_proj_weight": True, "q_proj_weight": tensor(8, 8), "k_proj_weight": tensor(8, 7)},
            r"k_proj_weight has shape \(8, 7\), expected \(8, 8\)",
        ),
        ({"use_separate_proj_weight": True, "value": tensor(4, 3, 8)}, r"value \(4, 3, 8\); expected the same but"),
        ({"is_causal": True}, "is_causal=True needs an attn_mask"),
        ({"attn_mask": tensor(5, 4)}, r"attn_mask has shape \(5, 4\), expected \(5, 5\) or \(6, 5, 5\)"),
        ({"attn_mask": torch.ones(5, 5).int()}, "attn_mask has dtype torch.int32"),
        ({"key_padding_mask": tensor(2, 5)}, r"key_padding_mask has shape \(2, 5\), expected \(3, 5\)"),
        ({"key_padding_mask": tensor(3, 4)}, r"key_padding_mask has shape \(3, 4\), expected \(3, 5\)"),
        ({"bias_k": tensor(1, 1, 8)}, "found bias_k"),
        ({"static_k": tensor(6, 5, 3)}, r"static_k has shape \(6, 5, 3\), expected \(6, length, 4\)"),
    ],
    ids=str,
)
def test_what_torch_refuses_is_refused_by_name_and_value(change, message):
    module = attention()
    arguments = {
        "query": X,
        "key": X,
        "value": X,
        "embed_dim_to_check": 8,
        "num_heads": 2,
        "in_proj_weight": module.in_proj_weight,
        "in_proj_bias": module.in_proj_bias,
        "bias_k": None,
        "bias_v": None,
        "add_zero_attn": False,
        "dropout_p": 0.0,
        "out_proj_weight": module.out_proj.weight,
        "out_proj_bias": module.out_proj.bias,
        **change,
    }
    with pytest.raises((AssertionError, RuntimeError)):
        nn.functional.multi_head_attention_forward(**arguments)
    with Tape(), pytest.raises((ValueError, TypeError), match=message):
        nn.functional.multi_head_attention_forward(**arguments)


def test_masks_of_two_kinds_are_warned_of():
    module = attention()
    with Tape(), pytest.warns(UserWarning, match="attn_mask"):
        module(X, X, X, attn_mask=tensor(5, 5), key_padding_mask=torch.zeros(3, 5).bool())
