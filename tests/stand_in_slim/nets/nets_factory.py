"""Networks and arg scopes by name, as in research/slim."""

from nets import cifarnet, lenet

networks_map = {"cifarnet": cifarnet.cifarnet, "lenet": lenet.lenet}
arg_scopes_map = {"cifarnet": cifarnet.cifarnet_arg_scope, "lenet": lenet.lenet_arg_scope}
