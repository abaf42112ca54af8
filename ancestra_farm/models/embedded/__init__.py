"""The farm's own small checkpoint: the pictures it is trained on, its training, its judges, and what is shipped."""
