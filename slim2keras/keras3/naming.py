"""Names of slim as Keras 3 takes them.

Keras 3 refuses ``/`` in a name. ``>`` is what every backend takes in its place and no slim scope contains: PyTorch
refuses ``.``, TensorFlow ``:``, ``|`` and blanks, and in a function, as ``predict`` and ``fit`` make one, a ``>`` with
no letter or digit behind it. Whatever else a graph of somebody's own has in a name is written as ``>0x``, two
hexadecimal digits and ``_``, so that no two names become one.
"""

from __future__ import annotations

import re

_STRANGE = re.compile(r"/(?![a-zA-Z0-9])|/(?=0x[0-9a-f]{2,}_)|[^\w/-]", re.ASCII)
_ESCAPED = re.compile(r">(?:0x|>)([0-9a-f]{2,})_|>")
"""Files of release 0.1.0 have a second ``>`` where ``0x`` is."""


def to_keras3_name(name: str) -> str:
    """The name in Keras 3 of a layer: ``"LeNet/conv1"`` gives ``"LeNet>conv1"``."""
    return _STRANGE.sub(lambda found: f">0x{ord(found[0]):02x}_", name).replace("/", ">")


def to_slim_name(name: str) -> str:
    """The reverse."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "/", name)
