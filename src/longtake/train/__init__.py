"""train (outer ring): a recipe in, a checkpoint out. May import every other room; none imports it."""
