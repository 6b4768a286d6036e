"""Looks into a model file before tf_keras loads it: a file that could run code is refused, whole.

tf_keras' safe mode covers ``.keras`` alone: a ``Lambda`` layer in an HDF5 file or a SavedModel runs while it is loaded,
and a ``TFOpLambda`` calls whatever function of TensorFlow the file names. Nothing here is deserialised: the
configuration is read as JSON, the graph of a SavedModel as a protocol buffer, HDF5 link by link.
"""

from __future__ import annotations

import importlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slim2keras.checkpoints.claims import check_claims
from slim2keras.checkpoints.locating import v2_files
from slim2keras.errors import ModelReadError, UnsafeModelError, is_out_of_memory
from slim2keras.files.json_values import read_json
from slim2keras.files.output_files import report_path
from slim2keras.graphs.pure_ops import PURE_OPS
from slim2keras.outputs import allowed_names as allowed
from slim2keras.outputs.hdf5_walk import check_walk
from slim2keras.outputs.keras_archive import CONFIG, METADATA, is_keras_archive, opened_member
from slim2keras.outputs.size_claims import check_dataset, check_heaps

if TYPE_CHECKING:
    import h5py
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

LARGEST_CONFIG = 2**28
"""Bytes of JSON that are read; the configuration of NASNet-A large takes 2 MiB."""

_NAMED = {
    "activation": allowed.ACTIVATIONS,
    "constraint": allowed.CONSTRAINTS,
    "initializer": allowed.INITIALIZERS,
    "regularizer": allowed.REGULARIZERS,
}
"""Keys of a configuration whose string tf_keras looks up among all that its module has imported."""


def check_model_file(path: Path, *, with_optimizer: bool = False) -> None:
    """Refuse a model file that could run code, or read files other than itself, when it is loaded or called.

    Loss and metrics, which slim2keras never loads, may be of any class; code in them is refused all the same.

    Args:
        with_optimizer: Whether the optimizer of a ``.keras`` file will be loaded too.

    Raises:
        UnsafeModelError: If it holds anything but classes, functions and ops of ``allowed_names`` and our own layers.
        ModelReadError: If it is truncated, corrupt, or no model file.
    """
    if is_keras_archive(path):
        _refuse(path, _zip_findings(path, with_optimizer=with_optimizer))
    elif path.is_dir():
        _refuse(path, _saved_model_findings(path))
    else:
        _refuse(path, _hdf5_findings(path))


def check_weights_file(path: Path) -> None:
    """Refuse an HDF5 file of weights that takes values from other files of this machine.

    Raises:
        UnsafeModelError: If it has external links, external storage or virtual datasets.
        ModelReadError: If it is truncated, corrupt, or no HDF5 file.
    """
    _refuse(path, _weights_findings(path))


def check_archived_weights(path: Path) -> None:
    """Refuse a ``.keras``, of Keras 3 too, whose weights lie in other files, or are not as many as it says.

    Raises:
        ValueError: With the place.
    """
    with zipfile.ZipFile(path) as archive:
        for finding in _archived_weights_findings(path, archive):
            raise ValueError(finding)


def check_report(path: Path, report: Mapping[str, Any]) -> None:
    """Refuse a report that names what could run code, before layers are made of its graph.

    Raises:
        UnsafeModelError: If it names anything but stock layers and our own.
    """
    importlib.import_module("slim2keras.keras_layers")
    _refuse(path, _config_findings(report))


def unreadable(path: Path, error: Exception) -> ModelReadError:
    """The error for a file that zip, HDF5, JSON, protobuf or tf_keras cannot read."""
    if is_out_of_memory(error):
        return ModelReadError(
            f"{path} cannot be read: memory ran out ({type(error).__name__}). Give the process more; or the file is "
            "damaged, and claims to hold more than it does."
        )
    newer = _newer_writer(path)
    likely = (
        f"By its report tf_keras {newer} wrote it, which is newer than the one here; install that one"
        if newer
        else "It is truncated, corrupt, or no model file; convert the checkpoint again"
    )
    return ModelReadError(
        f"{path} cannot be loaded by tf_keras: {type(error).__name__}: {str(error).splitlines()[:1]}. {likely}."
    )


