"""Good files of each kind that slim2keras reads, small, with the command that reads them."""

from __future__ import annotations

import shutil
import tarfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import structures
from tests.faults.mutations import Random, mutated
from tests.reference import SMALL_SHAPE, small_spec, small_values, values_of, write_checkpoint, write_meta
from tests.trainer import runs

SHAPE = ",".join(map(str, SMALL_SHAPE))


@dataclass(frozen=True)
class Sample:
    """A kind of file.

    Attributes:
        make: Writes what the command needs into an empty folder.
        damaged: File of the folder that is damaged.
        command: That reads it, in the folder; it writes ``out*`` if it writes anything.
        names: What a message may call the file by.
        damage: Damages its content, by a seed.
    """

    make: Callable[[Path], None]
    damaged: str
    command: tuple[str, ...]
    names: tuple[str, ...]
    damage: Callable[[bytes, int], bytes] = mutated

    def behind_checksums(self, structured: structures.Structured, *command: str, damaged: str = "") -> Sample:
        """The same, damaged in what it says and not in its form.

        Args:
            command: Another one, if any.
            damaged: Another file, if any.
        """

        def damage(content: bytes, seed: int) -> bytes:
            return structured(content, Random(seed))

        return replace(self, damaged=damaged or self.damaged, command=command or self.command, damage=damage)


def v1(folder: Path) -> None:
    write_checkpoint(folder / "net.ckpt", small_values(), "V1")


def v2(folder: Path) -> None:
    (folder / "train").mkdir()
    prefix = write_checkpoint(folder / "train/model.ckpt-7", {**small_values(), "global_step": np.int64(7)})
    (folder / "train/checkpoint").write_text(f'model_checkpoint_path: "{prefix.name}"\n')


def with_meta(folder: Path) -> None:
    v2(folder)
    write_meta(folder / "train/model.ckpt-7", small_spec())


def archive(folder: Path) -> None:
    v2(folder)
    with tarfile.open(folder / "net.tar.gz", "w:gz") as file:
        file.add(folder / "train", "train")
    shutil.rmtree(folder / "train")


def frozen(folder: Path) -> None:
    import tensorflow as tf
    from tf_slim.nets import resnet_v1  # noqa: F401  tf_slim must be imported within slim_graph's care

    from slim2keras.slim.runtime import import_tf_slim, slim_graph

    slim, one = import_tf_slim(), tf.compat.v1
    with slim_graph() as graph, one.Session(graph=graph) as session:
        images = one.placeholder(tf.float32, [None, 16, 16, 3], name="images")
        x = slim.conv2d(images, 4, 3, normalizer_fn=slim.batch_norm, scope="conv")
        logits = slim.fully_connected(tf.reduce_mean(x, [1, 2]), 3, None, scope="logits")
        session.run(one.global_variables_initializer())
        written = one.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [logits.op.name])
        (folder / "net.pb").write_bytes(written.SerializeToString())
        one.train.write_graph(written, str(folder), "net.pbtxt")
        one.saved_model.simple_save(session, str(folder / "saved"), {"images": images}, {"logits": logits})


def model(suffix: str) -> Callable[[Path], None]:
    """A model file of the tiny network."""

    def make(folder: Path) -> None:
        import slim2keras
        from slim2keras.conversion.report import describe_model, versions_of_all
        from slim2keras.models.variables import slim_variables
        from slim2keras.outputs.formats import output_format
        from slim2keras.outputs.writing import write_with_report

        runs.write_network(folder / "tiny.keras")
        if suffix == ".keras":
            return
        loaded = slim2keras.load_model(folder / "tiny.keras")
        values = [(name, item.numpy()) for name, item in slim_variables(loaded).items()]
        report = {**describe_model(loaded), "versions": versions_of_all()}
        target = folder / f"tiny{suffix}"
        write_with_report(loaded, values, target, output_format(target), report)
        (folder / "tiny.keras").unlink()

    return make


