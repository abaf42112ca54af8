"""Orders to a farm, from the outside."""
