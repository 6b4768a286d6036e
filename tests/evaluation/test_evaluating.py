"""Evaluation of files, checkpoints and RUNs on images from a path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import slim2keras
from slim2keras.data.examples import Examples
from slim2keras.data.listing import list_examples
from slim2keras.errors import DataReadError, ModelReadError, UnsupportedArgumentError
from slim2keras.evaluation.evaluating import EvaluationOptions, described, evaluate_data, list_labelled
from slim2keras.evaluation.opening import classifier_of, open_classifier
from slim2keras.files.run_layout import RunLayout
from slim2keras.preprocessing import preprocess
from slim2keras.trainer.request import training_request
from tests.evaluation.classifying import CLASSES, write_classes


def write_run(
    directory: Path, model: Path, classes: tuple[str, ...] = CLASSES, data: Path = Path("images"), **options: Any
) -> Path:
    """What a training leaves that evaluation needs."""
    run = RunLayout(directory)
    directory.mkdir()
    shutil.copy(model, run.model)
    run.labels.write_text("".join(f"{number}:{name}\n" for number, name in enumerate(classes)))
    request = training_request("model.ckpt", data, directory, batch_norm="update", **options)
    run.request.write_text(json.dumps(request.to_json()))
    return directory


def test_a_folder_gives_what_its_images_give_by_hand(classifier: Any, classes_folder: Path) -> None:
    """File by file through slim's preprocessing and the model; names are paths, in the order listed."""
    found = slim2keras.evaluate(classifier, classes_folder, batch_size=4)
    files = [classes_folder / name for name in found.names]
    images = [tf.io.decode_png(path.read_bytes(), channels=1) for path in files]
    logits = np.concatenate([classifier(preprocess(image, classifier)[None]) for image in images])
    np.testing.assert_array_equal(found.scores.predicted, logits.argmax(1))
    assert [CLASSES[number] for number in found.scores.labels] == [path.parent.name for path in files]
    assert found.images == 15
    assert found.preprocessing.startswith("lenet: float32 in [-1")
    assert found.confusion.sum(1).tolist() == [5, 5, 5]


def test_all_kinds_of_data_give_the_same(classifier: Any, classifier_file: Path, classes_folder: Path) -> None:
    """A path, images that are listed, and a data set; a model and its file."""
    by_path = slim2keras.evaluate(classifier_file, classes_folder)
    listed = list_examples(classes_folder, classes=3)
    assert isinstance(listed, Examples)
    dataset = slim2keras.data.open_dataset(classes_folder, network=classifier, batch_size=4)
    for data in (listed, dataset):
        other = slim2keras.evaluate(classifier, data)
        np.testing.assert_array_equal(by_path.confusion, other.confusion)
        assert other.loss == pytest.approx(by_path.loss, rel=1e-5)
    assert other.names[-1] == "image 14"


def test_a_limit_keeps_the_share_of_each_class(classifier: Any, classes_folder: Path) -> None:
    """Images that lie class by class are not cut off after the first classes."""
    found = list_labelled(classifier_of(classifier), classes_folder, EvaluationOptions(limit=6))
    assert found.class_counts().tolist() == [2, 2, 2]
    with pytest.raises(UnsupportedArgumentError, match="limit must be 1 or greater"):
        slim2keras.evaluate(classifier, classes_folder, limit=0)


def test_of_splits_the_test_is_taken_or_else_the_validation(tmp_path: Path, classifier: Any) -> None:
    """Never the training images, unless they are asked for."""
    for split, images in {"train": 3, "validation": 2}.items():
        write_classes(tmp_path / split, images)
    subject = classifier_of(classifier)
    assert len(list_labelled(subject, tmp_path, EvaluationOptions())) == 6
    assert described(subject, tmp_path, None) == f"{tmp_path}, validation"
    assert len(list_labelled(subject, tmp_path, EvaluationOptions(split="train"))) == 9
    write_classes(tmp_path / "test", 1)
    assert len(list_labelled(subject, tmp_path, EvaluationOptions())) == 3


def test_a_run_is_its_best_model_with_its_classes(tmp_path: Path, classifier_file: Path, classifier: Any) -> None:
    """Labels go by the names of the RUN, so that data with some of the classes is enough, in any order."""
    run = write_run(tmp_path / "run", classifier_file)
    part = write_classes(tmp_path / "part", 4, ("red", "green"))
    found = slim2keras.evaluate(run, part)
    assert [(row.name, row.images) for row in found.per_class] == [("blue", 0), ("green", 4), ("red", 4)]
    assert "labels.txt" in found.numbering
    with pytest.raises(DataReadError, match=r"the network 3 classes, so it is not clear"):
        slim2keras.evaluate(classifier, write_classes(tmp_path / "one", 1, ("red",)))
    with pytest.raises(DataReadError, match=r"network has not: reds\. Did you mean red\?"):
        slim2keras.evaluate(run, write_classes(tmp_path / "other", 1, ("reds", "green")))
    short = tmp_path / "short.txt"
    short.write_text("0:a\n3:b\n")
    with pytest.raises(DataReadError, match=r"beyond the 3 classes of the network: b \(3\)"):
        slim2keras.evaluate(run, part, labels_file=short)


