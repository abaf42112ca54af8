"""The metrics, one registry, one exporter.

`Metrics` and `serve` are imported from their own modules: the catalogue is read without the Prometheus client.
"""
