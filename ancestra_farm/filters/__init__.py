"""What judges: frame and clip checks, hashes, and the cost-ordered cascade."""
