"""Programs that run a file with its own runtime, without slim2keras: FILE INPUTS.npz OUTPUTS.npz."""
