"""What a batch means beyond its schema, one noun per module. `ancestra_farm.batch.check` runs them all."""
