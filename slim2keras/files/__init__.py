"""Files: ours written whole or not at all, with their reports; archives of anybody unpacked within bounds."""
