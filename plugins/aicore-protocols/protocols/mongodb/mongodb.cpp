// SPDX-License-Identifier: Apache-2.0
// MongoDB's wire protocol (mongodb.com/docs/manual/reference/mongodb-wire-protocol): commands, on which database.
// Recognised by a message whose header and first document agree. What documents hold is not kept.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kCommand, kCommands, kDatabase, kCollection, kApplication, kDriver, kUser };
enum Anomaly : uint32_t { kBadMessage };
enum Operation : uint32_t { kReply = 1, kUpdate = 2001, kInsert, kReserved, kQuery, kMore, kDelete, kKill };
enum : uint32_t { kCompressed = 2012, kMessage = 2013 };
enum Element : uint8_t { kText = 2, kDocument = 3 }; // bsonspec.org

constexpr size_t kHeader = 16, kHead = 2048;
constexpr uint32_t kMaxLength = 48000000; // maxMessageSizeBytes
constexpr uint8_t kListBound = 16;

struct State {
    uint32_t skip[2];
    uint8_t commands;
};

std::string_view take_text(Bytes &in) {
    const std::string_view rest = text(in), out = rest.substr(0, rest.find('\0'));
    in.skip(out.size() + 1);
    return out;
}

bool name(std::string_view s) {
    return !s.empty() && s.size() <= 255 && printable(s);
}

int64_t size(Bytes in) {
    if (in.left() < kHeader) return in.left() < 4 || (in.data()[3] <= 2) ? 0 : -1;
    const uint32_t length = in.u32le();
    in.skip(8);
    const uint32_t operation = in.u32le();
    if (length <= kHeader || length > kMaxLength) return -1;
    const bool known = operation == kReply || (operation >= kUpdate && operation <= kKill && operation != kReserved) ||
                       operation == kCompressed || operation == kMessage;
    return known ? int64_t{length} : -1;
}

struct Item {
    uint8_t type = 0;
    std::string_view key;
    Bytes value;
};

// The next element of a document that is open; false: none, or of a type that is not passed over.
bool next(Bytes &in, Item &out) {
    out.type = in.u8();
    if (!in.ok() || out.type == 0) return false;
    out.key = take_text(in);
    Bytes ahead = in;
    size_t length = 0;
    switch (out.type) {
    case 1:
    case 9:
    case 17:
    case 18:
        length = 8;
        break;
    case kText:
        length = 4 + size_t{ahead.u32le()};
        break;
    case kDocument:
    case 4:
        length = ahead.u32le();
        break;
    case 5:
        length = 5 + size_t{ahead.u32le()};
        break;
    case 7:
        length = 12;
        break;
    case 8:
        length = 1;
        break;
    case 10:
        break;
    case 16:
        length = 4;
        break;
    case 19:
        length = 16;
        break;
    default:
        return false;
    }
    out.value = in.take_some(length);
    return !out.key.empty();
}

std::string_view string(const Item &item) {
    Bytes in = item.value;
    const uint32_t length = in.u32le();
    if (item.type != kText || length == 0) return {};
    const Bytes all = in.take(length);
    return all.left() ? text(all).substr(0, length - 1) : std::string_view();
}

// The document at `in`, which may be cut; false: none.
bool open(Bytes &in, size_t room) {
    const uint32_t length = in.u32le();
    return in.ok() && length >= 5 && length <= room;
}

// "client" in the first command: the application and the driver.
void client(Flow flow, Bytes in) {
    if (!open(in, in.left())) return;
    for (Item item; next(in, item);) {
        if (item.type != kDocument || (item.key != "application" && item.key != "driver")) continue;
        Bytes part = item.value;
        if (!open(part, part.left())) continue;
        for (Item inner; next(part, inner);)
            if (inner.key == "name") flow.first(item.key == "driver" ? kDriver : kApplication, string(inner));
    }
}

