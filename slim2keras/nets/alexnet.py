"""AlexNet v2, "One weird trick for parallelizing convolutional neural networks" (A. Krizhevsky, arXiv:1404.5997).

Without the local response normalisation of the first AlexNet.

Output: logits (batch, num_classes), or features (batch, 1, 1, 4096) without classes.

Source: research/slim/nets/alexnet.py.
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


def alexnet_v2(
    x: Tensor,
    *,
    num_classes: arguments.NumClasses = 1000,
    dropout_keep_prob: arguments.KeepProb = 0.5,
    spatial_squeeze: arguments.ShownSwitch = True,
    scope: str,
    global_pool: GlobalPool = False,
    weight_decay: arguments.WeightDecay = 0.0005,
) -> list[Tensor]:
    """Lay AlexNet v2.

    Source: research/slim/nets/alexnet.py, ``alexnet_v2``.
    """
    ends = x.graph.end_points
    conv = partial(layers.conv2d, weight_decay=weight_decay, biases_initializer=constant(0.1))
    dense = partial(conv, weights_initializer=truncated_normal(0.005))
    x = ends[f"{scope}/conv1"] = conv(x, 64, 11, stride=4, padding="VALID", name=f"{scope}/conv1")
    x = ends[f"{scope}/pool1"] = layers.max_pool2d(x, 3, name=f"{scope}/pool1")
    x = ends[f"{scope}/conv2"] = conv(x, 192, 5, name=f"{scope}/conv2")
    x = ends[f"{scope}/pool2"] = layers.max_pool2d(x, 3, name=f"{scope}/pool2")
    x = ends[f"{scope}/conv3"] = conv(x, 384, 3, name=f"{scope}/conv3")
    x = ends[f"{scope}/conv4"] = conv(x, 384, 3, name=f"{scope}/conv4")
    x = ends[f"{scope}/conv5"] = conv(x, 256, 3, name=f"{scope}/conv5")
    x = ends[f"{scope}/pool5"] = layers.max_pool2d(x, 3, name=f"{scope}/pool5")
    x = ends[f"{scope}/fc6"] = dense(x, 4096, 5, padding="VALID", name=f"{scope}/fc6")
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
        name="alexnet_v2",
        lay=alexnet_v2,
        scope="alexnet_v2",
        image_size=224,
        preprocessing="vgg",
        labels_offset=1,
        anchor="fc6/weights",
        read_arguments=read_num_classes,
        slim=SlimFunction(module="alexnet", arg_scope="alexnet_v2_arg_scope"),
    ),
)
