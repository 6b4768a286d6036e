"""Images a second, read, decoded and augmented, ours over slim's own input pipeline; 1.0 is as fast, more is faster.

slim's is that of ``train_image_classifier.py``: its data set provider, preprocessing and batch queues, by its default
numbers of readers and threads, in a session. Both read the same TFRecords of photographs; ours read them as JPEG files
too, and a sweep of ``recalibrate`` runs against reading image by image. Rounds alternate in one process; medians count.
Needs the environment variable SLIM_SOURCE, a checkout of research/slim.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from slim2keras.data.batches import evaluation_batches, training_batches
from slim2keras.data.decoding import decode_image
from slim2keras.data.listing import list_for_network
from slim2keras.nets.spec import NetSpec
from slim2keras.preprocessing import preprocess
from slim2keras.slim.runtime import import_tf_slim
from tests.parity.cases import SLIM_SOURCE

PHOTOGRAPHS, CLASSES, BATCH, ROUNDS, BATCHES, READY_BATCHES = 512, 4, 32, 5, 12, 10
NETWORKS = {
    "inception at 224": NetSpec.make("inception_v1", (224, 224, 3), {"num_classes": CLASSES}),
    "vgg at 224": NetSpec.make("resnet_v1_50", (224, 224, 3), {"num_classes": CLASSES}),
}

Batches = Callable[[], tuple[float, float]]
"""Takes some batches, and returns images a second, and a second of the processor."""


def photograph(random: np.random.RandomState) -> bytes:
    """A JPEG of 500 x 375 pixels with as many bytes as photographs have: smooth colours under fine texture."""
    import tensorflow as tf

    coarse = tf.image.resize(random.uniform(0, 255, (6, 8, 3)), (375, 500), "bicubic").numpy()
    fine = tf.image.resize(random.normal(0, 1, (94, 125, 3)), (375, 500), "bicubic").numpy()
    pixels = coarse + 30 * fine + random.normal(0, 8, (375, 500, 1))
    return bytes(tf.io.encode_jpeg(pixels.clip(0, 255).astype("uint8"), quality=90).numpy())


def write_photographs(folder: Path) -> None:
    """The same photographs as slim's TFRecords, in ``records``, and as folders of classes, in ``files``."""
    import tensorflow as tf

    random = np.random.RandomState(0)
    (folder / "records").mkdir()
    with ExitStack() as stack:
        names = (str(folder / "records" / f"flowers_train_{shard:05d}-of-00005.tfrecord") for shard in range(5))
        writers = [stack.enter_context(tf.io.TFRecordWriter(name)) for name in names]
        for number in range(PHOTOGRAPHS):
            encoded, label = photograph(random), number % CLASSES
            path = folder / "files" / f"class_{label}" / f"{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded)
            writers[number % len(writers)].write(as_example(encoded, label))


def as_example(encoded: bytes, label: int) -> bytes:
    """What slim's ``dataset_utils.image_to_tfexample`` writes."""
    from tensorflow.train import BytesList, Example, Feature, Features, Int64List

    features = {
        "image/encoded": Feature(bytes_list=BytesList(value=[encoded])),
        "image/format": Feature(bytes_list=BytesList(value=[b"jpg"])),
        "image/class/label": Feature(int64_list=Int64List(value=[label])),
    }
    return bytes(Example(features=Features(feature=features)).SerializeToString())


class Clock:
    """Counts from now on: seconds, and those of the processor, which other processes do not stretch."""

    def __init__(self) -> None:
        self.start, self.processor_start = time.perf_counter(), time.process_time()

    def rates(self, images: int) -> tuple[float, float]:
        """Images a second, and a second of the processor."""
        return images / (time.perf_counter() - self.start), images / (time.process_time() - self.processor_start)


def timed(take: Callable[[], object]) -> tuple[float, float]:
    """Rates, after what was made ready while nobody took any."""
    for _ in range(READY_BATCHES):
        take()
    clock = Clock()
    for _ in range(BATCHES):
        take()
    return clock.rates(BATCHES * BATCH)


def ours(path: Path, network: NetSpec) -> Batches:
    batches = iter(training_batches(list_for_network(path, network), network, BATCH))
    return lambda: timed(lambda: next(batches))


@contextmanager
def slims(records: Path, network: NetSpec) -> Iterator[Batches]:
    """slim's own input pipeline on the same records."""
    slim = import_tf_slim()
    import tensorflow.compat.v1 as tf
    from datasets import flowers
    from preprocessing import preprocessing_factory

    coordinator = tf.train.Coordinator()
    with tf.Graph().as_default() as graph:
        dataset = flowers.get_split("train", str(records))
        provider = slim.dataset_data_provider.DatasetDataProvider(
            dataset, num_readers=4, common_queue_capacity=20 * BATCH, common_queue_min=10 * BATCH
        )
        image, label = provider.get(["image", "label"])
        prepare = preprocessing_factory.get_preprocessing(network.preprocessing, is_training=True)
        prepared = prepare(image, *network.image_size)
        images, labels = tf.train.batch([prepared, label], batch_size=BATCH, num_threads=4, capacity=5 * BATCH)
        queue = slim.prefetch_queue.prefetch_queue([images, slim.one_hot_encoding(labels, CLASSES)], capacity=2)
        batch = [tensor.op for tensor in queue.dequeue()]
        session = tf.Session(graph=graph)
        threads = tf.train.start_queue_runners(session, coordinator)
    yield lambda: timed(lambda: session.run(batch))
    coordinator.request_stop()
    coordinator.join(threads, stop_grace_period_secs=20, ignore_live_threads=True)
    session.close()


def sweep(path: Path, network: NetSpec) -> Batches:
    """A sweep over a folder as the doctor and ``recalibrate`` make it."""
    examples = list_for_network(path, network)

    def run() -> tuple[float, float]:
        clock = Clock()
        for _ in evaluation_batches(examples, network, BATCH, shuffle_seed=0):
            pass
        return clock.rates(len(examples))

    return run


def one_by_one(path: Path, network: NetSpec) -> Batches:
    """The same, one image after the other."""
    import tensorflow as tf

    examples = list_for_network(path, network)

    def run() -> tuple[float, float]:
        clock = Clock()
        for name in examples.names:
            preprocess(decode_image(tf.io.read_file(str(path / name)), 3), network)
        return clock.rates(len(examples))

    return run


def alternate(title: str, our: Batches, their: Batches) -> None:
    """Print the median rates of both, and their ratios, by the clock and by the processor."""
    rates = [(*our(), *their()) for _ in range(ROUNDS)]
    mine, my_work, other, other_work = (statistics.median(column) for column in zip(*rates, strict=True))
    words = f"{title}: {mine:.0f} images a second, {other:.0f}; ratio {mine / other:.2f}"
    print(f"{words}, for the work of the processor {my_work / other_work:.2f}", flush=True)


def main() -> None:
    if SLIM_SOURCE is None:
        print("Reading images is compared with slim where SLIM_SOURCE is a checkout of research/slim.")
        return
    sys.path.insert(0, str(SLIM_SOURCE))
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        write_photographs(folder)
        for name, network in NETWORKS.items():
            with slims(folder / "records", network) as theirs:
                for kind in ("records", "files"):
                    alternate(f"{name}, {kind} against slim's records", ours(folder / kind, network), theirs)
            files = folder / "files"
            alternate(f"{name}, sweep against image by image", sweep(files, network), one_by_one(files, network))


if __name__ == "__main__":
    main()
