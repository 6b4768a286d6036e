"""The older style: ``import tensorflow as tf`` is TensorFlow 1, slim lies in ``tf.contrib``, NumPy has its own int."""

import tensorflow as tf
from tensorflow.contrib import training as contrib_training

slim = tf.contrib.slim

WIDTHS = contrib_training.HParams(conv1=int(32.0), conv2=int(64.0), fc3=1024)
WIDTHS.set_hparam("conv2", 64)


def lenet(images, num_classes=10, is_training=False, dropout_keep_prob=0.5, prediction_fn=slim.softmax, scope="LeNet"):
    ends = {}
    with tf.variable_scope(scope, "LeNet", [images]):
        net = ends["conv1"] = slim.conv2d(images, WIDTHS.conv1, [5, 5], scope="conv1")
        net = ends["pool1"] = slim.max_pool2d(net, [2, 2], 2, scope="pool1")
        net = ends["conv2"] = slim.conv2d(net, WIDTHS.values()["conv2"], [5, 5], scope="conv2")
        net = ends["pool2"] = slim.max_pool2d(net, [2, 2], 2, scope="pool2")
        net = ends["Flatten"] = slim.flatten(net)
        net = ends["fc3"] = slim.fully_connected(net, WIDTHS.fc3, scope="fc3")
        if not num_classes:
            return net, ends
        net = ends["dropout3"] = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope="dropout3")
        net = ends["Logits"] = slim.fully_connected(net, num_classes, activation_fn=None, scope="fc4")
    ends["Predictions"] = prediction_fn(net, scope="Predictions")
    return net, ends


def lenet_arg_scope(weight_decay=0.0):
    with slim.arg_scope(
        [slim.conv2d, slim.fully_connected],
        weights_regularizer=slim.l2_regularizer(weight_decay),
        weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
    ) as scope:
        return scope
