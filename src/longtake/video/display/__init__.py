"""video/display: a decoded frame in, the picture that a player shows out. Knows nothing of files."""
