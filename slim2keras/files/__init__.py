"""Files of ours: written whole or not at all; archives, reports, hashes."""
