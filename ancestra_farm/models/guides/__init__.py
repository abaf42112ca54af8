"""Guides as frames: pictures and clips read, fitted to what a model is asked for, and paths rendered as clips."""
