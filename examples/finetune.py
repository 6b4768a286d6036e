"""From a slim checkpoint to a fine-tuned model: ``python examples/finetune.py CHECKPOINT OUTPUT``.

CHECKPOINT is a ``mobilenet_v1_025``, such as slim's published ``mobilenet_v1_0.25_128_2018_02_22.tgz``.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from digits import load_digits

import slim2keras

checkpoint, output = sys.argv[1:]
images, labels, test_images, test_labels = load_digits(64)
model = slim2keras.convert(checkpoint, input_shape=(64, 64, 3), num_classes=10, exclude=["MobilenetV1/Logits"])
tuned = slim2keras.finetune(model, batch_norm="update", decay="auto")
tuned.compile(
    optimizer=slim2keras.optimizers.Momentum(0.01, 0.9),
    loss=slim2keras.losses.SoftmaxCrossEntropy(label_smoothing=0.1),
    metrics=["accuracy"],
)
tuned.fit(images, labels, batch_size=32, epochs=2, validation_data=(test_images, test_labels), verbose=2)
model.save(f"{output}.keras")  # stock layers, the weights that were tuned
slim2keras.export_checkpoint(tuned, f"{output}.ckpt-{int(tuned.optimizer.iterations)}")  # and back to slim
