"""``slim2keras nets``."""

from __future__ import annotations

import json

from slim2keras.nets import list_nets
from slim2keras.recognition.published import PUBLISHED
from tests.cli.running import ok


def test_nets_lists_every_network() -> None:
    """In words and as JSON."""
    text = ok("nets")
    rows = json.loads(ok("nets", "--json"))
    assert [row["net"] for row in rows] == list_nets()
    for name in list_nets():
        assert name in text


def test_nets_lists_the_published_checkpoints() -> None:
    """With the size that each was trained at."""
    text = ok("nets", "--verbose")
    for row in PUBLISHED:
        assert row.name in text
    published = {row["net"]: row["published"] for row in json.loads(ok("nets", "--json"))}
    assert [row["image_size"] for row in published["resnet_v2_50"]] == [299]
