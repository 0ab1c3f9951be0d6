"""video/decoding: frame numbers in, decoded frames out. Knows nothing of what they look like."""