// A command: its name is the first key, what it is about often that key's value.
bool command(Flow flow, State &state, Bytes in, size_t room, bool reply) {
    if (!open(in, room)) return false;
    Item item;
    if (!next(in, item) || !name(item.key)) return room == 5; // an empty one
    if (reply) return true;
    flow.set(kCommand, item.key);
    if (state.commands < kListBound) {
        ++state.commands;
        flow.add(kCommands, item.key);
    }
    if (const std::string_view about = string(item); name(about)) flow.first(kCollection, about);
    while (next(in, item)) {
        if (item.key == "$db") flow.first(kDatabase, string(item));
        if (item.key == "client" && item.type == kDocument) client(flow, item.value);
        if (item.key == "saslSupportedMechs") flow.first(kUser, string(item));
    }
    return true;
}

// OP_QUERY, OP_INSERT and others of old name "database.collection", in which commands are asked of "$cmd".
bool old(Flow flow, State &state, Bytes in, uint32_t operation, size_t room) {
    const uint32_t flags = in.u32le();
    if (operation == kKill) return in.ok() && flags == 0;
    const std::string_view full = take_text(in);
    const size_t dot = full.find('.');
    if (!in.ok() || flags > 0xff || dot == full.npos || dot == 0 || !name(full)) return false;
    flow.first(kDatabase, full.substr(0, dot));
    const std::string_view collection = full.substr(dot + 1);
    if (collection != "$cmd") flow.first(kCollection, collection);
    if (operation != kQuery) return true;
    in.skip(8); // to skip, to return
    const size_t before = 4 + full.size() + 1 + 8;
    if (before > room) return false;
    if (collection == "$cmd") return command(flow, state, in, room - before, false);
    return open(in, room - before);
}

// A section of kind 1, which may stand in front of the command: size, name, documents.
bool sequence(Bytes in, size_t room) {
    return open(in, room) && name(take_text(in)) && in.ok();
}

Message read(Flow flow, State &state, Bytes in) {
    const uint32_t length = in.u32le();
    in.skip(4);
    const uint32_t answered = in.u32le();
    const bool reply = answered != 0 && answered != UINT32_MAX; // some clients have -1 in questions
    const uint32_t operation = in.u32le();
    const size_t room = length - kHeader;
    bool good = false;
    switch (operation) {
    case kReply: // flags, cursor, place, number, documents
        good = room >= 20 && in.u32le() <= 0xf;
        break;
    case kMessage: { // flags, of which 0 to 15 must be understood: 3 are defined at all; section of kind 0
        const uint32_t flags = in.u32le();
        const uint8_t kind = in.u8();
        if (!in.ok() || flags & ~0x10003u || kind > 1) break;
        good = kind == 1 ? sequence(in, room - std::min<size_t>(room, 5))
                         : command(flow, state, in, room - std::min<size_t>(room, 5), reply);
        break;
    }
    case kCompressed: // the operation inside, its length, snappy, zlib or zstd
        good = in.u32le() >= kUpdate && in.u32le() <= kMaxLength && in.u8() <= 3 && in.ok();
        break;
    default:
        good = old(flow, state, in, operation, room);
    }
    return good ? Message::proof : Message::broken;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    return each_message(flow, payload, state.skip, kBadMessage, kHead, size,
                        [&](Bytes in, bool) { return read(flow, state, in); });
}

constexpr aicore_field kFields[] = {
    {"mongodbcommand", AICORE_STRING, 0, 64, nullptr, nullptr, "last command"},
    {"mongodbcommands", AICORE_STRINGS, 0, 64, nullptr, nullptr, "first 16 commands, each once"},
    {"mongodbdatabase", AICORE_STRING, AICORE_NOTIFY, 64, nullptr, nullptr, "first database that is named"},
    {"mongodbcollection", AICORE_STRING, 0, 255, nullptr, nullptr, "first collection that is named"},
    {"mongodbapplication", AICORE_STRING, 0, 128, nullptr, nullptr, "name that the client gives itself"},
    {"mongodbdriver", AICORE_STRING, 0, 64, nullptr, nullptr, "driver of the client"},
    {"mongodbuser", AICORE_STRING, 0, 64, nullptr, "user.name", "database and user that is going to log in"},
};
constexpr const char *kAnomalies[] = {"mongodb_bad_message"};
constexpr uint16_t kPorts[] = {27017, 27018, 27019};
constexpr aicore_prefix kPrefixes[] = {{"", 0}}; // on any port: the header decides

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "mongodb",
    .help = "MongoDB: commands, database, client",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *mongodb() {
    return &kProtocol;
}

} // namespace aicore::protocols
