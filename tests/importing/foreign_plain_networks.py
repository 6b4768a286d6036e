"""Networks as strangers write them without slim's layers, or around them: raw ops, ``tf.layers``, old blogs."""

from __future__ import annotations

import importlib

import tensorflow.compat.v1 as tf

from tests.importing.foreign_networks import foreign, normalised, slim

legacy_convolutional = importlib.import_module("tf_keras.src.legacy_tf_layers.convolutional")
legacy_core = importlib.import_module("tf_keras.src.legacy_tf_layers.core")
legacy_normalization = importlib.import_module("tf_keras.src.legacy_tf_layers.normalization")
legacy_pooling = importlib.import_module("tf_keras.src.legacy_tf_layers.pooling")


def _anonymous(*shape: int):
    return tf.Variable(tf.truncated_normal(shape, stddev=0.1))


@foreign((None, None, 3))
def unet_by_hand(images, is_training):
    """Anonymous variables, and an output shape of the transposed convolution that the graph computes."""
    with tf.variable_scope("unet"):
        down = tf.nn.relu(tf.nn.conv2d(images, _anonymous(3, 3, 3, 4), [1, 1, 1, 1], "SAME") + _anonymous(4))
        net = tf.nn.max_pool(down, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        net = tf.nn.relu(tf.nn.conv2d(net, _anonymous(3, 3, 4, 8), [1, 1, 1, 1], "SAME") + _anonymous(8))
        size = tf.shape(net)
        shape = tf.stack([size[0], size[1] * 2, size[2] * 2, size[3] // 2])
        net = tf.nn.conv2d_transpose(net, _anonymous(2, 2, 4, 8), shape, strides=[1, 2, 2, 1], padding="SAME")
        net = tf.concat([down, tf.nn.relu(net + _anonymous(4))], 3)
        return tf.nn.bias_add(tf.nn.conv2d(net, _anonymous(1, 1, 8, 2), [1, 1, 1, 1], "SAME"), _anonymous(2))


@foreign((12, 12, 3), decay=0.995)
def two_heads_prelu(images, is_training):
    """A detector's two heads, PReLU of single ops with an alpha a channel."""

    def prelu(x):
        alpha = tf.get_variable("alphas", x.shape[-1], tf.float32, tf.constant_initializer(0.25))
        return tf.nn.relu(x) + alpha * (x - abs(x)) * 0.5

    with slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(5e-4), padding="valid"):
        net = images
        for index, depth in enumerate((6, 8)):
            with tf.variable_scope(f"pnet{index}"):
                params = normalised(is_training, decay=0.995)
                net = prelu(slim.conv2d(net, depth, [3, 3], activation_fn=None, scope="conv", **params))
        net = slim.max_pool2d(net, [2, 2], stride=2, padding="SAME")
        classes = slim.conv2d(net, 2, [1, 1], activation_fn=tf.nn.softmax, scope="conv4_1")
        boxes = slim.conv2d(net, 4, [1, 1], activation_fn=None, scope="conv4_2")
    return [classes, boxes]


@foreign((16, 15, 3))
def dilated_by_space_to_batch(images, is_training):
    """Dilation as TensorFlow 1 spelled it: by hand with crops of the shape, and by its own two functions."""
    weights = [tf.get_variable(f"weights{index}", (3, 3, 3, 3)) for index in range(3)]
    padded = tf.shape(images)[1:3] + 4
    right = tf.stack([padded[0] % 2, padded[1] % 2])
    paddings = tf.stack([tf.constant([2, 2]), 2 + right], axis=1)
    net = tf.space_to_batch_nd(images, [2, 2], paddings)
    net = tf.nn.conv2d(net, weights[0], [1, 1, 1, 1], "VALID")
    net = tf.batch_to_space_nd(net, [2, 2], tf.stack([tf.zeros([2], tf.int32), right], axis=1))
    net = tf.nn.relu(tf.reshape(net, [-1, 16, 15, 3]))
    net = tf.nn.relu(tf.nn.atrous_conv2d(net, weights[1], rate=2, padding="SAME"))

    def convolve(x, num_spatial_dims, padding):
        return tf.nn.conv2d(x, weights[2], [1, 1, 1, 1], padding)

    return tf.nn.with_space_to_batch(net, [3, 3], "SAME", convolve, filter_shape=[3, 3], spatial_dims=[1, 2])


@foreign((16, 16, 3), decay=0.99)
def layers_module(images, is_training):
    """``tf.layers``: kernel, bias, gamma, and names that count."""
    net = legacy_convolutional.conv2d(images, 6, 3, padding="same", activation=tf.nn.relu)
    net = legacy_convolutional.conv2d(net, 6, 3, strides=2, use_bias=False)
    net = tf.nn.relu(legacy_normalization.batch_normalization(net, training=is_training))
    net = legacy_convolutional.separable_conv2d(net, 6, 3, padding="same")
    net = tf.nn.relu(legacy_normalization.batch_normalization(net, training=is_training, scale=False))
    net = legacy_convolutional.conv2d_transpose(net, 4, 3, strides=2, padding="same", name="up")
    net = legacy_pooling.max_pooling2d(net, 2, 2)
    return legacy_core.dense(legacy_core.flatten(net), 3, name="logits")


@foreign((None, None, 1), (None, None, 1))
def super_resolution(images, is_training):
    """A small image, shuffled up, on top of one that was resized before."""
    small, large = images
    net = slim.conv2d(small, 6, [3, 3], scope="CNN1")
    net = tf.concat([net, slim.conv2d(net, 4, [3, 3], scope="CNN2")], 3)
    net = slim.conv2d(net, 4, [1, 1], activation_fn=None, scope="Up-PS")
    return tf.add(tf.depth_to_space(net, 2), large, name="output")


@foreign((16, 16, 3))
def flattened_by_shape(images, is_training):
    """Flattened by the batch that the graph counts, once by a slice and once by a product."""
    net = slim.conv2d(images, 4, [3, 3], stride=4, scope="conv1")
    flat = tf.reshape(net, tf.stack([tf.shape(net)[0], -1]))
    other = tf.reshape(net, [-1, tf.reduce_prod(tf.slice(tf.shape(net), [1], [3]))])
    other.set_shape((None, 64))
    flat.set_shape((None, 64))
    return slim.fully_connected(tf.concat([flat, other], 1), 3, activation_fn=None, scope="fc")


@foreign((16, 16, 3), batch=8)
def baked_batch(images, is_training):
    """A batch of eight in placeholder, reshape and tile."""
    net = slim.conv2d(images, 4, [3, 3], stride=4, scope="conv1")
    net = tf.reshape(net, [8, -1])
    net = tf.concat([net, tf.tile(tf.get_variable("code", (1, 4)), [8, 1])], 1)
    return slim.fully_connected(net, 3, activation_fn=None, scope="fc")


@foreign((8, 8, 3))
def softmax_of_pixels(images, is_training):
    """Probabilities with a reshape around them, as slim's own softmax has it, and by hand."""
    logits = slim.conv2d(images, 4, [3, 3], activation_fn=None, scope="logits")
    flat = tf.nn.softmax(tf.reshape(logits, [-1, 4]))
    by_hand = tf.exp(logits) / tf.reduce_sum(tf.exp(logits), axis=-1, keepdims=True)
    return [slim.softmax(logits, scope="predictions"), tf.reshape(flat, tf.shape(logits)), by_hand]


@foreign((16, 16, 3), decay=0.5, freezes=False)
def batch_norm_of_a_blog(images, is_training):
    """Moments, an ExponentialMovingAverage over them, and ``tf.cond(phase_train, ...)``."""
    is_training = tf.convert_to_tensor(is_training)

    def batch_norm(x, depth, scope):
        with tf.variable_scope(scope):
            beta = tf.Variable(tf.constant(0.0, shape=[depth]), name="beta", trainable=True)
            gamma = tf.Variable(tf.constant(1.0, shape=[depth]), name="gamma", trainable=True)
            batch_mean, batch_variance = tf.nn.moments(x, [0, 1, 2], name="moments")
            ema = tf.train.ExponentialMovingAverage(decay=0.5)

            def update():
                with tf.control_dependencies([ema.apply([batch_mean, batch_variance])]):
                    return tf.identity(batch_mean), tf.identity(batch_variance)

            mean, variance = tf.cond(
                is_training, update, lambda: (ema.average(batch_mean), ema.average(batch_variance))
            )
            return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)

    net = tf.nn.conv2d(images, _anonymous(3, 3, 3, 4), [1, 1, 1, 1], "SAME")
    net = tf.nn.relu(batch_norm(net, 4, "bn1"))
    return tf.nn.conv2d(net, _anonymous(1, 1, 4, 2), [1, 1, 1, 1], "SAME")


@foreign((16, 16, 3))
def arithmetic(images, is_training):
    """Constants, scalars that learn, minima, powers and casts between layers."""
    net = slim.conv2d((images + 1.0) * 127.5 - tf.constant([123.68, 116.78, 103.94]), 4, [3, 3], scope="conv1")
    net = tf.minimum(net / 255.0, 4.0) * tf.get_variable("scale", (), initializer=tf.ones_initializer())
    net = net * tf.cast(tf.greater(net, 0.5), tf.float32) + tf.get_variable("shift", (1, 1, 1, 4))
    net = tf.sqrt(tf.square(net) + 1e-4) - tf.pow(net, 2.0) + tf.rsqrt(1.0 + tf.abs(net)) - tf.log1p(tf.abs(net))
    net = tf.clip_by_value(tf.where(net > 0.1, net, tf.zeros_like(net)), -3.0, 3.0)
    return slim.conv2d(tf.add_n([net, -net, net]), 2, [1, 1], activation_fn=None, scope="out")
