from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.config.schema import AugmentConfig
from trainloop.data.dataset import ImageSet
from trainloop.data.pipeline import Batch, BatchPipeline, PipelineSettings, eval_batches, split_validation
from trainloop.errors import ConfigError

EVERYTHING = AugmentConfig(flip="random", translate=3, cutout=4)
SETTINGS = PipelineSettings(batch_size=16, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3), seed=7, augment=EVERYTHING)


def image_set(count: int = 50, side: int = 12) -> ImageSet:
    numbers = torch.arange(count * 3 * side * side)
    images = (numbers * 7919 % 256).to(torch.uint8).view(count, 3, side, side)
    return ImageSet(images, torch.arange(count) * 3 % 10)


def by_index(settings: PipelineSettings, epoch: int = 2) -> Tensor:
    """All images of an epoch, put back into the order of their indices."""
    batches = list(BatchPipeline(image_set(), settings).epoch(epoch))
    indices = torch.cat([batch.indices for batch in batches])
    return torch.cat([batch.x for batch in batches])[indices.argsort()]


def same(first: Batch, second: Batch) -> bool:
    pairs = ((first.x, second.x), (first.y, second.y), (first.indices, second.indices))
    return all(torch.equal(a, b) for a, b in pairs)


def test_an_epoch_shows_every_image_once_with_its_label() -> None:
    images = image_set()
    batches = list(BatchPipeline(images, SETTINGS).epoch(0))
    indices = torch.cat([batch.indices for batch in batches])
    assert torch.equal(indices.sort().values, torch.arange(50))
    assert torch.equal(torch.cat([batch.y for batch in batches]), images.labels[indices])


def test_the_last_batch_may_be_smaller() -> None:
    pipeline = BatchPipeline(image_set(), SETTINGS)
    assert [len(batch.y) for batch in pipeline.epoch(0)] == [16, 16, 16, 2]
    assert pipeline.num_batches == 4


def test_no_batch_is_added_when_the_size_divides_the_images() -> None:
    assert BatchPipeline(image_set(48), SETTINGS).num_batches == 3


def test_the_parts_of_a_batch_have_the_promised_types() -> None:
    batch = next(BatchPipeline(image_set(), SETTINGS).epoch(0))
    assert (batch.x.dtype, batch.y.dtype, batch.indices.dtype) == (torch.float32, torch.int64, torch.int64)
    assert batch.x.shape == (16, 3, 12, 12)


def test_without_augmentation_an_image_is_only_normalised() -> None:
    batch = next(BatchPipeline(image_set(), replace(SETTINGS, augment=AugmentConfig(flip="none"))).epoch(0))
    mean, std = torch.tensor(SETTINGS.mean).view(3, 1, 1), torch.tensor(SETTINGS.std).view(3, 1, 1)
    expected = (image_set().images[batch.indices] / 255 - mean) / std
    torch.testing.assert_close(batch.x, expected, rtol=1e-5, atol=1e-6)


def test_an_epoch_can_be_made_again() -> None:
    pipeline = BatchPipeline(image_set(), SETTINGS)
    first = list(pipeline.epoch(3))
    list(pipeline.epoch(1))
    assert all(map(same, first, pipeline.epoch(3)))


def test_two_epochs_differ_in_order_and_in_augmentation() -> None:
    pipeline = BatchPipeline(image_set(), SETTINGS)
    assert not torch.equal(next(pipeline.epoch(0)).indices, next(pipeline.epoch(1)).indices)
    assert not torch.equal(by_index(SETTINGS, 0), by_index(SETTINGS, 1))


def test_another_seed_gives_another_order() -> None:
    other = BatchPipeline(image_set(), replace(SETTINGS, seed=8))
    assert not torch.equal(next(other.epoch(0)).indices, next(BatchPipeline(image_set(), SETTINGS).epoch(0)).indices)


@pytest.mark.parametrize("first_batch", [0, 2, 3, 4])
def test_an_epoch_can_go_on_from_any_batch(first_batch: int) -> None:
    pipeline = BatchPipeline(image_set(), SETTINGS)
    rest = list(pipeline.epoch(5, first_batch))
    whole = list(pipeline.epoch(5))[first_batch:]
    assert len(rest) == 4 - first_batch
    assert all(map(same, rest, whole))