def _newer_writer(path: Path) -> str:
    """The tf_keras that wrote a file, if the report beside it names one that is newer than the one here."""
    import tf_keras

    try:
        writer = str(read_json(report_path(path))["versions"]["tf_keras"])
        return writer if _release(writer) > _release(tf_keras.__version__) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".")[:2])


def _refuse(path: Path, findings: Iterable[str]) -> None:
    try:
        found = list(dict.fromkeys(findings))
    except ModelReadError:
        raise
    except Exception as error:
        # Zip, HDF5, JSON and protobuf each have errors of their own for a damaged file.
        raise unreadable(path, error) from error
    if found:
        raise UnsafeModelError(
            f"{path} was not loaded: it could run code, or read other files of this machine.\n"
            + "".join(f"  {finding}\n" for finding in found)
            + "Build the model in Python from stock layers, and give it the weights. If you trust where the file comes "
            "from, load it yourself with tf_keras and hand over the model: "
            "slim2keras.export_checkpoint(model, prefix), slim2keras.verify(checkpoint, model)."
        )


def _zip_findings(path: Path, *, with_optimizer: bool) -> Iterator[str]:
    with zipfile.ZipFile(path) as archive:
        _refuse_keras3(path, archive)
        config = _object(_bounded(archive.open(CONFIG), f"{CONFIG} of {path}"))
        # tf_keras leaves it out when asked not to compile; below the top it does not.
        compiled = config.pop("compile_config", None)
        yield from _config_findings(config)
        yield from _code_findings(compiled)
        if with_optimizer and isinstance(compiled, dict):
            yield from _config_findings(compiled.get("optimizer"), "optimizer")
        yield from _archived_weights_findings(path, archive)


def _archived_weights_findings(path: Path, archive: zipfile.ZipFile) -> Iterator[str]:
    for member in archive.infolist():
        if member.filename.endswith(".h5"):
            with path.open("rb") as file:
                weights = opened_member(archive, member, file)
                check_heaps(weights)
                check_walk(path, member.filename)
                yield from _other_files_in(weights)


def _refuse_keras3(path: Path, archive: zipfile.ZipFile) -> None:
    if METADATA not in archive.namelist():
        return
    version = str(_object(_bounded(archive.open(METADATA), f"{METADATA} of {path}")).get("keras_version", ""))
    if version.startswith("3."):
        raise ModelReadError(
            f"{path} is a file of Keras {version}, and tf_keras cannot load it. Load it with keras.models.load_model "
            "or slim2keras.keras3.load_model; for tf_keras convert the checkpoint without --keras 3."
        )


