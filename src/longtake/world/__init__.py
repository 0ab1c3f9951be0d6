"""world: a seed in; drawn scenes, their captions and questions with right answers out. Knows nothing of models."""
