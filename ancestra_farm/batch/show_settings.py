"""``ancestra/show/v1``: what holds for every batch of one show, as data.

Frame rates and handles its shots must have, how they are named, what its policy allows, who may do what on it, what
its batches weigh, how long rejects are kept, and who is told of what. One document for each show of a store, changed
only by order (``ancestra settings show NAME set FILE``). A show without one has no rules of its own.

A batch is held against these rules when it is submitted; nothing here changes a batch. Neither commands nor secrets
stand in a file that others can change and everybody can read: `Recipient` names them, and they lie on the machine of
the controller.
"""

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ancestra_farm.batch.base import Bool, Float, Int, Model, Name, PersonName, Rate
from ancestra_farm.batch.document import Document, read_file
from ancestra_farm.batch.load import accepted
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.schema import Policy, Priority
from ancestra_farm.batch.urls import is_address

SHOW_SCHEMA = "ancestra/show/v1"

ShowRole = Literal["viewer", "submitter", "reviewer", "supervisor"]
"""What a person may be on a show; what each may do is said in `api.people`."""

Occasion = Literal["waits_for_picks", "starved", "budget", "delivered"]
"""What people are told of: a stage waits for picks, a shot is starved, 80 % of a budget is gone, a shot is out."""
OCCASIONS: tuple[Occasion, ...] = ("waits_for_picks", "starved", "budget", "delivered")

#: Hosts that answer with a machine's own credentials, and are therefore never called.
_METADATA_HOSTS = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
_METADATA_ADDRESSES = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254")))


def is_metadata_address(address: str) -> bool:
    """Whether an IP address is link-local or another one at which clouds answer with a machine's own credentials."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_link_local or found.is_unspecified or found.is_multicast or found in _METADATA_ADDRESSES


def _check_webhook(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"this is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("a webhook is an http or https URL in plain ASCII")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a webhook's URL holds no user and password: everybody can read it; it is signed instead")
    if parts.fragment:
        raise ValueError("a webhook's URL has no #fragment")
    try:
        metadata = is_metadata_address(host)
    except ValueError:
        # Resolvers read 0251.0376.0xa9fe as an address, too; nobody who means well writes one so.
        metadata = host.rstrip(".").lower() in _METADATA_HOSTS or is_address(host)
    if metadata:
        raise ValueError(f"{host} is an address of the machine's own network; no webhook goes there")
    return url


Webhook = Annotated[str, Field(max_length=2000), AfterValidator(_check_webhook)]


def _check_template(template: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._#@*-]{1,80}", template):
        raise ValueError(
            "a name's template is made of A-Z a-z 0-9 . _ -, # for a digit, @ for a letter, * for anything"
        )
    if template.count("*") > 4:
        raise ValueError("a name's template has at most four *")
    return template


Template = Annotated[str, AfterValidator(_check_template)]


def matches(template: str, name: str) -> bool:
    """Whether ``name`` is made as ``template`` says: ``#`` a digit, ``@`` a letter, ``*`` anything or nothing."""
    kinds = {"#": "[0-9]", "@": "[A-Za-z]", "*": ".*"}
    return re.fullmatch("".join(kinds.get(letter) or re.escape(letter) for letter in template), name) is not None


class Naming(Model):
    """How things are named. ``anc_###_####``: ``#`` is a digit, ``@`` a letter, ``*`` anything or nothing."""

    batch: Template | None = Field(default=None, description="of batches; None: anyhow")
    shot: Template | None = Field(default=None, description="of shots, such as anc_###_####; None: anyhow")


class ShowPolicy(Policy):
    """What a show allows, and asks for."""

    rights: Bool = Field(
        default=False, description="whether looks and guides need their rows: owner, consent, licence, scope"
    )


class Retention(Model):
    """How long is kept what may go."""

    rejects_days: Float | None = Field(
        default=None, ge=0, le=36_500, description="media of rejects, where `ancestra gc` runs; None: until asked for"
    )


class Recipient(Model):
    """Somebody who is told: by a signed webhook, or by a program on the machine of the controller.

    ``secret`` and ``command`` are names of files in the notification folder of that machine: what they hold never
    stands in the store.
    """

    on: tuple[Occasion, ...] = Field(default=OCCASIONS, min_length=1, max_length=8, description="told of what")
    webhook: Webhook | None = Field(default=None, description="an http or https URL that takes a signed POST")
    secret: Name | None = Field(default=None, description="the name of the secret that the webhook is signed with")
    command: Name | None = Field(default=None, description="the name of a program that reads the notice from its input")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) == (self.command is None):
            raise ValueError("say either a webhook or a command")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("a webhook is signed: name its secret (and a command has none)")
        return self

    @property
    def to(self) -> str:
        """Who is told: the URL, or ``command:NAME``."""
        return self.webhook or f"command:{self.command}"

    @property
    def shown(self) -> str:
        """Who is told, as everybody may read it: the URL's host, or ``command:NAME``."""
        return self.to if self.webhook is None else str(urlsplit(self.webhook).hostname)


class ShowSettings(Model):
    """One show.yaml."""

    schema_: Literal["ancestra/show/v1"] = Field(alias="schema", description="the version of this vocabulary")
    show: Name = Field(description="the show's name, as its batches write it")
    title: str = Field(default="", max_length=200, description="what people call it")
    rates: tuple[Rate, ...] = Field(
        default=(), max_length=16, description="frame rates its shots may have, the first the show's own; none: any"
    )
    handles: Int | None = Field(default=None, ge=0, le=240, description="handles its shots have at least; None: any")
    naming: Naming = Field(default=Naming(), description="how its batches and shots are named")
    policy: ShowPolicy | None = Field(default=None, description="what it allows; None: what each batch says")
    people: dict[PersonName, ShowRole] = Field(
        default_factory=dict, max_length=10_000, description="who is what on this show, beside the farm's own roles"
    )
    weights: dict[Priority, Annotated[Float, Field(gt=0, le=1000)]] = Field(
        default_factory=dict, description="by which the weight of its batches is multiplied, by class; none: 1"
    )
    retention: Retention = Field(default=Retention(), description="how long is kept what may go")
    notify: tuple[Recipient, ...] = Field(default=(), max_length=32, description="who is told of what")


def load_show_settings(path: Path | str, show: str | None = None) -> ShowSettings:
    """The settings in a file. ``show``: whose they have to be. Raises BatchRefused with every fault, by line."""
    return show_settings_in(read_file(Path(path)), show)


def show_settings_in(document: Document, show: str | None = None) -> ShowSettings:
    """The settings in a document, as `load_show_settings`."""
    settings = accepted(document, ShowSettings)
    if show is not None and settings.show != show:
        raise BatchRefused([document.problem(("show",), f"these are the settings of {settings.show}, not of {show}")])
    return settings


def show_settings_of(document: str) -> ShowSettings:
    """The settings in canonical JSON, as the log keeps them. Raises ValueError."""
    return ShowSettings.model_validate(json.loads(document), by_alias=True, by_name=False)