def image(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import tensorflow as tf

        runs.write_network(folder / "tiny.keras")
        pixels = np.random.RandomState(0).randint(0, 256, (24, 24, 3)).astype("uint8")
        encode = {".png": tf.io.encode_png, ".jpg": tf.io.encode_jpeg}
        if suffix in encode:
            (folder / f"photo{suffix}").write_bytes(encode[suffix](pixels).numpy())
        else:
            from PIL import Image

            Image.fromarray(pixels).save(folder / f"photo{suffix}")

    return make


def records(folder: Path) -> None:
    import tensorflow as tf

    runs.write_network(folder / "tiny.keras", 3)
    (folder / "data").mkdir()
    (folder / "data/labels.txt").write_text("0:daisy\n1:rose\n2:tulip\n")
    train = tf.train
    with tf.io.TFRecordWriter(str(folder / "data/flowers_validation_00000-of-00001.tfrecord")) as file:
        for number in range(6):
            pixels = np.full((20, 20, 3), 40 * number, "uint8")
            values = {
                "image/encoded": train.Feature(bytes_list=train.BytesList(value=[tf.io.encode_png(pixels).numpy()])),
                "image/format": train.Feature(bytes_list=train.BytesList(value=[b"png"])),
                "image/class/label": train.Feature(int64_list=train.Int64List(value=[number % 3])),
            }
            file.write(train.Example(features=train.Features(feature=values)).SerializeToString())


def arrays(folder: Path) -> None:
    runs.write_network(folder / "tiny.keras", 3)
    random = np.random.RandomState(0)
    np.savez(folder / "data.npz", images=random.uniform(-1, 1, (6, 16, 16, 3)).astype("float32"), labels=[0, 1, 2] * 2)


def labelled(folder: Path) -> None:
    image(".png")(folder)
    (folder / "labels.txt").write_text("0:daisy\n1:rose\n2:tulip\n3:lily\n4:iris\n")


def run(folder: Path) -> None:
    from slim2keras.errors import MovingStatisticsWarning
    from slim2keras.trainer.training import train

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MovingStatisticsWarning)
        train(runs.request(folder, epochs=1))


_EVALUATE = ("evaluate", "tiny.keras", "--data")
_EXPORT = ("-o", "out/model.ckpt-1")
SAMPLES: Mapping[str, Sample] = {
    "V1 checkpoint": Sample(
        v1, "net.ckpt", ("convert", "net.ckpt", "-o", "out.keras", "--input-shape", SHAPE), ("net.ckpt",)
    ),
    "V2 index": Sample(
        v2,
        "train/model.ckpt-7.index",
        ("convert", "train", "-o", "out.keras", "--input-shape", SHAPE),
        ("model.ckpt-7", "train"),
    ),
    "V2 data": Sample(
        v2,
        "train/model.ckpt-7.data-00000-of-00001",
        ("convert", "train", "-o", "out.keras", "--input-shape", SHAPE),
        ("model.ckpt-7", "train is"),
    ),
    "checkpoint state": Sample(v2, "train/checkpoint", ("inspect", "train"), ("checkpoint", "train")),
    "archive": Sample(
        archive, "net.tar.gz", ("convert", "net.tar.gz", "-o", "out.keras", "--input-shape", SHAPE), ("net.tar.gz",)
    ),
    ".meta": Sample(
        with_meta,
        "train/model.ckpt-7.meta",
        ("convert", "train", "-o", "out.keras", "--graph", "train/model.ckpt-7.meta"),
        ("model.ckpt-7",),
    ),
    ".pb": Sample(frozen, "net.pb", ("convert", "net.pb", "-o", "out.keras"), ("net.pb",)),
    ".pbtxt": Sample(frozen, "net.pbtxt", ("convert", "net.pbtxt", "-o", "out.keras"), ("net.pbtxt",)),
    "SavedModel of TensorFlow 1": Sample(
        frozen, "saved/saved_model.pb", ("convert", "saved", "-o", "out.keras"), ("saved",)
    ),
    ".keras": Sample(model(".keras"), "tiny.keras", ("export", "tiny.keras", *_EXPORT), ("tiny.keras",)),
    ".h5": Sample(model(".h5"), "tiny.h5", ("export", "tiny.h5", *_EXPORT), ("tiny.h5",)),
    ".weights.h5": Sample(
        model(".weights.h5"), "tiny.weights.h5", ("export", "tiny.weights.h5", *_EXPORT), ("tiny.weights.h5",)
    ),
    "SavedModel": Sample(model(""), "tiny/saved_model.pb", ("export", "tiny", *_EXPORT), ("tiny",)),
    "report": Sample(
        model(".weights.h5"), "tiny.weights.h5.json", ("export", "tiny.weights.h5", *_EXPORT), ("tiny.weights.h5",)
    ),
    ".npz": Sample(arrays, "data.npz", (*_EVALUATE, "data.npz"), ("data.npz",)),
    "TFRecords": Sample(
        records, "data/flowers_validation_00000-of-00001.tfrecord", (*_EVALUATE, "data"), ("data", "flowers_validation")
    ),
    "labels.txt": Sample(
        labelled, "labels.txt", ("predict", "tiny.keras", "photo.png", "--labels", "labels.txt"), ("labels.txt",)
    ),
    **{
        f"{suffix} image": Sample(
            image(suffix), f"photo{suffix}", ("predict", "tiny.keras", f"photo{suffix}"), (f"photo{suffix}",)
        )
        for suffix in (".png", ".jpg", ".gif", ".bmp", ".webp")
    },
    "request of a RUN": Sample(run, "run/request.json", ("finetune", "--resume", "run", "--dry-run"), ("run",)),
    "state of a RUN": Sample(
        run, "run/last/state-000002/state.json", ("finetune", "--resume", "run", "--dry-run"), ("run",)
    ),
}


