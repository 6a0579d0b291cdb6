// SPDX-License-Identifier: Apache-2.0
// Packets through decoding, the flow table, streams, protocols, meters and events to JSON, all on one thread: four
// slots a transport and small buffers, so that every bound is met. The reader of events checks what every reader relies
// on.
//
// An input: options, then steps of an opcode and its operands (class Run). Payload goes out as segments with numbers
// that fit, moved by an offset: copies, holes and overlaps are one byte away.
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "aicore/builtin_protocols.h"
#include "aicore/decode.h"
#include "input.h"
#include "inspection.h"
#include "json_checker.h"
#include "links.h"
#include "metered.h"
#include "packets.h"
#include "tracker.h"

namespace aicore::fuzz {
namespace {

constexpr size_t kQueue = 16; // batches of two rows: more than the events of eight flows at once
constexpr uint16_t kPorts[] = {80, 443, 53, 9999};

constexpr aicore_field kFields[2][2] = {{{"afirst", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr},
                                         {"asecond", AICORE_STRINGS, 0, 0, nullptr, nullptr, nullptr}},
                                        {{"bfirst", AICORE_INTEGER, 0, 0, nullptr, nullptr, nullptr},
                                         {"bsecond", AICORE_STRINGS, 0, 0, nullptr, nullptr, nullptr}}};

std::unique_ptr<Registry> make_registry(bool meters) {
    auto r = std::make_unique<Registry>();
    for (const aicore_protocol *p : {aicore_http(), aicore_tls(), aicore_dns()})
        r->add(p);
    ExternalProtocol asked;
    asked.name = "asked";
    asked.transports = AICORE_TCP | AICORE_UDP;
    asked.ports = {9999};
    asked.fields = {{"words", FieldType::string, true, 0, "", "", "", "asked"},
                    {"many", FieldType::strings, false, 0, "", "", "", "asked"},
                    {"number", FieldType::integer, false, 0, "", "", "", "asked"}};
    r->add_external(asked);
    if (meters) {
        const aicore_meter whole = CheckingMeter<UINT32_MAX>::meter("whole", kFields[0]);
        const aicore_meter some = CheckingMeter<100>::meter("some", kFields[1]);
        r->add_meter(&whole, "");
        r->add_meter(&some, "");
    }
    std::vector<const char *> counters;
    for (const auto &info : kCounterInfo)
        counters.push_back(info.name);
    r->freeze(counters);
    return r;
}

const Registry &registry(bool meters) {
    static const std::unique_ptr<Registry> without = make_registry(false), with = make_registry(true);
    return meters ? *with : *without;
}

// An insert, updates, a remove; whole records, in order, in valid JSON.
class Reader {
  public:
    std::deque<std::unique_ptr<Batch>> shown; // with payloads that were not inspected yet

    void read(std::unique_ptr<Batch> pulled) {
        const Batch &batch = *pulled;
        for (const Row &row : batch.rows) {
            require(row.seq == ++seq_, "no event is lost behind the writer");
            require(row.duration >= 0, "no duration is negative");
            require(row.packets == row.src_packets + row.dst_packets, "packets are those of both directions");
            const auto flow = std::pair(row.flow_id[0], row.flow_id[1]);
            const auto known = packets_.find(flow);
            if (row.kind == EventKind::insert) {
                require(known == packets_.end(), "one insert a flow");
                packets_[flow] = row.packets;
            } else {
                require(known != packets_.end(), "the insert comes first, nothing behind the remove");
                require(row.packets >= known->second, "packets do not become fewer");
                known->second = row.packets;
                if (row.kind == EventKind::remove) packets_.erase(known);
            }
        }
        json(batch);
        require(batch.net()->rows.size() <= batch.rows.size(), "net is not more");
        if (batch.payloads) shown.push_back(std::move(pulled));
    }
    size_t live() const { return packets_.size(); }

  private:
    static void json(const Batch &batch) {
        std::string out;
        std::vector<size_t> ends;
        append_json(out, ends, batch, true, false);
        size_t begin = 0;
        for (const size_t end : ends) {
            test::JsonReader::read(std::string_view(out).substr(begin, end - begin)); // throws
            begin = end;
        }
    }

    int64_t seq_ = 0;
    std::map<std::pair<uint64_t, uint64_t>, int64_t> packets_; // of the flows that live
};

// Answers as the input says; nothing is asked about a flow that is over.
class Answers final : public ExternalProtocols {
  public:
    uint8_t what = 0;
    std::string text;

