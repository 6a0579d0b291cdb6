# SPDX-License-Identifier: Apache-2.0
"""What a run says at its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aicore.cli.progress import LOSSES
from aicore.cli.terminal import count, rate, safe, size, table

if TYPE_CHECKING:
    from aicore.cli.run_setup import Job
    from aicore.run.context import AdaptorSummary, RunSummary, TopRow

_TOPS = {"protocols": "LAYER 7", "hosts": "HOST", "talkers": "TALKER"}
_TOP_ROWS = 10

#: Counters of what was read but is in no flow.
UNTRACKED = {
    "icmp": "ICMP",
    "sctp": "SCTP",
    "igmp": "IGMP",
    "esp": "ESP",
    "other_ip": "other IP",
    "arp": "ARP",
    "other_link": "not IP",
    "not_selected": "TCP or UDP not asked for",
    "orphan_fragments": "orphan fragments",
    "tunnel_fragments": "further fragments of tunnels",
}

#: Counters that tell of a broken packet or of a bound that was reached.
_NOTABLE = (
    "files_broken",
    "truncated_packets",
    "short_link",
    "bad_link",
    "short_ip",
    "bad_ip_version",
    "bad_ip_length",
    "bad_ipv6_extension",
    "short_transport",
    "bad_tcp_offset",
    "bad_udp_length",
    "bad_fragment",
    "too_deep",
    "bad_tunnel",
    "time_jumps",
    "evicted",
    "duplicate_fragments",
    "fragment_overlaps",
    "fragment_table_full",
    "reassembly_gaps",
    "reassembly_full",
    "reassembly_evicted",
    "inspection_full",
    "inspection_lost",
    "inspection_late",
    "strings_cut",
    "values_refused",
    "names_beyond_list",
    "names_untold",
)


def lines(summary: RunSummary, job: Job) -> Iterator[str]:
    """The summary as lines for people."""
    counters = summary.counters
    seconds = max(summary.seconds, 1e-9)
    packets, flows = counters.get("packets", 0), counters.get("flows_tcp", 0) + counters.get("flows_udp", 0)
    yield (
        f"{count(packets, 'packet')}, {size(counters.get('wire_bytes', 0))} from {_source(job, counters)}"
        f" in {summary.seconds:.2f} s ({rate(packets / seconds)} packets/s)"
    )
    yield (
        f"{count(flows, 'flow')}: {count(counters.get('flows_tcp', 0))} TCP, {count(counters.get('flows_udp', 0))} UDP;"
        f" {count(counters.get('events', 0), 'event')}"
    )
    if summary.workers:
        packets_each = ", ".join(count(worker["packets"]) for worker in summary.workers)
        yield f"{count(len(summary.workers), 'worker')}, packets of each: {packets_each}"
    for name, title in _TOPS.items():
        rows = summary.top.get(name, [])
        if rows:
            yield ""
            yield from _top(title, rows)
    yield ""
    yield from _listing("not tracked", counters, UNTRACKED)
    yield from _listing("lost", counters, LOSSES)
    yield from _listing("noticed", counters, {name: name.replace("_", " ") for name in _NOTABLE})
    for adaptor in summary.adaptors:
        yield _store(adaptor)
    for plugin in summary.plugins:
        if plugin.set_aside is not None:
            yield f"plugin: {safe(plugin.name)} was set aside: {safe(plugin.set_aside)}"
        elif plugin.errors:
            yield f"plugin: {safe(plugin.name)} failed {count(plugin.errors, 'time')}"
    if summary.error is not None:
        yield f"error: {safe(summary.error)}"
    if summary.partial:
        yield _partial(summary)


def _partial(summary: RunSummary) -> str:
    what = "interrupted" if summary.interrupted else "stopped"
    packets = count(summary.counters.get("packets", 0), "packet")
    if summary.bytes_total is None:
        return f"{what}: read {packets}, not to the end of the input; the result is partial"
    read = f"{count(summary.bytes_read)} of {count(summary.bytes_total, 'byte')} ({packets})"
    return f"{what}: read {read}; the result is partial"


def _source(job: Job, counters: dict[str, int]) -> str:
    names = job.source.names
    if job.source.follow:
        return f"{count(counters.get('files_read', 0), 'capture')} in {safe(' and '.join(names))}"
    if job.source.live:
        return safe(" and ".join(names))
    if len(names) == 1:
        return "standard input" if names[0] == "-" else safe(names[0])
    return count(len(names), "file")


def _top(title: str, rows: list[TopRow]) -> list[str]:
    """Flows without the thing that is ranked have an empty name."""
    cells = [(name or "(unknown)", count(flows), count(packets), size(octets)) for name, flows, packets, octets in rows]
    return table((title, "FLOWS", "PACKETS", "BYTES"), cells[:_TOP_ROWS], right=(1, 2, 3))


def _listing(title: str, counters: dict[str, int], names: dict[str, str]) -> Iterator[str]:
    found = [f"{words} {count(counters[name])}" for name, words in names.items() if counters.get(name)]
    if found:
        yield f"{title}: {', '.join(found)}"


def _store(adaptor: AdaptorSummary) -> str:
    """Where the records went: `sqlite:flows.db: 1,204 records delivered, 3 waiting in the spool`."""
    counters = adaptor.counters
    parts = [f"{count(counters.get('delivered', 0), 'record')} delivered"]
    for name, words in (
        ("merged", "merged into later ones"),
        ("spooled", "waiting in the spool"),
        ("dead_lettered", "among the dead letters"),
        ("shed", "updates shed"),
        ("queued", "not delivered"),
        ("lost", "lost"),
        ("spools_unusable", "of its spools cannot be opened"),
        ("spool_set_aside", "files of its spool set aside"),
    ):
        if counters.get(name):
            parts.append(f"{count(counters[name])} {words}")
    if counters.get("spool_damaged_bytes") or counters.get("spool_damaged_rows"):
        skipped = size(counters.get("spool_damaged_bytes", 0))
        parts.append(f"{count(counters.get('spool_damaged_rows', 0))} lost in a damaged spool ({skipped} skipped)")
    text = f"store: {safe(adaptor.target)}: {', '.join(parts)}"
    # The last error of a store that has recovered, and has everything, is of no interest any more.
    matters = adaptor.state == "fatal" or len(parts) > 1 + bool(counters.get("merged"))
    return f"{text}; {safe(adaptor.state)}: {safe(adaptor.error)}" if adaptor.error and matters else text