def _of_index(key: bytes) -> Any:
    """Message of an entry in the index of a V2 checkpoint."""
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

    return BundleEntryProto() if key else BundleHeaderProto()


def _of_slices(_: bytes) -> Any:
    """Message of an entry in a V1 checkpoint."""
    from tensorflow.core.util.saved_tensor_slice_pb2 import SavedTensorSlices

    return SavedTensorSlices()


def _graph() -> Any:
    from tensorflow.core.framework.graph_pb2 import GraphDef

    return GraphDef()


def _meta_graph() -> Any:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    return MetaGraphDef()


def _saved_model() -> Any:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel()


def _keras_metadata() -> Any:
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    return SavedMetadata()


def v1_small(folder: Path) -> None:
    """One whose blocks are few."""
    write_checkpoint(folder / "net.ckpt", runs_values(), "V1")


def runs_values() -> dict[str, Any]:
    return {**values_of(runs.tiny_network().graph.variables()), "global_step": np.int64(7)}


def small_meta(folder: Path) -> None:
    """A graph that trains, with the values beside it."""
    import tensorflow as tf
    from tf_slim.nets import resnet_v1  # noqa: F401  tf_slim must be imported within slim_graph's care

    from slim2keras.slim.runtime import import_tf_slim, slim_graph

    slim, one = import_tf_slim(), tf.compat.v1
    with slim_graph() as graph, one.Session(graph=graph) as session:
        images = one.placeholder(tf.float32, [None, 16, 16, 3], name="images")
        x = slim.conv2d(images, 4, 3, normalizer_fn=slim.batch_norm, normalizer_params={"is_training": True})
        x = slim.dropout(slim.max_pool2d(x, 2), 0.8)
        logits = slim.conv2d(tf.reduce_mean(x, [1, 2], keepdims=True), 3, 1, activation_fn=None, scope="logits")
        labels = one.placeholder(tf.int32, [None], name="labels")
        loss = one.losses.sparse_softmax_cross_entropy(labels, tf.squeeze(logits, [1, 2]))
        slim.learning.create_train_op(loss, one.train.MomentumOptimizer(0.1, 0.9))
        session.run(one.global_variables_initializer())
        one.train.Saver().save(session, str(folder / "model.ckpt-7"))


