// SPDX-License-Identifier: Apache-2.0
// Elements of the Basic Encoding Rules (ITU-T X.690 section 8.1): tags of one byte, definite lengths.
#pragma once

#include "aicore/bytes.h"

namespace aicore::protocols::ber {

enum class Read : uint8_t { whole, cut, bad };

enum Tag : uint8_t { kInteger = 0x02, kOctetString = 0x04, kOid = 0x06, kEnumerated = 0x0a, kSequence = 0x30 };

struct Element {
    uint8_t tag = 0;
    size_t size = 0; // head and value
    Bytes value;     // what there is of it
};

// The next element; `cut`: there is less of it than its length says, or not even its head.
inline Read element(Bytes &in, Element &out) {
    if (in.left() < 2) return Read::cut;
    Bytes head = in;
    out.tag = head.u8();
    size_t length = head.u8();
    if ((out.tag & 0x1f) == 0x1f) return Read::bad;
    if (length > 0x84 || length == 0x80) return Read::bad; // indefinite, or above 4 GiB
    if (length > 0x80) {
        const size_t bytes = length - 0x80;
        if (head.left() < bytes) return Read::cut;
        for (length = 0; head.left() && head.data() < in.data() + 2 + bytes;)
            length = length << 8 | head.u8();
    }
    out.size = in.left() - head.left() + length;
    out.value = head.take_some(length);
    const bool whole = head.ok();
    in.skip(out.size < in.left() ? out.size : in.left());
    return whole ? Read::whole : Read::cut;
}

// The next element if it has this tag and is whole.
inline bool take(Bytes &in, uint8_t tag, Bytes &value) {
    Element e;
    Bytes copy = in;
    if (element(copy, e) != Read::whole || e.tag != tag) return false;
    in = copy;
    value = e.value;
    return true;
}

// The next element if it is a number of at most 4 bytes, not negative.
inline bool take_number(Bytes &in, uint8_t tag, uint32_t &value) {
    Bytes bytes;
    if (!take(in, tag, bytes) || bytes.left() == 0 || bytes.left() > 5 || bytes.data()[0] & 0x80) return false;
    if (bytes.left() == 5 && bytes.u8() != 0) return false;
    for (value = 0; bytes.left();)
        value = value << 8 | bytes.u8();
    return true;
}

} // namespace aicore::protocols::ber