    int inspect(const Question &q) noexcept override {
        require(q.payload.length > 0 && q.flow.transport != 0, "there is something to look at");
        require(!over_.count(q.inspection), "what is over is not asked about");
        aicore_host const &host = *q.flow.host;
        if (what & 4) q.set_layer7("renamed");
        if (what & 8) host.set_string(&q.flow, 0, text.data(), text.size());
        if (what & 16) host.add_string(&q.flow, 1, text.data(), text.size());
        if (what & 32) host.set_integer(&q.flow, 2, -int64_t{what});
        if (what & 64) q.payload.consumed = what & 128 ? 1 : 1000;
        return what & 3;
    }
    void ended(uint64_t inspection) noexcept override { over_.insert(inspection); }

  private:
    std::set<uint64_t> over_;
};

class Run {
  public:
    explicit Run(uint8_t options)
        : live_(options & 1), registry_(registry(options & 128)), options_(make(options)),
          queues_(std::make_shared<BatchQueues>(1, kQueue)), queue_(queues_, 0), meters_(make_meters()),
          writer_(options_, registry_.schema(), 0, queue_, meters_.get(), counters_),
          decoder_({options_.vlan_in_key, options_.tunnel_in_key, options_.max_fragments}, counters_),
          tracker_(options_, registry_, writer_, meters_.get(), counters_),
          inspection_(registry_, {options_.stream_bytes, options_.streams_bytes, options_.inspected_flows}) {
        if (live_) tracker_.set_live(time_);
        writer_.set_waiting(!live_);
    }

