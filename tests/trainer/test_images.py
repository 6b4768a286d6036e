"""Which images are trained on, and which validate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slim2keras.data.examples import Examples
from slim2keras.errors import DataReadError
from slim2keras.trainer.images import TrainingImages, choose_classes, limited, list_images
from slim2keras.trainer.request import TrainingRequest, training_request
from tests.trainer.runs import CLASSES, write_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "plain", images=10)
    write_images(folder / "split" / "train", images=4)
    write_images(folder / "split" / "validation", images=2, seed=1)
    write_images(folder / "elsewhere", images=3, seed=2)
    return folder


def request(data: Path, **options: Any) -> TrainingRequest:
    return training_request("checkpoint", data, "run", batch_norm="update", **options)


def shares(examples: Examples) -> list[int]:
    return examples.class_counts().tolist()


class TestSplits:
    def test_a_part_is_kept_back_where_there_are_none(self, folder: Path) -> None:
        """Of each class alike, and no image is in both."""
        found = list_images(request(folder / "plain", validation_split=0.3), 3)
        assert (shares(found.training), shares(found.validation)) == ([7, 7, 7], [3, 3, 3])
        assert not {*found.training.names} & {*found.validation.names}
        assert "30% of each class" in found.origin

    def test_those_that_are_there_are_taken(self, folder: Path) -> None:
        """And told."""
        found = list_images(request(folder / "split"), 3)
        assert (shares(found.training), shares(found.validation)) == ([4, 4, 4], [2, 2, 2])
        assert "'validation'" in found.origin

    def test_one_that_is_not_there_is_refused(self, folder: Path) -> None:
        """Where there are none at all too: nobody who asks for one means all images."""
        with pytest.raises(DataReadError, match="has no split 'test'"):
            list_images(request(folder / "plain", split="test"), 3)

    def test_validation_images_may_lie_elsewhere(self, folder: Path) -> None:
        """Then all of the others are trained on."""
        found = list_images(request(folder / "plain", validation=folder / "elsewhere"), 3)
        assert (shares(found.training), shares(found.validation)) == ([10, 10, 10], [3, 3, 3])

    def test_other_classes_elsewhere_are_refused(self, folder: Path, tmp_path: Path) -> None:
        """Their numbers would mean other things."""
        write_images(tmp_path / "others", images=2)
        (tmp_path / "others" / "rose").rename(tmp_path / "others" / "poppy")
        with pytest.raises(DataReadError, match=r"other classes.*rose.*poppy"):
            list_images(request(folder / "plain", validation=tmp_path / "others"), 3)


class TestClasses:
    @pytest.mark.parametrize(("of_checkpoint", "chosen"), [(3, 3), (4, 4), (5, 3), (2, 3), (None, 3), (0, 3)])
    def test_the_checkpoints_if_they_fit(self, folder: Path, of_checkpoint: int | None, chosen: int) -> None:
        """As many, or one more for slim's background; else those of the data."""
        assert choose_classes(request(folder / "plain"), of_checkpoint) == chosen

    def test_a_background_class_has_no_images(self, folder: Path) -> None:
        """The folders are numbered from 1 then, and it weighs nothing."""
        found = list_images(request(folder / "plain"), 4)
        assert shares(found.training) == [0, 8, 8, 8]
        np.testing.assert_allclose(found.class_weights(), [0.0, 1.0, 1.0, 1.0])

    def test_weights_make_up_for_what_is_rare(self, folder: Path) -> None:
        """Every class weighs the same in all, and an image weighs 1 in the mean."""
        listed = list_images(request(folder / "plain"), 3)
        few = listed.training.subset([*range(8), *range(8, 12), *range(16, 18)])
        assert shares(few) == [8, 4, 2]
        weights = TrainingImages(few, listed.validation, "").class_weights()
        np.testing.assert_allclose(weights * [8, 4, 2], [14 / 3] * 3, rtol=1e-6)


class TestLimit:
    def test_each_class_keeps_its_share(self, folder: Path) -> None:
        """In the order listed, and the same for the same seed."""
        listed = list_images(request(folder / "plain"), 3).training
        few = limited(listed, 6, seed=1)
        assert shares(few) == [2, 2, 2]
        assert [*few.names] == sorted(few.names)
        assert [*few.names] == [*limited(listed, 6, seed=1).names]
        assert [*few.names] != [*limited(listed, 6, seed=2).names]

    def test_a_class_that_is_larger_keeps_more(self, folder: Path) -> None:
        """In proportion."""
        listed = list_images(request(folder / "plain"), 3).training
        uneven = listed.subset([*range(8), *range(8, 12)])
        assert shares(limited(uneven, 6, seed=0)) == [4, 2, 0]

    def test_it_holds_for_every_split(self, folder: Path) -> None:
        """And one that is larger than a split leaves it whole."""
        found = list_images(request(folder / "split", limit=9), 3)
        assert (len(found.training), len(found.validation)) == (9, 6)
        assert found.class_names == CLASSES
