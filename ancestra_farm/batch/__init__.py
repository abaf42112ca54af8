"""What a person asks for: the versioned schemas, loading, and checks that name the line."""
