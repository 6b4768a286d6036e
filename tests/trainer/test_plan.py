"""What a plan says before the first step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slim2keras.trainer.plan import TrainingPlan

PLAN = TrainingPlan(
    source={"path": "resnet.ckpt", "global_step": 7},
    net="resnet_v1_50 num_classes=5",
    input_shape=(224, 224, 3),
    input_shape_source="given",
    preprocessing="vgg: mean subtracted",
    augmentation="slim's vgg; shuffled anew each epoch",
    classes=tuple("abcdefgh"),
    numbering="8 folders by name",
    images={"training": 3320, "validation": 350, "origin": "split 'validation' of flowers"},
    fingerprint="0 1",
    left_out=(),
    classifier="afresh: the checkpoint has 1000 classes, the data 8",
    fresh=("resnet_v1_50/logits/weights", "resnet_v1_50/logits/biases"),
    variables={"learning": 161, "all": 267, "learning_parameters": 23_500_000, "parameters": 23_600_000},
    modes={"update": 53},
    decay=0.99,
    decay_is_auto=False,
    steps_per_epoch=104,
    total_steps=1040,
    epochs=10,
    batch_size=8,
    accumulate=4,
    schedule="fixed: 0.01",
    optimizer="sgd",
    regularization="weight decay 4e-05",
    precision="float32",
    seed=0,
    deterministic=False,
)


def test_its_page_has_a_line_for_everything_that_decides() -> None:
    """Numbers as a person reads them."""
    page = str(PLAN)
    for text in (
        "224 x 224 x 3 (given)",
        "3,320 to train, 350 to validate (split 'validation' of flowers)",
        "a, b, c, d, e, f and 2 more; 8 folders by name",
        "161 of 267 variables, 23,500,000 of 23,600,000 parameters",
        "53 layers in mode 'update'; decay 0.99: 0.0% of the old statistics will be left",
        "10 epochs of 104 steps, 1,040 in all; 32 images a step in 4 micro-batches of 8",
    ):
        assert text in page
    assert "remark" not in page


def test_statistics_move_with_each_micro_batch() -> None:
    """What will be left counts them."""
    assert PLAN.old_statistics_left == pytest.approx(0.99 ** (4 * 1040))


@pytest.mark.parametrize(
    ("changes", "remark"),
    [
        ({"decay": 0.9999}, 'take decay="auto"'),
        ({"decay": 0.9999, "decay_is_auto": True}, "(pit two): train more steps"),
        ({"modes": {"batch": 53}, "decay": None}, "53 layers in mode 'batch' do not move (pit one)"),
        ({"input_shape_source": "default"}, "--image-size"),
        ({"left_out": ("rose/1.jpg",)}, "1 image left out, which cannot be read: rose/1.jpg"),
        ({"of_graph": ("the graph beside it was taken",)}, "the graph beside it was taken"),
    ],
)
def test_what_one_should_know_is_a_remark(changes: dict, remark: str) -> None:
    """Before the first step, with what to do."""
    assert remark in " ".join(replace(PLAN, **changes).remarks())


def test_it_is_read_as_it_was_written() -> None:
    """A run that goes on has it from a file."""
    import json

    assert TrainingPlan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN
