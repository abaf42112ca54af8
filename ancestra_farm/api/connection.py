"""Connections to a door: over TLS to the one that has the certificate that was named, and to no other."""

import urllib3

#: Seconds for a connection: the machine is this one, or one of the same studio.
CONNECT_S = 3.0
#: Seconds for an answer; the door itself gives up after 45.
READ_S = 60.0


def connections(endpoint: str, fingerprint: str) -> urllib3.PoolManager:
    """Connections to a controller, and to no other. ``fingerprint``: SHA-256, hex, of its certificate."""
    timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    if not endpoint.startswith("https:"):
        return urllib3.PoolManager(num_pools=2, retries=False, timeout=timeout)
    # Nobody vouches for it but whoever names it, so neither authorities nor names say more than the fingerprint. One
    # that is missing matches nothing.
    return urllib3.PoolManager(
        num_pools=2,
        retries=False,
        timeout=timeout,
        cert_reqs="CERT_NONE",
        assert_hostname=False,
        assert_fingerprint=fingerprint or "0" * 64,
    )
