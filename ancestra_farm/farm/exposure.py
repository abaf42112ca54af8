"""Whether a Ray cluster lets in whoever asks, found out from outside: as somebody would who has no token for it.

Ray's token is full control of a cluster: whoever may submit a job or read its tables of functions runs what they like
on every node. So a cluster is asked, without a token, for something that only its own may have. What it says to that is
the answer: a head that forgot `RAY_AUTH_MODE=token` looks like any other to whoever brings a token along.
"""

import os
from typing import TYPE_CHECKING, Any, Literal

from ancestra_farm.farm.head import HOW_TO_CLOSE

if TYPE_CHECKING:
    import grpc  # type: ignore[import-untyped] # its types are a package of their own

#: A head that is there answers in milliseconds; one under load in a second or two.
ANSWER_S = 10.0
#: As Ray does it, whatever http_proxy says: a cluster is not asked through a proxy for pages.
_OPTIONS = (("grpc.enable_http_proxy", 0),)


class ClusterOpen(Exception):
    """A cluster answers without a token; the message says how to close it."""


class NoAnswer(Exception):
    """A cluster says neither yes nor no; the message says what it said instead."""


def refuse_open(address: str) -> None:
    """Raise `ClusterOpen` if the cluster at ``address`` (``HOST:PORT`` or ``ray://HOST:PORT``) asks for no token.

    Raises `NoAnswer` where that cannot be found out.
    """
    if lets_in(address) == "anybody":
        raise ClusterOpen(
            f"the Ray at {address} answers without a token: whoever reaches it can run anything there. Close it: "
            f"{HOW_TO_CLOSE}; or say --insecure"
        )


def lets_in(address: str) -> Literal["anybody", "holders"]:
    """Whom the cluster at ``address`` lets in: anybody, or only holders of its token. Raises `NoAnswer`."""
    import grpc  # noqa: PLC0415 - comes with Ray, and takes a while to load

    by_client = address.startswith("ray://")
    target = address.removeprefix("ray://")
    with _channel(target) as channel:
        try:
            if by_client:
                _ask_client_server(channel)
            else:
                _ask_gcs(channel)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return "holders"
            raise NoAnswer(f"{address} does not say whether it asks for a token ({error.code().name})") from error
    return "anybody"


def _ask_gcs(channel: "grpc.Channel") -> None:
    """One entry of the cluster's key-value table, which also holds the functions that its workers run."""
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc  # noqa: PLC0415 - as above

    messages: Any = gcs_service_pb2  # made at run time
    request = messages.InternalKVGetRequest(namespace=b"session", key=b"session_name")
    gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel).InternalKVGet(request, timeout=ANSWER_S, wait_for_ready=True)


def _ask_client_server(channel: "grpc.Channel") -> None:
    """The resources of the cluster, as `ray.init("ray://…")` asks for them."""
    from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc  # noqa: PLC0415 - as above

    messages: Any = ray_client_pb2  # as above
    request = messages.ClusterInfoRequest(type=messages.ClusterInfoType.PING)
    ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(request, timeout=ANSWER_S, wait_for_ready=True)


def _channel(target: str) -> "grpc.Channel":
    """A connection as Ray makes it, over TLS where Ray is told to use that, and without Ray's token."""
    import grpc  # noqa: PLC0415 - as above

    if os.environ.get("RAY_USE_TLS", "0").lower() not in {"1", "true"}:
        return grpc.insecure_channel(target, options=_OPTIONS)
    from ray._common.tls_utils import load_certs_from_env  # noqa: PLC0415 - as above

    chain, key, authority = load_certs_from_env()
    credentials = grpc.ssl_channel_credentials(certificate_chain=chain, private_key=key, root_certificates=authority)
    return grpc.secure_channel(target, credentials, options=_OPTIONS)