def test_a_run_reads_images_as_it_validated(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """The preprocessing that it was trained with is in its request, and not in the network."""
    run = write_run(tmp_path / "run", classifier_file, preprocessing_name="cifarnet", use_grayscale=True)
    assert slim2keras.evaluate(run, classes_folder, limit=3).preprocessing.startswith("cifarnet: ")
    assert open_classifier(run).reading.options.use_grayscale
    RunLayout(run).request.write_text("{}")
    with pytest.raises(ModelReadError, match="cannot be read as what was asked of a training: KeyError"):
        slim2keras.evaluate(run, classes_folder)
    RunLayout(run).model.unlink()
    with pytest.raises(ModelReadError, match="stopped before its first validation"):
        slim2keras.evaluate(run, classes_folder)


def test_images_that_a_run_was_trained_on_are_told(tmp_path: Path, classifier_file: Path, classes_folder: Path) -> None:
    """Their accuracy says little; of another split, or of other data, nothing is said."""
    run = write_run(tmp_path / "run", classifier_file, data=classes_folder)
    subject = open_classifier(run)
    assert "the run was trained on images of these" in described(subject, classes_folder, None)
    assert described(subject, tmp_path, None) == str(tmp_path)
    split = tmp_path / "split"
    for name in ("train", "validation"):
        write_classes(split / name, 1)
    subject = open_classifier(write_run(tmp_path / "other", classifier_file, data=split))
    assert described(subject, split, None) == f"{split}, validation"
    assert "was trained on" in described(subject, split, "train")


def test_numbers_in_the_data_are_the_networks(tmp_path: Path, classifier_file: Path) -> None:
    """Of an ``.npz`` without names, whatever names the RUN has."""
    run = write_run(tmp_path / "run", classifier_file)
    images = np.random.RandomState(0).randint(0, 255, (6, 28, 28, 1)).astype("uint8")
    np.savez(tmp_path / "data.npz", images=images, labels=[2, 2, 0, 0, 0, 0])
    found = slim2keras.evaluate(run, tmp_path / "data.npz")
    assert [(row.name, row.images) for row in found.per_class] == [("blue", 4), ("green", 0), ("red", 2)]
    numbered = write_run(tmp_path / "numbered", classifier_file, ("1", "2", "3"))
    found = slim2keras.evaluate(numbered, tmp_path / "data.npz")
    assert [(row.name, row.images) for row in found.per_class] == [("1", 4), ("2", 0), ("3", 2)]


def test_what_is_done_to_images_is_said_or_refused(tmp_path: Path, classifier: Any, classes_folder: Path) -> None:
    """Grey and turned images are told as such; what is preprocessed already is taken as it is, or not at all."""
    subject, grey = classifier_of(classifier), EvaluationOptions(limit=3, use_grayscale=True, exif_orientation=True)
    found = evaluate_data(subject, classes_folder, grey)
    assert "in grey" in found.preprocessing
    assert found.preprocessing.endswith("turned as EXIF says")
    images = np.random.RandomState(0).randint(0, 255, (6, 28, 28, 3)).astype("uint8")
    np.savez(tmp_path / "colours.npz", images=images, labels=[0, 1, 2, 0, 1, 2])
    assert evaluate_data(subject, tmp_path / "colours.npz", grey).images == 3
    np.savez(tmp_path / "done.npz", images=images[..., :1].astype("float32"), labels=[0, 1, 2, 0, 1, 2])
    with pytest.raises(UnsupportedArgumentError, match="leave out use_grayscale, exif_orientation"):
        evaluate_data(subject, tmp_path / "done.npz", grey)


def test_images_that_cannot_be_read_are_named(tmp_path: Path, classifier: Any) -> None:
    """An error, or a list of what was left out."""
    folder = write_classes(tmp_path / "data", 2)
    (folder / "red" / "1.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataReadError, match=r"red/1\.png cannot be read as an image"):
        slim2keras.evaluate(classifier, folder)
    found = slim2keras.evaluate(classifier, folder, skip_broken=True)
    assert (found.images, [*found.left_out]) == (5, ["red/1.png"])
    assert "left out, cannot be read: 1 image, red/1.png" in str(found)


def test_without_labels_there_is_no_accuracy(tmp_path: Path, classifier: Any, classes_folder: Path) -> None:
    """Of a flat folder, of a data set of images."""
    with pytest.raises(DataReadError, match="no labels"):
        slim2keras.evaluate(classifier, classes_folder / "red")
    with pytest.raises(DataReadError, match="no labels"):
        slim2keras.evaluate(classifier, tf.data.Dataset.from_tensors(np.zeros((2, 28, 28, 1), "float32")))


def test_an_unknown_preprocessing_is_told_the_near_ones() -> None:
    """Pipelines and networks both are names."""
    with pytest.raises(UnsupportedArgumentError, match="Did you mean"):
        EvaluationOptions(preprocessing_name="inceptoin")
    assert EvaluationOptions(preprocessing_name="resnet_v1_50").preprocessing_name == "resnet_v1_50"
