"""The native core: what Python may ask of it. Private; `aicore` wraps it.

Times are nanoseconds since the epoch, UTC. Every method may be called from any thread, those of a Lookup from one at
a time; pull(), json(), close() and trim_memory() release the GIL while they work.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, final

from aicore.record.schema import FieldType

PROTOCOL_ABI: int
METER_ABI: int

# PyCapsules of the three protocols of the core, for the entry points of aicore's own pyproject.
http: object
tls: object
dns: object

def abi_error(capsule: object) -> str | None:
    """Why a capsule cannot be used as a protocol (wrong ABI, size, name, null function), or None."""

def meter_abi_error(capsule: object) -> str | None:
    """The same for a meter."""

def is_meter(capsule: object) -> bool:
    """Whether it is a capsule of a meter."""

def core_fields() -> list[dict[str, Any]]:
    """The fields that every record has, in the order of columns: name, type (a FieldType), notify, width, unit, ecs,
    help, protocol of each, and meta: true for what a batch knows of an event beside its record."""

def counters_info() -> dict[str, str]:
    """Every counter of the core by name, with its meaning."""

def interfaces() -> list[dict[str, Any]]:
    """Capture devices: name, description, addresses, up, running, loopback. OSError if they cannot be listed."""

def trim_memory() -> None:
    """Gives free memory of the heap back to the system, where the C library can. Milliseconds."""

def arrow_schema(fields: Sequence[tuple[str, str]]) -> object:
    """PyCapsule "arrow_schema" of fields by name and type."""

class _BatchSource(Protocol):
    def next(self) -> Batch | None: ...
    def close(self) -> None: ...

def arrow_stream(source: _BatchSource, fields: Sequence[tuple[str, str]]) -> object:
    """PyCapsule "arrow_array_stream" of the batches that next() returns, None at the end; what it raises is the
    stream's error, and a field that a batch has not is null there. close() is called as the stream is released. Both
    are called on the consumer's threads."""

@final
class Registry:
    """The protocols and meters of one run, in the order they were added."""

    def __init__(self) -> None: ...
    def add(self, capsule: object) -> str:
        """Adds a protocol and returns its name. ValueError says why it cannot be added."""
    def add_external(
        self,
        name: str,
        transports: int,
        rank: int,
        ports: Sequence[int],
        prefixes: Sequence[bytes],
        fields: Sequence[Mapping[str, Any]],
    ) -> str:
        """Adds a protocol whose inspect() is Python: Engine.inspect() has it look at payloads."""
    def add_meter(self, capsule: object, config: bytes = b"", fields: Sequence[Mapping[str, Any]] | None = None) -> str:
        """Adds a meter behind all protocols, and returns its name. `config` is for its create(), `fields` replace those
        that it declares. ValueError says why it cannot be added."""
    def protocols(self) -> list[dict[str, Any]]:
        """name, help, transports, rank, ports, fields of each."""
    def meters(self) -> list[dict[str, Any]]:
        """name, help, state_size, stream_bytes, fields of each."""
    def fields(self) -> list[dict[str, Any]]:
        """name, type (a FieldType), notify, width, unit, ecs, help, protocol of each field that protocols, meters
        and hooks declared, in column order."""
    def declare(self, field: Mapping[str, Any]) -> None:
        """A field that a hook plugin fills, as fields() lists it. ValueError says why it cannot be."""

