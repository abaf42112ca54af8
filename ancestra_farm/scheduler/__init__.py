"""Every decision, pure: happenings in, instructions out."""
