"""Data sets, splits, augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from riemann_lne.errors import InvalidArgumentError, StorageError, UnknownNameError
from riemann_lne_validation.comparison import datasets
from riemann_lne_validation.comparison.augmentation import augment, batches, plan_epoch
from riemann_lne_validation.comparison.datasets import load_images, stratified


@pytest.fixture
def small(monkeypatch):
    """The layouts of CIFAR with 200 records a file in place of 10,000 or 50,000."""
    load_images.cache_clear()
    for name, layout in datasets.LAYOUTS.items():
        short = replace(layout, records=200 * (1 if name == "cifar10" else 5), test_records=200)
        monkeypatch.setitem(datasets.LAYOUTS, name, short)
    yield
    load_images.cache_clear()


def write(folder, name="cifar10"):
    """Files of the layout; the first pixel bytes of an image tell which one it is."""
    layout = datasets.LAYOUTS[name]
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    number = 0
    files = [(f, layout.records) for f in layout.train] + [(layout.test, layout.test_records)]
    for file, records in files:
        table = rng.integers(0, 256, size=(records, layout.record), dtype=np.uint8)
        for i, limit in enumerate(layout.label_limits):
            table[:, i] = (np.arange(records) * 7 + i) % limit
        first = len(layout.label_limits)
        for row in table:
            row[first : first + 2] = divmod(number, 256)
            number += 1
        table.tofile(folder / file)
    return folder


def numbers(images):
    return (images[:, 0, 0, 0].int() * 256 + images[:, 0, 0, 1].int()).tolist()


class TestDigits:
    def test_the_split_is_fixed_stratified_and_disjoint(self):
        load_images.cache_clear()
        train = load_images("digits", "validation", "train")
        both = load_images("digits", "test", "train+validation")
        assert (len(train.train), len(train.held_out)) == (1150, 288)
        assert (len(both.train), len(both.held_out)) == (1438, 359)
        rows = [t.flatten(1) for t in (train.train, train.held_out, both.held_out)]
        assert torch.unique(torch.cat(rows), dim=0).shape[0] == 1797
        merged = torch.cat([train.train, train.held_out]).flatten(1).sort(0).values
        assert torch.equal(merged, both.train.flatten(1).sort(0).values)
        shares = both.held_out_labels.bincount() / both.train_labels.bincount()
        assert float((shares - 359 / 1438).abs().max()) < 0.005  # whole numbers of about 180
        load_images.cache_clear()
        assert torch.equal(load_images("digits", "validation", "train").train, train.train)

    def test_training_without_the_validation_images(self):
        images = load_images("digits", "test", "train")
        assert (len(images.train), len(images.held_out)) == (1150, 359)

    def test_inputs_are_from_minus_one_to_one(self):
        images = load_images("digits")
        x = images.normalise(images.train)
        assert (float(x.min()), float(x.max())) == (-1.0, 1.0)


class TestStratified:
    def test_shares_are_exact_where_they_can_be(self):
        labels = np.repeat([0, 1, 2], [100, 50, 50])
        found = stratified(labels, 40, np.random.default_rng(0))
        assert np.bincount(labels[found]).tolist() == [20, 10, 10]
        assert len(np.unique(found)) == 40

    @pytest.mark.parametrize("count", [1, 7, 99])
    def test_the_number_is_what_was_asked(self, count):
        labels = np.random.default_rng(1).integers(0, 7, 100)
        assert len(stratified(labels, count, np.random.default_rng(0))) == count


class TestCifar:
    @pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
    def test_images_and_labels_come_as_written(self, small, tmp_path, name, classes):
        write(tmp_path, name)
        images = load_images(name, folder=tmp_path)
        assert images.train.shape == (1000, 3, 32, 32)
        assert images.train.dtype == torch.uint8
        assert numbers(images.train) == list(range(1000))
        assert numbers(images.held_out) == list(range(1000, 1200))
        step = np.arange(1000) % datasets.LAYOUTS[name].records * 7
        last = len(datasets.LAYOUTS[name].label_limits) - 1
        assert images.train_labels.tolist() == ((step + last) % classes).tolist()
        assert images.classes == classes
        x = images.normalise(images.train)
        # float32 sums over a million pixels
        assert torch.allclose(x.double().mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5)
        assert torch.allclose(x.double().std((0, 2, 3)), torch.ones(3).double(), atol=1e-5)

    def test_the_archive_s_own_folder_is_found(self, small, tmp_path):
        write(tmp_path / "cifar-10-batches-bin")
        assert len(load_images("cifar10", folder=tmp_path).train) == 1000

    def test_a_subset_is_the_same_for_validation_and_test(self, small, tmp_path):
        write(tmp_path)
        test = load_images("cifar10", "test", "train+validation", 300, tmp_path)
        tuning = load_images("cifar10", "validation", "train", 300, tmp_path)
        part = numbers(tuning.train) + numbers(tuning.held_out)
        assert (len(test.train), len(test.held_out)) == (300, 200)
        assert (len(tuning.train), len(tuning.held_out)) == (270, 30)
        assert sorted(part) == numbers(test.train)
        assert torch.equal(test.train_labels.bincount(), torch.full((10,), 30))

    def test_no_folder(self):
        with pytest.raises(InvalidArgumentError, match=r"name it with --data"):
            load_images("cifar10")

    def test_a_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(StorageError, match=r"no folder .* put the files .*data_batch_1.bin"):
            load_images("cifar10", folder=tmp_path / "nothing")

    def test_a_missing_file_is_named(self, small, tmp_path):
        (write(tmp_path) / "data_batch_3.bin").unlink()
        with pytest.raises(StorageError, match=r"lacks data_batch_3.bin: put"):
            load_images("cifar10", folder=tmp_path)

    def test_the_pickled_version_is_refused(self, tmp_path):
        for i in range(1, 6):
            (tmp_path / f"data_batch_{i}").write_bytes(b"\x80\x02")
        with pytest.raises(StorageError, match="pickled Python version"):
            load_images("cifar10", folder=tmp_path)

    @pytest.mark.parametrize(("change", "word"), [(-1, "truncated"), (3073, "of another layout")])
    def test_sizes_are_checked_to_the_byte(self, small, tmp_path, change, word):
        path = write(tmp_path) / "test_batch.bin"
        content = path.read_bytes()
        path.write_bytes(content[:change] if change < 0 else content + bytes(change))
        with pytest.raises(InvalidArgumentError, match=rf"test_batch.bin has .* it is {word}"):
            load_images("cifar10", folder=tmp_path)

    def test_the_real_sizes_are_those_of_the_published_files(self):
        ten, hundred = datasets.LAYOUTS["cifar10"], datasets.LAYOUTS["cifar100"]
        assert (ten.records * ten.record, ten.test_records * ten.record) == (30730000, 30730000)
        sizes = hundred.records * hundred.record, hundred.test_records * hundred.record
        assert sizes == (153700000, 30740000)

    def test_labels_that_there_are_not(self, small, tmp_path):
        path = write(tmp_path) / "data_batch_2.bin"
        table = np.fromfile(path, np.uint8).reshape(200, -1)
        table[17, 0] = 10
        table.tofile(path)
        with pytest.raises(InvalidArgumentError, match=r"label 10 in byte 0 of record 17"):
            load_images("cifar10", folder=tmp_path)

    @pytest.mark.parametrize("subset", [1001, 39])
    def test_a_subset_that_cannot_be(self, small, tmp_path, subset):
        write(tmp_path)
        with pytest.raises(InvalidArgumentError, match="subset must be from 40 to 1000"):
            load_images("cifar10", subset=subset, folder=tmp_path)

    def test_an_unknown_data_set(self):
        with pytest.raises(UnknownNameError, match="cifar10, cifar100, digits"):
            load_images("mnist")


class TestAugmentation:
    def test_against_a_loop_over_pixels(self):
        rng = np.random.default_rng(2)
        images = torch.from_numpy(rng.integers(0, 256, (6, 3, 5, 7), dtype=np.uint8))
        crops, mirrored = torch.from_numpy(rng.integers(0, 9, (6, 2))), torch.arange(6) % 2 == 0
        found = augment(images, crops, mirrored)
        for n in range(6):
            for i in range(5):
                for j in range(7):
                    column = 6 - j if mirrored[n] else j
                    row, column = i + int(crops[n, 0]) - 4, column + int(crops[n, 1]) - 4
                    inside = 0 <= row < 5 and 0 <= column < 7
                    expected = images[n, :, row, column] if inside else torch.zeros(3).byte()
                    assert torch.equal(found[n, :, i, j], expected)

    def test_a_plan_depends_on_seed_and_epoch_only(self):
        one, same = plan_epoch(50, 3, 4, "standard"), plan_epoch(50, 3, 4, "standard")
        for name in ("order", "crops", "mirrored"):
            assert np.array_equal(getattr(one, name), getattr(same, name))
        others = [plan_epoch(50, 3, 5), plan_epoch(50, 4, 4), plan_epoch(50, 4, 3)]
        assert all(not np.array_equal(one.order, other.order) for other in others)
        assert np.array_equal(one.order, plan_epoch(50, 3, 4).order)

    def test_crops_and_mirrors_take_every_value(self):
        plan = plan_epoch(5000, 0, 1, "standard")
        assert np.unique(plan.crops).tolist() == list(range(9))
        # 5 standard deviations of a fraction of 5000
        assert abs(plan.mirrored.mean() - 0.5) < 5 * 0.5 / 5000**0.5

    @pytest.mark.parametrize("augmentation", ["none", "standard"])
    def test_every_image_once_with_its_label(self, augmentation):
        images = load_images("digits")
        plan = plan_epoch(len(images.train), 0, 1, augmentation)
        parts = list(batches(images, plan, 64))
        assert [len(y) for _, y in parts] == [64] * 22 + [30]
        labels = torch.cat([y for _, y in parts])
        assert torch.equal(labels, images.train_labels[torch.from_numpy(plan.order)])
        if augmentation == "none":
            inputs = torch.cat([x for x, _ in parts])
            assert torch.equal(inputs, images.normalise(images.train)[plan.order])

    def test_a_last_batch_of_one_image_is_left_out(self):
        images = load_images("digits")
        sizes = [len(y) for _, y in batches(images, plan_epoch(1438, 0, 1), 479)]
        assert sizes == [479, 479, 479]

    @pytest.mark.parametrize("augmentation", ["none", "standard"])
    def test_batches_of_one_image(self, augmentation):
        images = load_images("digits")
        plan = plan_epoch(len(images.train), 0, 1, augmentation)
        labels = [y for _, y in batches(images, plan, 1)]
        assert [len(y) for y in labels] == [1] * len(images.train)
        assert torch.equal(torch.cat(labels), images.train_labels[torch.from_numpy(plan.order)])