    void step(Bytes &in) {
        switch (in.u8() % 8) {
        case 0:
        case 1:
            tcp(in);
            break;
        case 2:
            udp(in);
            break;
        case 3: { // a frame as it is
            const int linktype = link(in.u8());
            const Bytes frame = in.take_some(in.u16());
            give({frame.data(), frame.data() + frame.left()}, linktype, 0);
            break;
        }
        case 4: { // up to 36 years on or back
            const uint8_t by = in.u8();
            const int64_t step = int64_t{1} << (by & 127) % 61;
            if (by < 128)
                time_ += time_ < INT64_MAX - step ? step : 0;
            else
                time_ = std::max<int64_t>(time_ - step, 0);
            writer_.note_time(writer_.now() + step % 10'000'000'000);
            break;
        }
        case 5:
            live_ ? tracker_.tick(time_) : tracker_.begin_file();
            break;
        case 6:
            inspect(in);
            break;
        default:
            show_overdue(time_);
            writer_.flush();
            drain();
            break;
        }
        if (!live_) drain(); // nobody else does while the writer waits
    }

    void end() {
        drain();
        writer_.set_waiting(true);
        show_overdue(INT64_MAX);
        tracker_.end_all();
        tracker_.finish_all();
        writer_.flush();
        drain();
        require(reader_.live() == 0, "every flow is removed at last");
        for (Bytes none(nullptr, 0); !reader_.shown.empty();)
            inspect(none);
        require(inspection_.flows() <= 8, "nothing is kept of flows that have ended, but what no batch tells of");
        require(tracker_.live(0) + tracker_.live(1) == 0, "no slot is kept");
        std::vector<TopEntry> protocols, hosts, talkers;
        tracker_.tops(protocols, hosts, talkers, 10);
    }

  private:
    std::unique_ptr<Meters> make_meters() {
        const std::array capacity{options_.tcp_flows, options_.udp_flows};
        return registry_.meters().empty() ? nullptr : std::make_unique<Meters>(registry_, capacity, counters_);
    }

    static EngineOptions make(uint8_t options) {
        EngineOptions o;
        o.tcp_flows = o.udp_flows = 4;
        o.every_tcp = options & 2 ? 1 : 5;
        o.every_udp = options & 4 ? 0 : 2;
        o.active = options & 8 ? 60'000'000'000 : 0;
        o.vlan_in_key = options & 16;
        o.max_fragments = 2;
        o.batch_rows = 2;
        o.stream_bytes = options & 32 ? 16 << 10 : 256;
        o.inspected_flows = options & 64 ? 8 : 2;
        o.streams_bytes = o.stream_bytes * 3;
        o.top = true;
        return o;
    }

    void give(const test::Bytes &bytes, int linktype, uint32_t missing) {
        const test::Bytes frame(bytes.begin(), bytes.end()); // exactly as large, and gone when the step is done
        const auto captured = static_cast<uint32_t>(frame.size());
        const RawPacket raw{frame.data(), captured, captured + missing, time_, linktype};
        Decoded decoded{{}, &raw, 0, kNoSlot, false};
        if (!decoder_.decode(raw, decoded.packet)) return;
        decoded.hash = tracker_.hash(decoded.packet);
        tracker_.packets({&decoded, 1});
    }

    void show_overdue(int64_t time) {
        for (Packet packet; decoder_.overdue(time, packet);) {
            tracker_.overdue(packet);
            if (!live_) drain();
        }
    }

    // Who (bits 0 and 1: port, bit 2: of the server, bit 3: IPv6, bit 4: the capture lacks bytes), and between whom.
    void ip(uint8_t who, uint8_t proto, test::Bytes segment) {
        const uint32_t missing = who & 16 && segment.size() > 30 ? 10 : 0;
        const auto size = static_cast<int>(segment.size());
        segment.resize(segment.size() - missing);
        const bool back = who & 4;
        test::Bytes packet;
        if (who & 8)
            packet = test::ipv6({.src = back ? "2001:db8::2" : "2001:db8::1",
                                 .dst = back ? "2001:db8::1" : "2001:db8::2",
                                 .next = proto,
                                 .length = size},
                                segment);
        else
            packet = test::ipv4({.src = back ? "10.0.0.2" : "10.0.0.1",
                                 .dst = back ? "10.0.0.1" : "10.0.0.2",
                                 .proto = proto,
                                 .total = 20 + size},
                                segment);
        give(test::ethernet(who & 8 ? test::kIpv6 : test::kIpv4, packet), 1, missing);
    }

    void tcp(Bytes &in) {
        const uint8_t who = in.u8(), flags = in.u8();
        const auto offset = static_cast<int8_t>(in.u8());
        const Bytes payload = in.take_some(in.u16());
        const uint16_t port = kPorts[who & 3];
        const bool back = who & 4;
        auto &numbers = next_[who & 11]; // of a port and an IP version
        test::Tcp header{.src_port = back ? port : uint16_t{40000},
                         .dst_port = back ? uint16_t{40000} : port,
                         .seq = numbers[back] + static_cast<uint32_t>(offset),
                         .ack = numbers[!back],
                         .flags = flags};
        ip(who, kProtoTcp, test::tcp(header, {payload.data(), payload.data() + payload.left()}));
        numbers[back] = header.seq + static_cast<uint32_t>(payload.left()) + !!(flags & kSyn) + !!(flags & kFin);
    }

    void udp(Bytes &in) {
        const uint8_t who = in.u8();
        const Bytes payload = in.take_some(in.u16());
        const uint16_t port = kPorts[who & 3];
        const bool back = who & 4;
        ip(who, kProtoUdp,
           test::udp({.src_port = back ? port : uint16_t{40000}, .dst_port = back ? uint16_t{40000} : port},
                     {payload.data(), payload.data() + payload.left()}));
    }

    // The oldest batch that waits for it; its findings may come long after the flow.
    void inspect(Bytes &in) {
        answers_.what = in.u8();
        const Bytes value = in.take_some(in.u8());
        answers_.text.assign(reinterpret_cast<const char *>(value.data()), value.left());
        if (reader_.shown.empty()) return;
        tracker_.found(inspection_.inspect(*reader_.shown.front(), answers_));
        reader_.shown.pop_front();
    }

    void drain() {
        for (; read_ < counters_[Counter::batches]; ++read_) // an empty queue would be waited for
            reader_.read(queues_->pop(0));
    }

    const bool live_;
    const Registry &registry_;
    const EngineOptions options_;
    Counters counters_;
    const std::shared_ptr<BatchQueues> queues_;
    BatchQueue queue_;
    const std::unique_ptr<Meters> meters_;
    BatchWriter writer_;
    Decoder decoder_;
    Tracker tracker_;
    Inspection inspection_;
    Answers answers_;
    Reader reader_;
    uint64_t read_ = 0; // batches
    int64_t time_ = 1'700'000'000'000'000'000;
    std::map<int, std::array<uint32_t, 2>> next_; // sequence numbers of both ends
};

} // namespace
} // namespace aicore::fuzz

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    aicore::Bytes in(data, size);
    aicore::fuzz::Run run(in.u8());
    while (in.left())
        run.step(in);
    run.end();
    return 0;
}
