"""video/structure: the bytes of a container in, whether they hold together out. Decodes nothing."""
