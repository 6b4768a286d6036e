"""slim's networks by the names of its ``nets_factory``."""

from __future__ import annotations

from slim2keras.errors import UnknownNetError, did_you_mean
from slim2keras.nets import (
    alexnet,
    cifarnet,
    densenet,
    i3d,
    inception_resnet,
    inception_v1,
    inception_v2,
    inception_v3,
    inception_v4,
    lenet,
    mobilenet,
    mobilenet_v1,
    nasnet,
    overfeat,
    resnet,
    vgg,
)
from slim2keras.nets.registry import Net
from slim2keras.scopes import natural_order

FAMILIES = (
    alexnet,
    cifarnet,
    densenet,
    i3d,
    inception_resnet,
    inception_v1,
    inception_v2,
    inception_v3,
    inception_v4,
    lenet,
    mobilenet,
    mobilenet_v1,
    nasnet,
    overfeat,
    resnet,
    vgg,
)

NETS: dict[str, Net] = {net.name: net for family in FAMILIES for net in family.NETS}


def list_nets() -> list[str]:
    """Names of the networks, as in slim's ``nets_factory``, sorted by family and depth.

    Examples:
        >>> [name for name in slim2keras.list_nets() if name.startswith("vgg")]
        ['vgg_16', 'vgg_19', 'vgg_a']
    """
    return sorted(NETS, key=natural_order)


def find_net(name: str) -> Net:
    """Return the network called ``name``.

    Raises:
        UnknownNetError: If there is none; close names are offered.
    """
    if name not in NETS:
        raise UnknownNetError(
            f"There is no network {name!r}.{did_you_mean(name, NETS)} All names: slim2keras nets (list_nets())."
        )
    return NETS[name]
