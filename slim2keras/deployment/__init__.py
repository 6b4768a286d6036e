"""Where models go: files for other runtimes, each read back by the runtime that will run it."""
