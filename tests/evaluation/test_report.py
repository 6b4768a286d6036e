"""The arithmetic of an evaluation, against scikit-learn's and slim's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from slim2keras.evaluation import Evaluation
from slim2keras.evaluation.scores import Scores
from tests.evaluation.scored import evaluation, log_probabilities


@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.parametrize("classes", [2, 7, 60])
def test_accuracy_and_classes_are_those_of_scikit_learn(classes: int) -> None:
    """Confusion, recall, precision and loss, also of classes that no image is of."""
    found, labels = log_probabilities(80, classes)
    ours = evaluation(80, classes)
    predicted, numbers = found.argmax(1), np.arange(classes)
    np.testing.assert_array_equal(ours.confusion, metrics.confusion_matrix(labels, predicted, labels=numbers))
    assert ours.accuracy == metrics.accuracy_score(labels, predicted)
    probabilities = np.exp(found.astype("float64"))
    probabilities /= probabilities.sum(1, keepdims=True)
    assert ours.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=numbers), rel=1e-5)
    precision, recall, _, images = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=np.nan
    )
    for row in ours.per_class:
        assert row.images == images[row.number]
        assert row.recall == (recall[row.number] if row.images else None)
        assert row.precision == (precision[row.number] if row.predicted else None)
    if classes == 60:
        assert {None} < {row.recall for row in ours.per_class}


def test_the_five_likeliest_are_those_of_slim() -> None:
    """``tf.nn.in_top_k``, which ``Recall_5`` is: of classes that are equally likely all count."""
    import tensorflow as tf

    found, labels = log_probabilities(200, 12)
    found = np.round(found, 1)  # many are equal
    ours = Evaluation("", "", Scores.of(found, labels, 5), ["class"] * 12, [""] * 200)
    theirs = tf.math.in_top_k(labels, found, 5).numpy()
    assert ours.top_5 == theirs.mean()
    np.testing.assert_array_equal(ours.scores.classes, tf.math.top_k(found, 5).indices)
    np.testing.assert_array_equal(ours.scores.predicted, tf.argmax(found, 1))


def test_there_is_no_top_5_of_four_classes() -> None:
    """It would be 100 % whatever the network says."""
    assert evaluation(20, 4).top_5 is None
    assert evaluation(20, 4).scores.classes.shape == (20, 4)


def test_the_worst_are_wrong_and_most_confident() -> None:
    """The greatest probability first; never one that is right."""
    ours = evaluation(80, 7)
    worst = ours.worst(6)
    wrong = np.flatnonzero(~ours.is_correct)
    assert [*worst] == sorted(wrong, key=lambda place: -ours.scores.probabilities[place, 0])[:6]
    assert len(ours.worst(1000)) == 80 - ours.correct


def test_what_is_mistaken_most_comes_first() -> None:
    """With its share of the images of its class; what is right is no mistake."""
    scores = Scores(np.array([[0], [1], [1], [1], [2], [2]]), np.ones((6, 1)), np.array([0, 0, 0, 2, 2, 1]))
    ours = Evaluation("", "", scores, ["a", "b", "c"], [""] * 6)
    first, *others = ours.confused()
    assert (first.true, first.predicted, first.images, first.share) == ("a", "b", 2, pytest.approx(2 / 3))
    assert {(pair.true, pair.predicted) for pair in others} == {("b", "c"), ("c", "b")}


def test_the_page_says_it_all() -> None:
    """Names with brackets stay as they are; of many classes it lists the worst."""
    page = str(evaluation(80, 7, ["[bold]", *"bcdefg"]))
    for text in (
        "accuracy ",
        " of 80 images",
        "top 5",
        "cross entropy",
        "labels: as in labels.txt",
        "[bold]",
        "Most often mistaken",
    ):
        assert text in page
    assert "The 30 of 4" in str(evaluation(80, 50))


def test_json_has_it_all() -> None:
    """Plain values without NaN, whatever classes are missing."""
    ours = evaluation(80, 60)
    found = json.loads(json.dumps(ours.to_json(), allow_nan=False))
    assert found["images"] == 80
    assert found["accuracy"] == ours.accuracy
    assert found["top_5"] == ours.top_5
    assert np.array(found["confusion"]).sum() == 80
    assert [row["name"] for row in found["per_class"]] == [*ours.class_names]
