"""A farm on a cluster that grows, shown: `make cluster-demo`."""
