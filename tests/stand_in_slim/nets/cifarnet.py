"""The newer style: ``tensorflow.compat.v1`` and ``tf_slim``."""

import tensorflow.compat.v1 as tf
import tf_slim as slim


def cifarnet(images, num_classes=10, is_training=False, dropout_keep_prob=0.5, scope="CifarNet"):
    ends = {}

    def norm(net, name):
        return tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9.0, beta=0.75, name=name)

    with tf.variable_scope(scope, "CifarNet", [images]):
        net = ends["conv1"] = slim.conv2d(images, 64, [5, 5], scope="conv1")
        net = ends["pool1"] = slim.max_pool2d(net, [2, 2], 2, scope="pool1")
        net = ends["conv2"] = slim.conv2d(norm(net, "norm1"), 64, [5, 5], scope="conv2")
        net = ends["pool2"] = slim.max_pool2d(norm(net, "norm2"), [2, 2], 2, scope="pool2")
        net = ends["Flatten"] = slim.flatten(net)
        net = ends["fc3"] = slim.fully_connected(net, 384, scope="fc3")
        net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope="dropout3")
        net = ends["fc4"] = slim.fully_connected(net, 192, scope="fc4")
        logits = {"activation_fn": None, "weights_regularizer": None, "scope": "logits"}
        net = ends["Logits"] = slim.fully_connected(net, num_classes, **logits)
        ends["Predictions"] = slim.softmax(net, scope="Predictions")
    return net, ends


def cifarnet_arg_scope(weight_decay=0.004):
    with slim.arg_scope([slim.fully_connected], weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
        return scope
