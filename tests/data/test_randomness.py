import pytest
import torch

from trainloop.data.randomness import Stream, permutation, random_bits, random_integers

MASK = (1 << 64) - 1


def reference_mix(z: int) -> int:
    """The mixing function as published, in Python's unbounded integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def reference_bits(index: int, *, seed: int, epoch: int, stream: int) -> int:
    gamma = 0x9E3779B97F4A7C15
    start = seed
    for word in (epoch, stream):
        start = (reference_mix((start + gamma) & MASK) + word) & MASK
    bits = reference_mix((reference_mix(start) + (index + 1) * gamma) & MASK)
    return bits - (1 << 64) if bits >> 63 else bits


def draw(count: int = 10_000, **changes: int) -> torch.Tensor:
    return random_bits(torch.arange(count), **{"seed": 3, "epoch": 5, "stream": 1, **changes})


def test_the_mixing_function_gives_the_published_splitmix64_outputs() -> None:
    # The first three outputs of SplitMix64 started at 1234567, as published with its reference code.
    outputs = [reference_mix((1234567 + n * 0x9E3779B97F4A7C15) & MASK) for n in (1, 2, 3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_bits_equal_the_formula_in_unbounded_integers(seed: int) -> None:
    got = random_bits(torch.tensor([0, 1, 49_999]), seed=seed, epoch=7, stream=4).tolist()
    assert got == [reference_bits(index, seed=seed, epoch=7, stream=4) for index in (0, 1, 49_999)]


@pytest.mark.parametrize("change", [{"seed": 4}, {"epoch": 6}, {"stream": 2}])
def test_another_seed_epoch_or_stream_gives_unrelated_bits(change: dict[str, int]) -> None:
    equal_bits = sum(((draw() ^ draw(**change)) >> bit & 1 == 0).double().mean().item() for bit in range(64)) / 64
    assert equal_bits == pytest.approx(0.5, abs=0.005)


def test_seed_epoch_and_stream_do_not_trade_places() -> None:
    first = random_bits(torch.arange(100), seed=1, epoch=2, stream=3)
    assert not (first == random_bits(torch.arange(100), seed=1, epoch=3, stream=2)).any()
    assert not (first == random_bits(torch.arange(100), seed=2, epoch=1, stream=3)).any()


def test_the_bits_of_an_index_do_not_depend_on_the_others() -> None:
    some = torch.tensor([[9_000, 17], [3, 17]])
    assert torch.equal(random_bits(some, seed=3, epoch=5, stream=1), draw()[some])


def test_integers_fill_the_range_evenly() -> None:
    numbers = random_integers(torch.arange(90_000), -4, 4, seed=0, epoch=0, stream=Stream.SHIFT_X)
    counts = (numbers + 4).bincount()
    assert counts.shape == (9,)
    # Four standard deviations of a binomial count.
    assert (counts - 10_000).abs().max() < 4 * (10_000 * 8 / 9) ** 0.5


def test_a_range_of_one_value_gives_that_value() -> None:
    assert (random_integers(torch.arange(50), 3, 3, seed=0, epoch=0, stream=0) == 3).all()


def test_a_permutation_holds_every_index_once() -> None:
    order = permutation(1_000, seed=1, epoch=0)
    assert torch.equal(order.sort().values, torch.arange(1_000))
    assert not torch.equal(order, torch.arange(1_000))


def test_permutations_of_two_epochs_differ() -> None:
    same = (permutation(10_000, seed=1, epoch=0) == permutation(10_000, seed=1, epoch=1)).sum()
    assert same < 10


def test_a_permutation_is_the_same_every_time() -> None:
    assert torch.equal(permutation(1_000, seed=1, epoch=3), permutation(1_000, seed=1, epoch=3))


def test_torchs_random_stream_is_not_touched() -> None:
    before = torch.get_rng_state()
    permutation(100, seed=1, epoch=0)
    random_integers(torch.arange(100), 0, 9, seed=1, epoch=0, stream=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_torchs_seed_has_no_influence() -> None:
    torch.manual_seed(1)
    first = draw()
    torch.manual_seed(2)
    assert torch.equal(first, draw())
