"""slim's trainer: ``train_image_classifier.py`` by its parts, on today's TensorFlow, from TFRecords.

``slim.learning.train`` with queue runners, ``DatasetDataProvider``, ``tf.train.batch`` and ``prefetch_queue``. Run as a
program it takes a ``SlimRun`` as JSON, and prints the loss of each step.

Source: research/slim/train_image_classifier.py, research/slim/datasets/flowers.py.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from slim2keras.nets.spec import NetSpec
from slim2keras.slim.networks import open_judge
from slim2keras.slim.runtime import import_tf_slim, slim_graph, tensorflow_1_modules
from tests.parity.cases import SLIM_SOURCE
from tests.parity.training_runs import NETS


@dataclass(frozen=True)
class SlimRun:
    """A run of slim's trainer.

    Attributes:
        records: Glob of TFRecords.
        images: Number of images in them.
        classes: Number of classes.
        train_dir: Where its checkpoints go.
        net: Name of the network, or of a shallow one of ``training_runs``.
        size: Height and width of its images.
        steps: To train.
        batch: Images a step.
        preprocessing: Key of slim's ``preprocessing_factory``.
        augments: Whether images are preprocessed as in training.
        shuffles: Whether records come in random order, by four readers and threads as by default.
        optimizer: ``momentum`` or ``rmsprop``, with slim's defaults.
        learning_rate: At the start; it decays as by default, exponentially.
        weight_decay: Of the network.
        checkpoint: To start from; slim's initializers if left out.
        exclude: Prefixes of variables that are not restored.
        in_source: Whether the network is that of research/slim, and not of tf_slim.
    """

    records: str
    images: int
    classes: int
    train_dir: str
    net: str
    size: int
    steps: int
    batch: int
    preprocessing: str = "lenet"
    augments: bool = True
    shuffles: bool = False
    optimizer: str = "rmsprop"
    learning_rate: float = 0.01
    weight_decay: float = 4e-5
    checkpoint: str = ""
    exclude: tuple[str, ...] = ()
    in_source: bool = False


def run_slim(run: SlimRun, environment: dict[str, str] | None = None) -> list[float]:
    """Losses of each step of a run in a process of its own."""
    command = [sys.executable, "-m", "tests.parity.slim_trainer", json.dumps(asdict(run))]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def train(run: SlimRun) -> list[float]:
    """The same in this process, which then is TensorFlow 1: threads of slim's supervisor want it so."""
    slim = import_tf_slim()
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()

    losses: list[float] = []
    with slim_graph() as graph, contextlib.ExitStack() as stack:
        prepare = _preprocessing(stack, run)
        images, labels = _batches(slim, run, prepare)
        v1 = tf.compat.v1
        network = stack.enter_context(_network_function(run))
        logits, end_points = network(images)
        if "AuxLogits" in end_points:
            v1.losses.softmax_cross_entropy(labels, end_points["AuxLogits"], weights=0.4)
        v1.losses.softmax_cross_entropy(labels, tf.reshape(logits, labels.shape))
        global_step = v1.train.get_or_create_global_step()
        train_op = slim.learning.create_train_op(
            v1.losses.get_total_loss(), _optimizer(run, global_step), global_step=global_step
        )

        def step(session: Any, train_op: Any, global_step: Any, more: Any) -> Any:
            loss, should_stop = slim.learning.train_step(session, train_op, global_step, more)
            losses.append(float(loss))
            return loss, should_stop

        slim.learning.train(
            train_op,
            run.train_dir,
            step,
            graph=graph,
            number_of_steps=run.steps,
            init_fn=_init_fn(slim, run),
            log_every_n_steps=10,
            saver=v1.train.Saver(),
        )
    return losses


def _preprocessing(stack: contextlib.ExitStack, run: SlimRun) -> Callable[[Any], Any]:
    """slim's own pipeline; of ``lenet``, which has no random step, the three lines of it."""
    import tensorflow as tf

    if SLIM_SOURCE is None:
        assert run.preprocessing == "lenet"
        return lambda image: (
            (tf.image.resize_with_crop_or_pad(tf.cast(image, tf.float32), run.size, run.size) - 128.0) / 128.0
        )
    import_module = stack.enter_context(tensorflow_1_modules(SLIM_SOURCE, hidden="preprocessing"))
    factory = import_module("preprocessing.preprocessing_factory")
    function = factory.get_preprocessing(run.preprocessing, is_training=run.augments)
    return lambda image: function(image, run.size, run.size)


def _batches(slim: Any, run: SlimRun, prepare: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Images and one-hot labels of a step, out of slim's queues."""
    import tensorflow as tf

    v1 = tf.compat.v1
    decoder = slim.tfexample_decoder.TFExampleDecoder(
        {
            "image/encoded": tf.io.FixedLenFeature((), tf.string, default_value=""),
            "image/format": tf.io.FixedLenFeature((), tf.string, default_value="png"),
            "image/class/label": tf.io.FixedLenFeature([], tf.int64, default_value=0),
        },
        {"image": slim.tfexample_decoder.Image(), "label": slim.tfexample_decoder.Tensor("image/class/label")},
    )
    dataset = slim.dataset.Dataset(
        data_sources=run.records,
        reader=v1.TFRecordReader,
        decoder=decoder,
        num_samples=run.images,
        items_to_descriptions={"image": "", "label": ""},
        num_classes=run.classes,
    )
    readers = 4 if run.shuffles else 1
    provider = slim.dataset_data_provider.DatasetDataProvider(
        dataset,
        num_readers=readers,
        shuffle=run.shuffles,
        common_queue_capacity=20 * run.batch,
        common_queue_min=10 * run.batch,
    )
    image, label = provider.get(["image", "label"])
    images, labels = v1.train.batch(
        [prepare(image), label], batch_size=run.batch, num_threads=readers, capacity=5 * run.batch
    )
    queue = slim.prefetch_queue.prefetch_queue([images, slim.one_hot_encoding(labels, run.classes)], capacity=2)
    found = queue.dequeue()
    return found[0], found[1]


@contextlib.contextmanager
def _network_function(run: SlimRun) -> Iterator[Callable[[Any], Any]]:
    if run.net in NETS:
        net, slim = NETS[run.net], import_tf_slim()
        yield lambda images: (net.theirs(slim, images, net.decay, lambda _: True)[0], {})
        return
    arguments = {"num_classes": run.classes, "weight_decay": run.weight_decay}
    spec = NetSpec.make(run.net, (run.size, run.size, 3), arguments)
    with open_judge(SLIM_SOURCE if run.in_source else None) as judge:
        yield judge.network_function(spec, is_training=True)


def _optimizer(run: SlimRun, global_step: Any) -> Any:
    import tensorflow as tf

    v1 = tf.compat.v1
    decay_steps = int(run.images * 2.0 / run.batch)
    rate = v1.train.exponential_decay(run.learning_rate, global_step, decay_steps, 0.94, staircase=True)
    if run.optimizer == "momentum":
        return v1.train.MomentumOptimizer(rate, 0.9)
    return v1.train.RMSPropOptimizer(rate, decay=0.9, momentum=0.9, epsilon=1.0)


def _init_fn(slim: Any, run: SlimRun) -> Any:
    if not run.checkpoint:
        return None
    variables = [
        item for item in slim.get_model_variables() if not item.op.name.startswith(tuple(run.exclude) or ("\0",))
    ]
    return slim.assign_from_checkpoint_fn(run.checkpoint, variables)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    sys.stdout.write(json.dumps(train(SlimRun(**{**given, "exclude": tuple(given["exclude"])}))) + "\n")
