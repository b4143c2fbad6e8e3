"""Hits of single images: recorded by runs, checked when they are read."""

import json

import numpy as np
import pytest
import torch

from riemann_lne.errors import InvalidArgumentError
from riemann_lne_validation.comparison.datasets import load_images
from riemann_lne_validation.comparison.protocol import default_arm
from riemann_lne_validation.comparison.records import RunRecord
from riemann_lne_validation.comparison.training import Run, train


@pytest.fixture(scope="module")
def images():
    torch.set_num_threads(1)
    return load_images("digits", "validation", "train")


@pytest.fixture(scope="module")
def record(images):
    arm = default_arm("ste", split="validation", epochs=8, batch_size=128, angle_every=0)
    return train(arm, 0, images, {})[0]


def test_a_run_records_the_hits_that_its_accuracies_count(record, images):
    hits = record.hits
    assert len(hits.final) == len(images.held_out)
    assert hits.window == 2  # a quarter of eight epochs
    assert np.mean(hits.points("final")) == pytest.approx(100 * record.final_accuracy)
    assert np.mean(hits.points("last")) == pytest.approx(100 * record.mean_of_last(2))
    # which images, and not only how many: the network says so too
    run = Run(record.arm, 0, images)
    while not run.finished:
        run.epoch()
    run.model.eval()
    with torch.no_grad():
        right = run.model(images.normalise(images.held_out)).argmax(1) == images.held_out_labels
    assert right.int().tolist() == list(hits.final)


def test_hits_come_back_from_the_record(record):
    data = json.loads(json.dumps(record.to_dict()))
    assert RunRecord.from_dict(data) == record


def test_records_of_the_first_schema_are_still_read(record):
    data = record.to_dict()
    del data["hits"]
    data["schema"] = 1
    back = RunRecord.from_dict(data)
    assert back.hits is None
    assert back.final_accuracy == record.final_accuracy


def test_a_checkpoint_without_hits_gives_a_record_without_them(images, record):
    run = Run(record.arm, 0, images)
    for _ in range(7):
        run.epoch()
    state = run.state()
    del state["recent"]
    again = Run(record.arm, 0, images)
    again.load_state(state)
    again.epoch()
    assert again.record({}).hits is None  # one epoch of two: not half of the hits as if it were all
    assert again.record({}).final_accuracy == record.final_accuracy


def shorten(h):
    h.update(last=h["last"][:-1], final=h["final"][:-1])


# Where a record of hits can be damaged: each entry gone or of another type; characters, lengths and
# counts out of range; counts that the accuracies of the same record contradict.
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop("final"), "damaged"),
        (lambda h: h.update(last=3), "damaged"),
        (lambda h: h.update(last="?" + h["last"][1:]), "damaged"),
        (lambda h: h.update(last=h["last"][:-1]), "of the same images"),
        (lambda h: h.update(last="", final=""), "of the same images"),
        (lambda h: h.update(window=0), "1 to 35 epochs"),
        (lambda h: h.update(window="2"), "1 to 35 epochs"),
        (lambda h: h.update(window=True), "1 to 35 epochs"),
        (lambda h: h.update(last="9" + h["last"][1:]), "image 0 has 9 hits"),
        (lambda h: h.update(final="2" + h["final"][1:]), "image 0"),
        (lambda h: h.update(final="0" * len(h["final"]), last="1" * len(h["last"])), "say"),
        (shorten, "the accuracies say"),
        (lambda h: h.update(window=3), "the accuracies say"),
    ],
)
def test_damaged_hits_are_refused(record, change, message):
    data = json.loads(json.dumps(record.to_dict()))
    change(data["hits"])
    with pytest.raises(InvalidArgumentError, match=message):
        RunRecord.from_dict(data)


def test_a_diverged_run_has_no_hits(images):
    arm = default_arm("ste", split="validation", epochs=4, learning_rate=1e30, angle_every=0)
    record, _ = train(arm, 0, images, {})
    assert record.diverged
    assert record.hits is None
