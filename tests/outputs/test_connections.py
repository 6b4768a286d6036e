"""Files whose layers wait for outputs that there will not be: refused, where tf_keras would look for them for ever."""

from __future__ import annotations

import functools
import json
import operator
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tf_keras
from hypothesis import given
from hypothesis import strategies as st
from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

from slim2keras.conversion.reading import load_model
from slim2keras.errors import ModelReadError
from slim2keras.keras_layers import LocalResponseNormalization
from slim2keras.models.overrides import Overrides
from slim2keras.outputs.connections import connections_end
from slim2keras.slim.runtime import functional_module
from tests.faults.test_structured import examples, few_and_many, places_in
from tests.outputs.test_model_safety import edit_config

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")

WAITS = "waits for an output that there will not be"


def small_model() -> tf_keras.Model:
    layers = tf_keras.layers
    x = tf_keras.Input((4,), name="given")
    y = layers.Dense(4, name="first")(x)
    return tf_keras.Model(x, layers.Dense(4, name="second")(layers.Add(name="sum")([x, y])))


def all_kinds_of_model() -> tf_keras.Model:
    """Two inputs, layers and models that are called twice, models within, tensors among the arguments, many outputs."""
    layers = tf_keras.layers
    inside = tf_keras.Input((4,), name="inside")
    relu = layers.ReLU(name="relu")
    inner = tf_keras.Model(inside, [relu(inside), relu(relu(inside))], name="inner")
    row = tf_keras.Sequential([layers.ReLU()], name="row")
    x, y = tf_keras.Input((4,), name="x"), tf_keras.Input((4,), name="y")
    shared = layers.ReLU(name="shared")
    first, second = inner(row(shared(x)))
    return tf_keras.Model([x, y], [first + shared(y), inner(second)[0]])


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """Change the configuration of a functional model in a file of any format."""
    if path.is_dir():
        metadata = SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes())
        root = json.loads(metadata.nodes[0].metadata)
        edit(root["config"])
        metadata.nodes[0].metadata = json.dumps(root)
        (path / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
        return path
    return edit_config(path, lambda whole: edit(whole["config"]))


def of_layer(name: str, inbound_nodes: Any) -> Callable[[dict[str, Any]], None]:
    def edit(config: dict[str, Any]) -> None:
        next(layer for layer in config["layers"] if layer["name"] == name)["inbound_nodes"] = inbound_nodes

    return edit


ENDLESS = {
    "a circle": of_layer("first", [[["second", 0, 0, {}]]]),
    "a number of a call that is none": of_layer("first", [[["given", 0, 0, {}]], [["first", 0.5, 0, {}]]]),
    "nothing as the number": of_layer("second", [[["sum", None, 0, {}]]]),
    "a tensor among the arguments that its layer does not give": of_layer(
        "second", [[["sum", 0, 0, {"training": ["sum", 0, 7]}]]]
    ),
}


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
@pytest.mark.parametrize("kind", ENDLESS)
def test_layers_that_wait_are_refused(tmp_path: Path, kind: str, suffix: str) -> None:
    """With the name of the file and of a layer."""
    path = tmp_path / f"model{suffix}"
    small_model().save(path, save_format={"": "tf", ".h5": "h5", ".keras": "keras"}[suffix])
    load_model(path)
    with pytest.raises(ModelReadError, match=rf"model{suffix} cannot be loaded.*its layer (first|second) {WAITS}"):
        load_model(edited(path, ENDLESS[kind]))


def test_a_layer_of_two_names_waits_too(tmp_path: Path) -> None:
    """Layers of one identity are one layer, if they are of our own; which of the names waits is not known."""
    x = tf_keras.Input((2, 2, 4))
    first, second = (LocalResponseNormalization(2, 1.0, 1.0, 0.5, name=name) for name in ("first", "second"))
    tf_keras.Model(x, second(first(x))).save(tmp_path / "model.keras")

    def share(config: dict[str, Any]) -> None:
        for layer in config["layers"][1:]:
            layer["shared_object_id"] = 7
        config["layers"][2]["inbound_nodes"] = [[["second", 5, 0, {}]]]

    with pytest.raises(ModelReadError, match=f"one of its layers {WAITS}"):
        load_model(edited(tmp_path / "model.keras", share))


def test_tf_keras_is_as_it_was_afterwards() -> None:
    """Also where a file was refused."""
    before = functional_module().reconstruct_from_config
    with pytest.raises(KeyError), connections_end():
        tf_keras.Model.from_config({"name": "a", "layers": [{}], "input_layers": [], "output_layers": []})
    assert functional_module().reconstruct_from_config is before


def test_threads_that_load_leave_tf_keras_as_it_was(tmp_path: Path) -> None:
    """One would put back what another had set, and leave it there for good."""
    small_model().save(tmp_path / "model.keras")
    before = functional_module().reconstruct_from_config
    with ThreadPoolExecutor(4) as threads:
        assert len([*threads.map(load_model, [tmp_path / "model.keras"] * 16)]) == 16
    assert functional_module().reconstruct_from_config is before


class Endless(BaseException):
    """More turns than calls: one of them made no call, and those that follow do not either."""


class Turns(list[Any]):
    """Layers that tf_keras may go through so many times."""

    def __init__(self, layers: Any) -> None:
        super().__init__(layers)
        self.left = 2 + sum(len(layer.get("inbound_nodes") or ()) for layer in layers if isinstance(layer, dict))

    def __iter__(self) -> Any:
        if not self.left:
            raise Endless
        self.left -= 1
        return super().__iter__()


def counted(reconstruct: Callable[..., Any], config: Any, *others: Any, **named: Any) -> Any:
    if isinstance(config["layers"], list):
        config = {**config, "layers": Turns(config["layers"])}
    return reconstruct(config, *others, **named)


def ending(content: str) -> str:
    """What becomes of a configuration: made, the error, or no end."""
    try:
        tf_keras.Model.from_config(json.loads(content))
    except Endless:
        return WAITS
    except Exception as error:
        return WAITS if WAITS in str(error) else type(error).__name__
    return "made"


NUMBERS = st.sampled_from([0, 0, 1, 1, 2, 3, -1, 1.0, 0.5, True, None, 1e308, "0"])


@few_and_many
def test_exactly_those_without_an_end_are_refused(count: int) -> None:
    """Of configurations with other names, numbers, calls and orders, those for which tf_keras takes turns for ever."""
    good = json.loads(all_kinds_of_model().to_json())["config"]["layers"]
    names = st.sampled_from([*(layer["name"] for layer in good), "relu", "_CONSTANT_VALUE"])
    calls = st.lists(st.lists(st.tuples(names, NUMBERS, NUMBERS), min_size=1, max_size=2), max_size=2)
    values = {int: NUMBERS, str: names, list: calls | st.sampled_from(["", {}, None])}
    of_calls = [place for place in places_in(good) if {"inbound_nodes", "name"} & {*place}]
    places = [place for place in of_calls if place[-1] == "inbound_nodes" or type(at(good, place)) in (int, str)]
    # What lies deeper comes first, while it is there.
    edits = st.lists(st.sampled_from(places), max_size=3, unique_by=str).map(partial(sorted, key=len, reverse=True))
    endings: Counter[str] = Counter()
    module = functional_module()
    whole = json.dumps(all_kinds_of_model().get_config())

    @examples(6 * count)
    @given(st.data(), edits, st.permutations(range(len(good))) | st.just(range(len(good))))
    def check(data: Any, edits: list[list[Any]], order: Any) -> None:
        config = json.loads(whole)
        for place in edits:
            at(config["layers"], place[:-1])[place[-1]] = data.draw(values[type(at(good, place))])
        config["layers"] = [config["layers"][index] for index in order]
        content = json.dumps(config)
        with connections_end():
            ours = ending(content)
        with Overrides() as overrides:
            overrides.set(module, "reconstruct_from_config", partial(counted, module.reconstruct_from_config))
            theirs = ending(content)
        assert ours == theirs
        endings[ours] += 1

    check()
    assert min(endings["made"], endings[WAITS]) > count / 2, endings


def at(value: Any, place: list[Any]) -> Any:
    return functools.reduce(operator.getitem, place, value)
