"""The farm on Ray: controller, hosts, stitch tasks. The only package that imports ray."""