@final
class Batch:
    """Events in order of seq, as rows with columns. Owns its memory. Immutable but for add()."""

    def __len__(self) -> int: ...
    @staticmethod
    def from_rows(rows: Sequence[Mapping[str, Any]], fields: Sequence[Mapping[str, Any]] = ()) -> Batch:
        """From records (dicts with the names of the schema; optional extra keys: event, new, version; unknown keys
        become added columns, of the type that `fields` says or else that of their values). Missing keys are absent.
        ValueError names the row and the field."""
    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """Fields are matched by name. ValueError names one that has two types."""
    def take(self, rows: Sequence[int]) -> Batch:
        """These rows, in this order; strings are shared."""
    def kind(self, event: Literal["insert", "update", "remove"]) -> Batch | None:
        """The rows of that kind, or None if there is none."""
    def net(self) -> Batch:
        """One row a flow, its latest, in order of seq; column `new` is 1 where the flow's insert was merged in."""
    def rows_at_multiples(self, every: Mapping[int, int]) -> list[int]:
        """The rows that a run would have made whose updates are sampled at so many packets of a flow, by IP protocol
        number (0 and absent: on discoveries only), of a batch whose engine is `thinned` and samples at a divisor."""
    def names(self) -> list[str]:
        """Columns that column() knows here: core, protocol fields, added ones."""
    def fields(self) -> list[dict[str, Any]]:
        """Those beside the core's, as Registry.fields() lists them."""
    def column(self, name: str) -> Any:
        """Integers and times: memoryview "q" (may be strided); real numbers: "d"; booleans: "?"; 0 where absent.
        Strings: tuple of str | None. Lists: tuple of tuples | None. Made once. KeyError for an unknown name.

        Beside the record: event (str), new and sampled (bool), version (int)."""
    def valid(self, name: str) -> memoryview:
        """1 where the row has a value, as uint8. Made once."""
    def type(self, name: str) -> FieldType: ...
    def distinct(self, name: str) -> tuple[list[str | None], memoryview]:
        """A column of strings as its values, each once, and for each row the index of its value (uint32). KeyError for
        the name of no such column."""
    def add(self, name: str, values: Sequence[Any], codes: Sequence[int] | None = None) -> None:
        """Adds a column of any FieldType; None = absent. With codes the row's value is values[code]. ValueError after
        seal(), for a name that exists or that a run does not declare, a value of another type, a wrong length, or a
        code that has no value."""
    def seal(self) -> None: ...
    def json(self, meta: bool = False) -> tuple[bytes, ...]:
        """One JSON object for each row; made once. meta: what is beside the record stands in it too."""
    def nested_json(self, places: dict[str, str]) -> tuple[bytes, ...]:
        """The same with each field at a dotted place. ValueError names a field that has none, or one in
        another's."""
    def packed(self, places: Sequence[tuple[str, Sequence[str], int, int]], size: int) -> bytearray:
        """Rows of `size` bytes; a place is kind, fields, offset, width. ValueError for places that do not fit."""
    def json_lines(self, meta: bool = False) -> bytes:
        """The same as one buffer, each line ended by a newline."""
    def arrow_schema(self) -> object:
        """PyCapsule "arrow_schema": the record's columns, then event, new and version."""
    def arrow_array(self) -> tuple[object, object]:
        """PyCapsules "arrow_schema" and "arrow_array". ValueError for a column of more than 2 GiB of text."""
    def arrow_stream(self) -> object:
        """PyCapsule "arrow_array_stream" of as few arrays as the text allows."""
    def schema_bytes(self) -> bytes:
        """What BinaryReader needs to know of the batch, the same for all batches of a run."""
    def to_bytes(self) -> bytes:
        """The rows; see aicore/binary.h."""
    def view(self) -> Batch:
        """The same rows, with forms of its own; of a batch that is not sealed, copied."""
    def row(self, index: int) -> dict[str, Any]:
        """One row's present values as Python objects, times as integers."""
    @property
    def nbytes(self) -> int:
        """Memory held: rows, texts (also those shared with other batches), and what was made once."""
    def forget(self) -> None:
        """Drops what was made once; it is made again when asked for."""
    def payload_flows(self) -> Batch | None:
        """The flows of the payloads that Python protocols shall inspect, as they were when those came, a row for each
        payload; None if there are none."""

@final
class BinaryReader:
    """Reads what to_bytes() of the batches of one schema gave."""

    def __init__(self, schema: bytes) -> None:
        """ValueError says what is wrong with the bytes."""
    def read(self, batch: bytes) -> Batch:
        """ValueError, also for a batch of another schema."""

@final
class Lookup:
    """What a function said of texts, at most about `size` of them."""

    def __init__(self, size: int) -> None: ...
    def find(self, batch: Batch, name: str, function: Callable[[str], Any]) -> tuple[list[Any], memoryview]:
        """The results for the values of a column of strings, None first, and for each row the index of its result
        (uint32). KeyError for the name of no such column."""

@final
class LiveSource:
    """Interfaces that are open; packets wait in their buffers until an engine reads them."""

    def __init__(
        self,
        interfaces: Sequence[str],
        filter: str = "",
        *,
        snaplen: int = 65535,
        buffer_bytes: int = 67108864,
        promiscuous: bool = True,
        immediate: bool = False,
        timeout_ms: int = 100,
        workers: int = 1,
    ) -> None:
        """A socket for each worker; together they have buffer_bytes. OSError; PermissionError without the right, naming
        the fix."""

