"""Which names this server answers to: a page from elsewhere must not reach a server on a laptop (DNS rebinding)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server at ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def name_of(host: str) -> str:
    """Return the name in a Host header, without the port, in lower case; "" for one that cannot be read."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Hosts:
    """Names allowed in the Host header, and origins allowed to call.

    On a loopback address these are the loopback names and ``allowed``; elsewhere ``allowed``, or any if it is empty:
    there a key is asked for, which a foreign page does not have.
    """

    def __init__(self, host: str, allowed: Sequence[str], origins: Sequence[str]) -> None:
        names = {name.lower() for name in allowed}
        if is_loopback(host):
            names |= {*LOOPBACK_NAMES, host.strip("[]").lower()}
        self.names = names
        self.any = not names
        self.origins = {origin.rstrip("/").lower() for origin in origins}

    def allows(self, host: str) -> bool:
        """Whether a Host header is one of ours."""
        return self.any or name_of(host) in self.names

    def same(self, origin: str, host: str) -> bool:
        """Whether an Origin header is that of our own page, or one that the settings name."""
        if origin.rstrip("/").lower() in self.origins:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower() != ""
        except ValueError:
            return False
