"""OverFeat, fast model (P. Sermanet et al.: Integrated Recognition, Localization and Detection, arXiv:1312.6229).

Output: logits (batch, num_classes), or features (batch, 1, 1, 4096) without classes.

Source: research/slim/nets/overfeat.py.
"""

from __future__ import annotations

from functools import partial

from slim2keras.graphs import layers
from slim2keras.graphs.graph import Tensor
from slim2keras.graphs.initializers import ZEROS, constant, truncated_normal
from slim2keras.nets import arguments
from slim2keras.nets.parts.fully_connected import GlobalPool, classifier_head, read_num_classes
from slim2keras.nets.registry import Net
from slim2keras.nets.slim_function import SlimFunction


def overfeat(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.5,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    global_pool: GlobalPool = False,
    weight_decay: arguments.WeightDecay = 0.0005,
) -> list[Tensor]:
    """Lay OverFeat.

    Source: research/slim/nets/overfeat.py, ``overfeat``.
    """
    ends = x.graph.end_points
    conv = partial(layers.conv2d, weight_decay=weight_decay)
    dense = partial(conv, weights_initializer=truncated_normal(0.005), biases_initializer=constant(0.1))
    x = ends[f"{scope}/conv1"] = conv(x, 64, 11, stride=4, padding="VALID", name=f"{scope}/conv1")
    x = ends[f"{scope}/pool1"] = layers.max_pool2d(x, 2, name=f"{scope}/pool1")
    x = ends[f"{scope}/conv2"] = conv(x, 256, 5, padding="VALID", name=f"{scope}/conv2")
    x = ends[f"{scope}/pool2"] = layers.max_pool2d(x, 2, name=f"{scope}/pool2")
    x = ends[f"{scope}/conv3"] = conv(x, 512, 3, name=f"{scope}/conv3")
    x = ends[f"{scope}/conv4"] = conv(x, 1024, 3, name=f"{scope}/conv4")
    x = ends[f"{scope}/conv5"] = conv(x, 1024, 3, name=f"{scope}/conv5")
    x = ends[f"{scope}/pool5"] = layers.max_pool2d(x, 2, name=f"{scope}/pool5")
    x = ends[f"{scope}/fc6"] = dense(x, 3072, 6, padding="VALID", name=f"{scope}/fc6")
    x = layers.dropout(x, dropout_keep_prob, name=f"{scope}/dropout6")
    x = ends[f"{scope}/fc7"] = dense(x, 4096, 1, name=f"{scope}/fc7")
    return classifier_head(
        x,
        partial(dense, biases_initializer=ZEROS),
        scope=scope,
        num_classes=num_classes,
        dropout_keep_prob=dropout_keep_prob,
        spatial_squeeze=spatial_squeeze,
        global_pool=global_pool,
    )


NETS = (
    Net(
        name="overfeat",
        lay=overfeat,
        scope="overfeat",
        image_size=231,
        preprocessing="vgg",
        labels_offset=1,
        anchor="fc6/weights",
        read_arguments=read_num_classes,
        slim=SlimFunction(module="overfeat", arg_scope="overfeat_arg_scope"),
    ),
)
