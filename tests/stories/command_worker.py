"""``slim2keras`` where the processor is several devices.

Arguments: the number of devices, and those of the command.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    import tensorflow as tf

    from slim2keras.cli.app import main

    _, count, *arguments = sys.argv
    if int(count) > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * int(count))
    sys.argv = ["slim2keras", *arguments]
    main()