def _weights_findings(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        check_heaps(file)
    check_walk(path)
    yield from _other_files_in(path)


def _hdf5_findings(path: Path) -> Iterator[str]:
    import h5py

    yield from _weights_findings(path)
    with h5py.File(path, "r") as file:
        config = _object(_text(file, "model_config"))
        yield from _config_findings(config)
        if "training_config" in file.attrs:
            yield from _code_findings(json.loads(_text(file, "training_config")))


def _text(file: h5py.File, attribute: str) -> str | bytes:
    text = file.attrs.get(attribute)
    if not isinstance(text, str | bytes) or len(text) > LARGEST_CONFIG:
        raise ModelReadError(
            f"{file.filename} has no {attribute}: it is no HDF5 file of a whole Keras model. "
            "One of weights alone must be named .weights.h5."
        )
    return text


def _bounded(file: Any, name: str) -> bytes:
    """All of a file, or of a zip's member whatever it says of its size."""
    with file:
        content: bytes = file.read(LARGEST_CONFIG + 1)
    if len(content) > LARGEST_CONFIG:
        raise ModelReadError(f"{name} has more than {LARGEST_CONFIG} bytes; no model's configuration has.")
    return content


def _object(text: str | bytes) -> dict[str, Any]:
    config = json.loads(text)
    if not isinstance(config, dict):
        raise TypeError(f"the configuration is a {type(config).__name__}, and no object")
    return config


def _config_findings(config: Any, where: str = "") -> Iterator[str]:
    """Everything that a configuration names and that is not allowed, at any depth, with the layer it is in."""
    own = _own_classes()
    for place, entry in _entries(config, where):
        if "class_name" in entry and (reason := _why_not(entry, own)):
            yield f"{place or 'the model'}: {reason}"
        for key, value in entry.items():
            names = _NAMED.get(key.rpartition("_")[2])
            if names is not None and isinstance(value, str) and value not in names:
                yield f"{place or 'the model'}: {key} {value!r} is none of tf_keras' own"


def _code_findings(config: Any) -> Iterator[str]:
    """Code in the part of a configuration that is not loaded, where classes of the user are at home."""
    for _, entry in _entries(config, ""):
        if entry.get("class_name") in ("Lambda", "__lambda__"):
            yield f"loss and metrics: {allowed.REFUSED[entry['class_name']]}"


def _entries(config: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a configuration with the names of the layers around it, not by recursion: files may be deep."""
    pending = [(where, config)]
    while pending:
        place, item = pending.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                place = "/".join(filter(None, (place, _name_of(item))))
            yield place, item
            pending += [(place, value) for value in reversed(item.values())]
        elif isinstance(item, list):
            pending += [(place, value) for value in reversed(item)]


def _name_of(entry: Mapping[str, Any]) -> str:
    config = entry.get("config")
    name = config.get("name") if isinstance(config, dict) else entry.get("name")
    return name if isinstance(name, str) else ""


def _own_classes() -> dict[str, type]:
    """Classes of slim2keras by the name under which tf_keras has them."""
    import tf_keras

    return {
        name: its_class
        for name, its_class in tf_keras.saving.get_custom_objects().items()
        if name.startswith("slim2keras>") and its_class.__module__.startswith("slim2keras.")
    }


def _why_not(entry: Mapping[str, Any], own: Mapping[str, type]) -> str | None:
    """Why an object of a configuration is refused; nothing if it is allowed."""
    name, module, registered = (entry.get(key) for key in ("class_name", "module", "registered_name"))
    if not isinstance(name, str) or not all(item is None or isinstance(item, str) for item in (module, registered)):
        return f"class_name {name!r}, module {module!r}, registered_name {registered!r} are no names"
    if name in allowed.REFUSED:
        return f"{name}: {allowed.REFUSED[name]}"
    if name in allowed.DATA:
        return _why_not_data(entry)
    if name == "function":
        known = {entry.get("config"), registered or entry.get("config")} <= allowed.ACTIVATIONS
        return (
            None if known and _is_stock(module) else f"function {entry.get('config')!r} of {module}, not tf_keras' own"
        )
    if its_class := own.get(registered or name) or _own_without_package(registered or name, module, own):
        # What is registered is found by that name; the module is where it lay in the version that wrote the file.
        is_registered = registered in own and (module or "").startswith("slim2keras.")
        known = is_registered or module in (None, its_class.__module__)
        known &= name.removeprefix("slim2keras>") == its_class.__name__
    else:
        stem = name.removeprefix("Custom>")
        known = stem in (allowed.CLASSES if stem == name else allowed.OPTIMIZERS)
        known &= registered in (None, name, f"Custom>{name}") and _is_stock(module)
    return _why_not_function(entry) if known else f"class {_qualified(name, module, registered)} is not stock tf_keras"


def _own_without_package(name: str, module: str | None, own: Mapping[str, type]) -> type | None:
    """A class of ours by its bare name, which a SavedModel has of a model; an ``Adam`` of tf_keras is none of ours."""
    its_class = own.get(f"slim2keras>{name}")
    return its_class if its_class is not None and module in (None, its_class.__module__) else None


def _qualified(name: str, module: str | None, registered: str | None) -> str:
    alias = f" (registered as {registered})" if registered not in (None, name) else ""
    return f"{module}.{name}{alias}" if module else f"{name}{alias}"


def _is_stock(module: str | None) -> bool:
    return module in (None, "builtins") or module.removeprefix("tf_") in allowed.MODULES


def _why_not_data(entry: Mapping[str, Any]) -> str | None:
    if entry["class_name"] == "TypeSpec" and entry.get("type_spec") not in allowed.TYPE_SPECS:
        return f"type {entry.get('type_spec')!r} is not TensorFlow's own"
    return None


def _why_not_function(entry: Mapping[str, Any]) -> str | None:
    config = entry.get("config")
    if entry["class_name"].removeprefix("slim2keras>") == "TensorFlowOp":
        op = config.get("op") if isinstance(config, dict) else None
        is_pure = isinstance(op, str) and op in PURE_OPS
        return None if is_pure else f"TensorFlowOp applies {op!r}, which is not in the list of ops that only compute"
    if entry["class_name"] not in ("SlicingOpLambda", "TFOpLambda"):
        return None
    function = config.get("function") if isinstance(config, dict) else None
    if isinstance(function, str) and function.removeprefix("compat.v1.") in allowed.FUNCTIONS:
        return None
    return f"{entry['class_name']} calls {function!r}, which is not in the list of functions that only compute"


def _saved_model_findings(path: Path) -> Iterator[str]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    for name in ("saved_model.cpb", "saved_model.pbtxt"):
        if (path / name).exists():
            yield f"{name}: TensorFlow may read it in the place of saved_model.pb, and it is not looked into"
    saved = SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    descriptions = [*_metadata_file(path), *(text for graph in saved.meta_graphs for text in _metadata_of(graph))]
    if not descriptions:
        raise ModelReadError(
            f"{path} is a SavedModel without Keras metadata, one for serving perhaps: it has functions and no layers. "
            "Run it with tf.saved_model.load; or give the checkpoint, or the file of model.save, that it was made of."
        )
    for description in descriptions:
        metadata = _object(description)
        training = metadata.pop("training_config", None)
        yield from _config_findings(metadata)
        yield from _code_findings(training)
    for graph in saved.meta_graphs:
        yield from _graph_findings(graph)
    check_claims(v2_files(path / "variables" / "variables"))


def _metadata_file(path: Path) -> Iterator[str]:
    from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

    file = path / "keras_metadata.pb"
    if file.exists():
        metadata = SavedMetadata()
        metadata.ParseFromString(_bounded(file.open("rb"), str(file)))
        yield from (node.metadata for node in metadata.nodes)


def _metadata_of(graph: MetaGraphDef) -> Iterator[str]:
    """Metadata inside the object graph, where files older than TensorFlow 2.5 have it."""
    for node in graph.object_graph_def.nodes:
        if node.user_object.identifier.startswith("_tf_keras_") and node.user_object.metadata:
            yield node.user_object.metadata


def _graph_findings(graph: MetaGraphDef) -> Iterator[str]:
    """Ops that do more than compute.

    The loader runs functions of the object graph, and layers that it cannot make from their configuration call theirs;
    the graph itself, with the saver's functions, belongs to TensorFlow 1's loader, which is not used.
    """
    callable_functions = _callable_functions(graph)
    library = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    for name, nodes in {"the graph": graph.graph_def.node, **library}.items():
        ops = {node.op for node in nodes} - allowed.OPS - library.keys()
        if name not in callable_functions:
            ops -= allowed.SAVER_OPS
        yield from (f"{name}: op {op} is not in the list of ops that only compute" for op in sorted(ops))


def _callable_functions(graph: MetaGraphDef) -> set[str]:
    """Names of the functions that an object of a SavedModel has, and of all that these call."""
    calls = {function.signature.name: set(_called(function.node_def)) for function in graph.graph_def.library.function}
    objects = graph.object_graph_def
    pending = {*objects.concrete_functions, *(item.gradient_func for item in graph.graph_def.library.gradient)}
    for node in objects.nodes:
        pending |= {*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name}
    found: set[str] = set()
    while pending:
        name = pending.pop()
        found.add(name)
        pending |= calls.get(name, set()) - found
    return found


def _called(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        yield node.op
        for attribute in node.attr.values():
            yield from (item.name for item in (attribute.func, *attribute.list.func))


def _other_files_in(source: Path | BinaryIO) -> Iterator[str]:
    """Where an HDF5 file takes values from other files: external links, external storage, virtual datasets.

    Raises:
        ValueError: If values are in no file at all.
    """
    import h5py

    with h5py.File(source, "r") as file:
        pending: list[Any] = [file]
        seen: set[int] = set()
        while pending:
            group = pending.pop()
            for name in group:
                place = f"{group.name.rstrip('/')}/{name}"
                # A soft link leads to what has a hard link too, or through an external one.
                if isinstance(link := group.get(name, getlink=True), h5py.ExternalLink):
                    yield f"{place}: a link to the file {link.filename}"
                elif isinstance(link, h5py.HardLink):
                    item = group[name]
                    address = h5py.h5o.get_info(item.id).addr
                    if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
                        yield f"{place}: its values lie in another file"
                    elif isinstance(item, h5py.Dataset):
                        check_dataset(item)
                    elif isinstance(item, h5py.Group) and address not in seen:
                        seen.add(address)
                        pending.append(item)
