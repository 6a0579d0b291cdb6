# SPDX-License-Identifier: Apache-2.0
"""FlowKey: a key splits one way only, and comes back as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicore import FlowKey

PORTS = st.integers(0, 65535)
PAIRS = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6))


@given(PAIRS, PORTS, st.integers(0, 255), PORTS)
def test_round_trip(pair: tuple[object, object], sport: int, proto: int, dport: int) -> None:
    parts = FlowKey(str(pair[0]), sport, proto, str(pair[1]), dport)
    assert FlowKey.parse(str(parts)) == parts


def test_ipv4_splits_as_in_the_seed() -> None:
    key = "192.168.1.13:54737:17:89.101.160.5:53"
    assert FlowKey.parse(key) == ("192.168.1.13", 54737, 17, "89.101.160.5", 53)
    assert [str(part) for part in FlowKey.parse(key)] == key.split(":")


def test_ipv6_stands_in_brackets() -> None:
    key = "[2001:db8::1]:19027:6:[::ffff:1.2.3.4]:443"
    assert FlowKey.parse(key) == ("2001:db8::1", 19027, 6, "::ffff:1.2.3.4", 443)
    assert str(FlowKey.parse(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "1.2.3.4:1:6:5.6.7.8",
        "1.2.3.4:1:6:5.6.7.8:2:3",
        "1.2.3.4:1:6:5.6.7.8:2\n",
        " 1.2.3.4:1:6:5.6.7.8:2",
        "1.2.3.4:01:6:5.6.7.8:2",
        "1.2.3.4:+1:6:5.6.7.8:2",
        "1.2.3.4:\N{ARABIC-INDIC DIGIT ONE}:6:5.6.7.8:2",
        "1.2.3.4:65536:6:5.6.7.8:2",
        "1.2.3.4:1:256:5.6.7.8:2",
        "1.2.3.256:1:6:5.6.7.8:2",
        "1.2.3:1:6:5.6.7.8:2",
        "2001:db8::1:1:6:2001:db8::2:2",
        "[2001:db8::1]:1:6:5.6.7.8:2",
        "[1.2.3.4]:1:6:[5.6.7.8]:2",
        "[fe80::1%eth0]:1:6:[::2]:2",
        "[]:1:6:[::2]:2",
    ],
)
def test_strict(key: str) -> None:
    with pytest.raises(ValueError, match="not a flow key"):
        FlowKey.parse(key)


@given(st.text(alphabet="0123456789.:[]abcdef ", max_size=60))
def test_whatever_is_taken_comes_back(text: str) -> None:
    try:
        parts = FlowKey.parse(text)
    except ValueError:
        return
    assert str(parts) == text