_IN_ZIP = {".json": structures.json_text, ".h5": structures.hdf5, ".npy": structures.npy}
_TABLE = structures.table(_of_index)
_META = Sample(
    small_meta,
    "model.ckpt-7.meta",
    ("convert", "model.ckpt-7", "-o", "out.keras", "--graph", "model.ckpt-7.meta"),
    ("model.ckpt-7",),
)
STRUCTURED: Mapping[str, Sample] = {
    "V1 entries": Sample(v1_small, "net.ckpt", ("doctor", "net.ckpt"), ("net.ckpt",)).behind_checksums(
        structures.table(_of_slices)
    ),
    "V2 entries": SAMPLES["V2 index"].behind_checksums(_TABLE),
    "V2 entries, inspected": SAMPLES["V2 index"].behind_checksums(_TABLE, "inspect", "train"),
    "V2 entries, diagnosed": SAMPLES["V2 index"].behind_checksums(_TABLE, "doctor", "train"),
    "words of a checkpoint state": SAMPLES["checkpoint state"].behind_checksums(structures.lines),
    "members of an archive": SAMPLES["archive"].behind_checksums(
        structures.tar_of({".index": _TABLE, "checkpoint": structures.lines})
    ),
    ".meta fields": _META.behind_checksums(structures.message(_meta_graph)),
    ".meta beside a checkpoint": _META.behind_checksums(structures.message(_meta_graph), "doctor", "model.ckpt-7"),
    ".pb fields": SAMPLES[".pb"].behind_checksums(structures.message(_graph)),
    ".pbtxt fields": SAMPLES[".pbtxt"].behind_checksums(structures.text_message(_graph)),
    "SavedModel of TensorFlow 1, fields": SAMPLES["SavedModel of TensorFlow 1"].behind_checksums(
        structures.message(_saved_model)
    ),
    "SavedModel of TensorFlow 1, variables": SAMPLES["SavedModel of TensorFlow 1"].behind_checksums(
        _TABLE, damaged="saved/variables/variables.index"
    ),
    ".keras members": SAMPLES[".keras"].behind_checksums(structures.zip_of(_IN_ZIP)),
    ".h5 objects": SAMPLES[".h5"].behind_checksums(structures.hdf5),
    ".weights.h5 objects": SAMPLES[".weights.h5"].behind_checksums(structures.hdf5),
    "SavedModel, fields": SAMPLES["SavedModel"].behind_checksums(structures.message(_saved_model)),
    "SavedModel, metadata": SAMPLES["SavedModel"].behind_checksums(
        structures.message(_keras_metadata), damaged="tiny/keras_metadata.pb"
    ),
    "SavedModel, variables": SAMPLES["SavedModel"].behind_checksums(_TABLE, damaged="tiny/variables/variables.index"),
    "report values": SAMPLES["report"].behind_checksums(structures.json_text),
    "report values, verified": SAMPLES["report"].behind_checksums(structures.json_text, "verify", "tiny.weights.h5"),
    ".npz members": SAMPLES[".npz"].behind_checksums(structures.zip_of(_IN_ZIP)),
    "TFRecords, examples": SAMPLES["TFRecords"].behind_checksums(structures.examples),
    "words of labels.txt": SAMPLES["labels.txt"].behind_checksums(structures.lines),
    ".png chunks": SAMPLES[".png image"].behind_checksums(structures.png),
    "request of a RUN, values": SAMPLES["request of a RUN"].behind_checksums(structures.json_text),
    "state of a RUN, values": SAMPLES["state of a RUN"].behind_checksums(structures.json_text),
    "state of a RUN, model": SAMPLES["state of a RUN"].behind_checksums(
        structures.zip_of(_IN_ZIP), damaged="run/last/state-000002/model.keras"
    ),
}
ALL: Mapping[str, Sample] = {**SAMPLES, **STRUCTURED}