@final
class Engine:
    """One run: source, decode, flow table, protocols, events. With one worker on a thread of its own; several have a
    thread each, and one more reads and decodes for them.

    Options (all by keyword): tcp, udp (bool: track it), tcp_flows, udp_flows, every_tcp, every_udp (0 = discoveries
    only), thinned (bool: readers leave out sampled updates), idle_tcp, idle_udp, half_open, linger, active (ns;
    active 0 = off), vlan_in_key, tunnel_in_key (bool), sensor (str), events (list of insert, update, remove that are
    wanted), batch_rows, flush (ns), queue_batches, stream_bytes (buffered a direction), streams_bytes (in all),
    max_fragments, top (bool: keep the summary's tops), version_base (µs since the epoch), workers (1 to 64, among
    which tcp_flows, udp_flows, inspected_flows and streams_bytes are shared out evenly). ValueError names the option
    and its bounds, or the meter that cannot be made.
    """

    def __init__(self, registry: Registry, **options: Any) -> None: ...
    def open_files(
        self, paths: Sequence[str], filter: str = "", found: Sequence[str] = (), merge: bool = False
    ) -> None:
        """OSError with one clear line. `found`: those of the paths that a folder held; one that cannot be read is among
        broken_files(), one that is no capture among warnings(), and the others are read."""
    def follow_files(self, filter: str = "") -> None:
        """Reads the captures that add_files() names, until stop(). OSError for a filter that cannot be."""
    def add_files(self, paths: Sequence[str]) -> None:
        """Further captures, read in the order of the calls; what is wrong with one is in broken_files(). Any thread."""
    def finished_files(self) -> list[tuple[str, int, int]]:
        """Those that ended since the last call: path, how many batches were handed over by then, packet time (ns)."""
    def broken_files(self) -> list[tuple[str, str]]:
        """Captures that could not be read, or not to their end, since the last call: path, and a line that names it."""
    def open(self, live: LiveSource) -> None:
        """Takes the interfaces over. OSError if their link type is not known."""
    def start(self) -> None: ...
    def pull(self, timeout_ms: int = 100) -> Batch | None:
        """The next batch, or None after the time (look at `finished`). seq rises by one over all batches."""
    def inspect(
        self,
        batch: Batch,
        ask: Callable[[str, bytes, bytes | None, int, int, int], tuple[int, int | None, str | None, Mapping[str, Any]]],
    ) -> list[int]:
        """Has Python protocols look at the batch's payloads, in order: each batch once, before the next pull().

        ask(protocol, payload, other direction or None, aicore_payload_flags + 256 reverse + 512 recognised, number of
        the inspection, row of payload_flows()) returns aicore_answer, what was consumed, layer7, fields. What it raises
        ends the asking. Returns the inspections that are over: nothing more is asked about those flows."""
    def reload_meter(
        self, capsule: object, config: bytes = b"", fields: Sequence[Mapping[str, Any]] | None = None
    ) -> None:
        """A new instance of a meter takes the place of the old one between two packets. On the thread that pulls.
        ValueError, and the old one stays: it cannot be made, or structure or fields are not what they were."""
    def stop(self) -> None:
        """Ends the input: every flow gets its final events, then pull() drains. Returns at once."""
    def close(self) -> None:
        """Stops without draining and joins the thread. Idempotent."""
    @property
    def finished(self) -> bool:
        """The input has ended and every batch was pulled."""
    @property
    def error(self) -> str | None:
        """What ended the input early, naming what and where."""
    def warnings(self) -> list[str]:
        """Since the last call."""
    def counters(self) -> dict[str, int]:
        """Every counter, decode and dissector ones and the capture's kernel_drop, interface_drop, received."""
    def worker_counters(self) -> list[dict[str, int]]:
        """Those of each worker; `packets` are those of its flows."""
    def progress(self) -> dict[str, Any]:
        """packets, bytes_read, bytes_total, current (file or interface), flows_live_tcp, flows_live_udp, clock (ns),
        ended (the input was read to its end)."""
    def top(self, limit: int = 10) -> dict[str, list[tuple[str, int, int, int]]]:
        """protocols, hosts, talkers: (name, flows, packets, bytes), most bytes first; of ended flows."""
