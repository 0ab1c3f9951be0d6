"""video/packets: packets as stored in, the table of frames as shown out. Decodes nothing."""
