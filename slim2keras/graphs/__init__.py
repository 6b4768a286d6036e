"""A network as data: layers, shapes and variables, before any of it is made."""
