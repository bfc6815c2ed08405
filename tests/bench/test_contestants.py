"""Who takes part, in which layout, and what each says of itself."""

from __future__ import annotations

import torch

from trainloop.bench.contestants import ATEN, NNPACK, Contestant, contestants
from trainloop.bench.words import parse_words
from trainloop.manual.conv import CONV2D, CONV_TRANSPOSE2D

PLAIN = parse_words("n16 c8 o8 h8 k3 p1").job()
TRANSPOSED = parse_words("transpose n2 c3 o4 h5 k3").job()


def names(job, direction="forward", **options):
    found = contestants(job, direction, **{"layout": "channels_last", "names": None, **options})
    return [(one.name, one.layout) for one in found]


def test_the_built_ins_come_first_then_every_algorithm():
    algorithms = [(name, "channels_last") for name in CONV2D if name != ATEN]
    assert names(PLAIN) == [(ATEN, "channels_last"), (ATEN, "nchw"), (NNPACK, "nchw"), *algorithms]


def test_the_layout_is_that_of_the_algorithms():
    assert {layout for name, layout in names(PLAIN, layout="nchw") if name not in (ATEN, NNPACK)} == {"nchw"}


def test_nnpack_does_forwards_of_convolutions_only():
    assert (NNPACK, "nchw") not in names(PLAIN, "grad_input")
    assert (NNPACK, "nchw") not in names(TRANSPOSED)


def test_transposed_problems_have_transposed_algorithms():
    assert {name for name, _ in names(TRANSPOSED)} == set(CONV_TRANSPOSE2D)


def test_named_algorithms_and_own_kernels_stand_beside_the_built_ins():
    own = Contestant("mine", "channels_last", CONV2D["im2col"])
    found = contestants(PLAIN, "grad_input", layout="channels_last", names=["winograd"], own=[own])
    assert [one.name for one in found] == [ATEN, ATEN, "winograd", "mine"]


def nnpack():
    return next(one for one in contestants(PLAIN, "forward", layout="nchw", names=()) if one.name == NNPACK)


def test_nnpack_switches_onednn_off_and_back():
    before = torch._C._get_mkldnn_enabled()
    with nnpack().active():
        assert not torch._C._get_mkldnn_enabled()
    assert torch._C._get_mkldnn_enabled() == before


def test_nnpack_says_what_torch_would_take_instead():
    with nnpack().active():
        assert nnpack().refuses(parse_words("n16 c8 o8 h8 k3 d2").job(), "forward") == (
            "with oneDNN off torch takes columns and products of matrices for this shape"
        )


def test_an_algorithm_refuses_in_its_own_words():
    winograd = Contestant("winograd", "nchw", CONV2D["winograd"])
    assert winograd.refuses(parse_words("n2 c3 o4 h5 k1").job(), "forward") == "the kernel must be 3×3, found 1×1"


def test_what_the_library_needs_and_multiplies_is_told_where_it_is_known():
    aten, winograd = (
        Contestant(ATEN, "nchw", CONV2D[ATEN], builtin=True),
        Contestant("winograd", "nchw", CONV2D["winograd"]),
    )
    assert aten.workspace_mib(PLAIN, "forward") is None
    assert aten.multiplications(PLAIN, "forward") == PLAIN.direct_multiplications
    assert nnpack().multiplications(PLAIN, "forward") is None
    assert winograd.workspace_mib(PLAIN, "forward") == CONV2D["winograd"].workspace(PLAIN, "forward") / 2**20
    assert winograd.multiplications(PLAIN, "forward") < PLAIN.direct_multiplications
