"""Who the page is served to."""

import logging
import socket

import viser

# A browser opens spare connections and drops them: nothing to print a traceback about.
logging.getLogger("websockets.server").setLevel(logging.CRITICAL)

LOOPBACK = "127.0.0.1"


class Server(viser.ViserServer):
    """Serves whoever can reach the address, and nobody else."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refused: any page open in the browser could ask for it, and publish the scene."""
        return None


def check_host(host: str) -> None:
    """At an address that is not this machine's, viser would try ports for ever."""
    family, kind, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.bind(address)