@pytest.mark.parametrize("batch_size", [1, 7, 50])
@pytest.mark.parametrize("changes", [{}, {"image_size": 20}, {"image_size": 8}, {"channels_last": True}])
def test_an_image_is_the_same_in_a_batch_of_any_size(batch_size: int, changes: dict[str, int]) -> None:
    settings = replace(SETTINGS, **changes)
    assert torch.equal(by_index(settings), by_index(replace(settings, batch_size=batch_size)))


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    settings = replace(SETTINGS, image_size=40, batch_size=50)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = by_index(settings)
        torch.set_num_threads(4)
        together = by_index(settings)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


def test_channels_last_changes_the_memory_format_and_no_value() -> None:
    batch = next(BatchPipeline(image_set(), replace(SETTINGS, channels_last=True)).epoch(0))
    assert batch.x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.x, next(BatchPipeline(image_set(), SETTINGS).epoch(0)).x)


def test_images_are_resized_after_they_are_augmented() -> None:
    plain = next(BatchPipeline(image_set(), SETTINGS).epoch(0)).x
    resized = next(BatchPipeline(image_set(), replace(SETTINGS, image_size=20)).epoch(0)).x
    assert torch.equal(resized, F.interpolate(plain, size=(20, 20), mode="bilinear", antialias=True))


def test_torchs_random_stream_is_not_touched() -> None:
    before = torch.get_rng_state()
    list(BatchPipeline(image_set(), SETTINGS).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_images_themselves_are_not_changed() -> None:
    images = image_set()
    list(BatchPipeline(images, SETTINGS).epoch(0))
    assert torch.equal(images.images, image_set().images)


def test_evaluation_goes_through_all_images_in_order() -> None:
    images = image_set()
    batches = list(eval_batches(images, SETTINGS, batch_size=20))
    assert [len(batch.y) for batch in batches] == [20, 20, 10]
    assert torch.equal(torch.cat([batch.indices for batch in batches]), torch.arange(50))
    assert torch.equal(torch.cat([batch.y for batch in batches]), images.labels)


def test_evaluation_does_not_augment() -> None:
    x = torch.cat([batch.x for batch in eval_batches(image_set(), SETTINGS, batch_size=20)])
    assert torch.equal(x, by_index(replace(SETTINGS, augment=AugmentConfig(flip="none"))))


def test_evaluation_resizes_too() -> None:
    batch = next(eval_batches(image_set(), replace(SETTINGS, image_size=20), batch_size=5))
    assert batch.x.shape == (5, 3, 20, 20)


def test_a_validation_split_shares_the_images_out() -> None:
    whole = image_set(100)
    train, val = split_validation(whole, 20, seed=0)
    together = torch.cat([train.images, val.images]).flatten(1).tolist()
    assert (len(train), len(val)) == (80, 20)
    assert sorted(together) == sorted(whole.images.flatten(1).tolist())


def test_a_validation_split_keeps_labels_with_their_images() -> None:
    whole = ImageSet(torch.arange(60, dtype=torch.uint8).view(60, 1, 1, 1), torch.arange(60) % 7)
    for part in split_validation(whole, 13, seed=0):
        assert torch.equal(part.images.flatten().long() % 7, part.labels)


def test_a_validation_split_takes_each_class_in_proportion() -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    _, val = split_validation(ImageSet(torch.zeros(100, 1, 1, 1, dtype=torch.uint8), labels), 22, seed=0)
    assert val.labels.bincount().tolist() == [13, 7, 2]


def test_a_validation_split_follows_its_seed() -> None:
    whole = image_set(100)
    first, again, other = (split_validation(whole, 20, seed=seed)[1].images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_validation_set_of_no_images_keeps_all_for_training() -> None:
    train, val = split_validation(image_set(), 0, seed=0)
    assert torch.equal(train.images, image_set().images)
    assert len(val) == 0


def test_a_validation_set_may_leave_one_image() -> None:
    assert [len(part) for part in split_validation(image_set(), 49, seed=0)] == [1, 49]


@pytest.mark.parametrize("val_size", [50, 5_000])
def test_a_validation_set_of_all_images_is_refused(val_size: int) -> None:
    with pytest.raises(ConfigError) as caught:
        split_validation(image_set(), val_size, seed=0)
    fault = caught.value.faults[0]
    assert fault.what == "data.val_size leaves no image to train on"
    assert fault.found == f"data.val_size {val_size:,}, 50 training images"
    assert fault.expected == "0 to 49"
