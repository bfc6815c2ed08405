from __future__ import annotations

import hashlib
import json
from importlib import resources

import numpy as np
import pytest

from trainloop.data import embedded
from trainloop.data.cifar10 import ImageArrays
from trainloop.data.embedded import make


@pytest.fixture(scope="module")
def synthetic() -> ImageArrays:
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (200, 3, 32, 32), dtype=np.uint8)
    return ImageArrays(images, np.tile(np.arange(10, dtype=np.uint8), 20))


def digest_of(arrays: ImageArrays, index: int) -> bytes:
    return hashlib.sha256(bytes([arrays.labels[index]]) + arrays.images[index].tobytes()).digest()


def test_draw_takes_the_smallest_digests_of_each_class(synthetic):
    drawn = make.draw(synthetic, 5).tolist()
    for label in range(10):
        members = [index for index in range(200) if synthetic.labels[index] == label]
        expected = sorted(members, key=lambda index: digest_of(synthetic, index))[:5]
        assert drawn[label::10] == expected


def test_draw_prefers_the_earlier_of_equal_images(synthetic):
    twins = ImageArrays(synthetic.images[np.zeros(20, int)], np.repeat(np.arange(10, dtype=np.uint8), 2))
    assert make.draw(twins, 1).tolist() == list(range(0, 20, 2))


def test_draw_does_not_depend_on_the_order_of_the_images(synthetic):
    shuffle = np.random.default_rng(4).permutation(200)
    shuffled = ImageArrays(synthetic.images[shuffle], synthetic.labels[shuffle])
    assert shuffle[make.draw(shuffled, 5)].tolist() == make.draw(synthetic, 5).tolist()


def test_the_packaged_images_stand_in_the_order_of_the_rule():
    arrays = embedded.load()["train"]
    digests = [digest_of(arrays, index) for index in range(0, 2000, 10)]
    assert digests == sorted(digests)


def test_the_packaged_index_is_what_the_script_writes():
    written = (resources.files(embedded) / "index.json").read_text(encoding="utf-8")
    index = json.loads(written)
    arrays = embedded.load()
    indices = {split: np.array(index[split]["indices"]) for split in ("train", "test")}
    assert make.index_text(indices, arrays) == written


def test_the_packaged_indices_are_within_the_official_sets():
    index = json.loads((resources.files(embedded) / "index.json").read_text(encoding="utf-8"))
    for split, count in (("train", 50_000), ("test", 10_000)):
        indices = index[split]["indices"]
        assert len(set(indices)) == len(indices)
        assert min(indices) >= 0
        assert max(indices) < count


def test_encode_sheet_gives_the_same_bytes_each_time(synthetic):
    assert make.encode_sheet(synthetic.images) == make.encode_sheet(synthetic.images)


def test_main_without_the_full_set_says_how_to_get_it(tmp_path, capsys):
    assert make.main(["--from", str(tmp_path / "nowhere"), "--to", str(tmp_path)]) == 3
    assert "`trainloop data fetch`" in capsys.readouterr().out
