"""The metrics, one registry, one exporter."""
