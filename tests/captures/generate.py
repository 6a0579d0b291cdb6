# SPDX-License-Identifier: Apache-2.0
"""Writes the project's captures: the demo capture, or with --all every named one, into a folder. Deterministic.

python tests/captures/generate.py [--all] [FOLDER]
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from captures import packets as p
from captures import payloads as pay
from captures.build import CAPTURES
from captures.files import Capture, Tcp, Udp

SITES = {  # name: IPv4 address, IPv6 address
    "www.example.org": ("203.0.113.80", "2001:db8:80::80"),
    "shop.example.com": ("203.0.113.81", "2001:db8:80::81"),
    "news.example.net": ("198.51.100.20", "2001:db8:81::20"),
    "cdn.example.net": ("198.51.100.21", "2001:db8:81::21"),
    "mail.example.org": ("198.51.100.25", "2001:db8:81::25"),
    "api.example.com": ("203.0.113.90", "2001:db8:80::90"),
}
CLIENTS = [(f"192.168.1.{n}", f"2001:db8:1::{n:x}") for n in (10, 11, 12, 23, 42)]
RESOLVER = ("192.168.1.1", "2001:db8:1::1")
PLAIN = {"www.example.org", "cdn.example.net"}  # these speak HTTP, the others TLS


def demo() -> Capture:
    """A minute in a small network: each visit is a DNS question and a connection, over IPv4 or IPv6."""
    dice = random.Random(2026)
    capture, at = Capture(), 0.0
    for visit in range(42):
        host, family = dice.choice(list(SITES)), visit % 3 == 2
        client, server, resolver = dice.choice(CLIENTS)[family], SITES[host][family], RESOLVER[family]
        port, latency = dice.randrange(32768, 61000), dice.uniform(0.002, 0.03)
        qtype = pay.AAAA if family else pay.A
        question = Udp((client, dice.randrange(32768, 61000)), (resolver, 53))
        ident = dice.randrange(65536)
        answer = pay.dns_response((host, qtype), answers=[(qtype, server)], ident=ident)
        capture.add(question.ask(pay.dns_query((host, qtype), ident=ident), answer), at, latency)
        isn = (dice.randrange(2**32), dice.randrange(2**32))
        talk = Tcp((client, port), (server, 80 if host in PLAIN else 443), isn).open()
        if host in PLAIN:
            page = dice.choice(["/", "/index.html", "/style.css", "/logo.png", "/missing"])
            talk.say(pay.http_request(host, page))
            reply = (404, "Not Found") if page == "/missing" else (200, "OK")
            talk.say(pay.http_response(b"x" * dice.randrange(200, 9000), *reply), True)
        else:
            talk.say(pay.client_hello(host)).say(pay.server_hello() + pay.tls_data(bytes(2800)), True)
            talk.say(pay.tls_data(bytes(dice.randrange(80, 600))))
            talk.say(pay.tls_data(bytes(dice.randrange(300, 12000))), True)
        talk.reset(True) if visit % 13 == 12 else talk.close()
        capture.add(talk, at + 2.5 * latency, latency / 2)
        at += dice.uniform(0.4, 2.4)
    clock = Udp((CLIENTS[0][0], 123), ("203.0.113.123", 123))
    capture.add(clock.ask(b"\x23" + bytes(47), b"\x24\x02" + bytes(46)), 3.0, 0.02)
    printer = Udp(("192.168.1.50", 5353), ("224.0.0.251", 5353)).say(
        pay.mdns_announcement("printer.local", "192.168.1.50")
    )
    capture.add(printer, 7.0)
    scan = Tcp(("192.168.1.66", 50500), (CLIENTS[1][0], 22)).segment(p.SYN).segment(p.RST | p.ACK, from_server=True)
    capture.add(scan, 12.0, 0.001)
    capture.add([p.ip(CLIENTS[2][0], RESOLVER[0], p.ICMP, b"\x08\0" + bytes(62))] * 3, 20.0, 1.0)
    return capture.sorted()


def main(arguments: list[str]) -> None:
    every = "--all" in arguments
    folders = [a for a in arguments if a != "--all"]
    folder = Path(folders[0]) if folders else Path(__file__).resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    demo().write(folder / "demo.pcap")
    for name, make in CAPTURES.items() if every else ():
        make().write(folder / f"{name}.pcap")


if __name__ == "__main__":
    main(sys.argv[1:])
