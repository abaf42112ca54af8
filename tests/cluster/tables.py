"""The table of what the clusters can cost, for cluster/README.md: `python -m tests.cluster.tables` prints it."""

from tests.cluster.manifests import FARMS, farm

HEADER = (
    "| cluster | node type | market | GPUs | CPUs | GiB | an hour of one | at most | an hour of all |",
    "|---|---|---|---|---|---|---|---|---|",
)


def costs() -> str:
    """One row for each node type, and one for the sum of each cluster."""
    rows = list(HEADER)
    for cluster in FARMS:
        settings = farm(cluster)
        total = 0.0
        for name, kind in settings.node_types.items():
            gpus = f"{kind.gpus} × {kind.accelerator}, {kind.vram_gib:g} GiB" if kind.gpus else "–"
            hour = kind.price_per_hour * kind.max_nodes
            total += hour
            market = kind.market.replace("_", "-")
            price = f"{kind.price_per_hour:.2f} | {kind.max_nodes} | {hour:.2f}"
            rows.append(f"| {cluster} | {name} | {market} | {gpus} | {kind.cpus:g} | {kind.memory_gib:g} | {price} |")
        rows.append(f"| **{cluster}** | | | | | | | | **{total:.2f} {settings.currency}** |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(costs())
