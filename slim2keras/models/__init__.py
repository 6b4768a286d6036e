"""tf_keras models: made of layer graphs, and looked into."""
