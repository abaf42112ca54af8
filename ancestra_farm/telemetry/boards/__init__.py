"""What Prometheus and Grafana are given: dashboards, recording rules, alerts and configuration, all from code.

`python -m ancestra_farm.telemetry.boards FOLDER` writes them; ``dashboards/`` holds them as written, and
`ancestra dash` writes them anew for the Prometheus that it starts.
"""
