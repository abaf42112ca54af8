"""Models that draw nothing of their own: frames between the frames of a clip, and pictures made larger."""
