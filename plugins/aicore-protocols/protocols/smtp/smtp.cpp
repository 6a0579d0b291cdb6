// SPDX-License-Identifier: Apache-2.0
// SMTP and submission (RFC 5321), LMTP (RFC 2033): the envelope, STARTTLS (RFC 3207), messages by DATA and BDAT
// (RFC 3030). What a message says is not read.
#include "aicore/dissector.h"
#include "reply.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kServer, kHelo, kFrom, kSenders, kTo, kRecipients, kTls, kMessages, kBytes };
enum Anomaly : uint32_t { kBadReply };

constexpr uint16_t kPorts[] = {25, 587, 2525};

struct State {
    bool skipping[2];
    bool tls_asked, data_asked; // and not answered
    bool in_data;
    bool greeted;
    uint8_t dot;    // bytes of CR LF "." CR LF that the end of what was read has
    uint64_t chunk; // bytes of a BDAT chunk still to come
    int64_t messages, bytes;
};

// RFC 5321 section 4.1.1.1: a domain or an address in brackets.
bool is_hello(std::string_view line) {
    if (!starts_nocase(line, "ehlo ") && !starts_nocase(line, "helo ") && !starts_nocase(line, "lhlo ")) return false;
    const std::string_view name = trim(line.substr(5));
    return !name.empty() && printable(name) && (is_alpha(name[0]) || is_digit(name[0]) || name[0] == '[');
}

// RFC 5321 section 4.1.1.2: "FROM:<path> parameters"; some leave the brackets out.
std::string_view path(std::string_view argument) {
    argument = trim(argument.substr(argument.find(':') + 1));
    if (argument.empty() || argument.front() != '<') return take_word(argument);
    return argument.substr(1, argument.find('>') - 1);
}

// RFC 5321 section 4.2: a domain, then text; the domain's name is no word of the protocol.
bool says_mail(std::string_view greeting) {
    const std::string_view first = take_word(greeting);
    return contains_nocase(first.find('.') == first.npos ? first : "", "smtp") || contains_nocase(greeting, "smtp") ||
           contains_nocase(greeting, "lmtp");
}

int recognise(const aicore_payload &p) {
    const std::string_view in = text(p), other = other_text(p);
    bool whole = false;
    const std::string_view line = first_line(in, whole);
    if (!whole) return line.size() < Lines::kMaxLine && printable(line.substr(0, 4)) ? AICORE_MORE : AICORE_NO;
    if (reply_code(line) == 220) { // FTP greets in the same way: the word, or what the client says first, decides
        bool other_whole = false;
        if (says_mail(line.substr(3))) return AICORE_YES;
        if (is_hello(first_line(other, other_whole)) && other_whole) return AICORE_YES;
        return other_whole ? AICORE_NO : AICORE_MORE;
    }
    if (is_hello(line)) return other.empty() || reply_code(other.substr(0, 4)) == 220 ? AICORE_YES : AICORE_NO;
    if (p.flags & AICORE_MIDSTREAM && (starts_nocase(line, "mail from:<") || starts_nocase(line, "rcpt to:<")))
        return line.find('>') != line.npos ? AICORE_YES : AICORE_NO;
    return AICORE_NO;
}

class Reader {
  public:
    Reader(Flow flow, const aicore_payload &payload, bool gap, State &state)
        : flow_(flow), state_(state), lines_(text(payload), gap, state.skipping[payload.reverse & 1]) {}

    // True: what follows is TLS.
    bool server() {
        std::string_view line;
        while (lines_.next(line)) {
            const int code = reply_code(line);
            if (code == 0) {
                flow_.anomaly(kBadReply);
                continue;
            }
            if (line.size() > 3 && line[3] == '-') continue; // the last line of a reply answers
            if (!state_.greeted) {
                state_.greeted = true;
                if (code == 220) {
                    std::string_view rest = line.substr(3);
                    flow_.first(kServer, take_word(rest));
                    continue;
                }
            }
            if (state_.tls_asked) {
                state_.tls_asked = false;
                if (code == 220) {
                    flow_.set(kTls, 1);
                    return true;
                }
            } else if (state_.data_asked) {
                state_.data_asked = false;
                state_.in_data = code == 354;
                state_.dot = 2; // a message may begin with the line that ends it
            }
        }
        return false;
    }

    void client() {
        std::string_view line;
        for (;;) {
            if (state_.chunk) {
                const uint64_t n = std::min<uint64_t>(state_.chunk, lines_.rest().size());
                lines_.skip(static_cast<size_t>(n));
                state_.chunk -= n;
                if (state_.chunk) return;
            }
            // The answer to DATA may have been lost: what comes instead of commands is the message.
            if (state_.data_asked && !lines_.rest().empty()) {
                state_.data_asked = false;
                state_.in_data = true;
                state_.dot = 2;
            }
            if (state_.in_data && !data()) return;
            if (state_.tls_asked || !lines_.next(line)) return;
            command(line);
        }
    }

    size_t at() const { return lines_.at(); }

  private:
    void command(std::string_view line) {
        if (is_hello(line)) {
            flow_.first(kHelo, trim(line.substr(5)));
        } else if (starts_nocase(line, "mail from:")) {
            flow_.first(kFrom, path(line));
            flow_.add(kSenders, path(line));
        } else if (starts_nocase(line, "rcpt to:")) {
            flow_.first(kTo, path(line));
            flow_.add(kRecipients, path(line));
        } else if (equal_nocase(trim(line), "data")) {
            state_.data_asked = true;
        } else if (equal_nocase(trim(line), "starttls")) {
            state_.tls_asked = true;
        } else if (starts_nocase(line, "bdat ")) {
            line.remove_prefix(5);
            const int64_t size = decimal(take_word(line));
            if (size < 0) return;
            state_.chunk = static_cast<uint64_t>(size);
            state_.bytes += size;
            if (equal_nocase(trim(line), "last")) finished();
        }
    }

    // Reads the message up to the line "." that ends it. False: there is more of it to come.
    bool data() {
        static constexpr char kEnd[] = {'\r', '\n', '.', '\r', '\n'};
        const std::string_view in = lines_.rest();
        size_t at = 0;
        while (at < in.size() && state_.dot < sizeof kEnd) {
            const char c = in[at++];
            state_.dot = c == kEnd[state_.dot] ? static_cast<uint8_t>(state_.dot + 1) : c == '\r' ? 1 : 0;
        }
        lines_.skip(at);
        state_.bytes += static_cast<int64_t>(at);
        if (state_.dot < sizeof kEnd) return false;
        state_.in_data = false;
        state_.bytes -= 3; // the line that ends it
        finished();
        return true;
    }

    void finished() {
        flow_.set(kMessages, ++state_.messages);
        flow_.set(kBytes, state_.bytes);
    }

    Flow flow_;
    State &state_;
    Lines lines_;
};

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (!flow.recognised()) {
        const int answer = recognise(payload);
        if (answer != AICORE_YES) return answer;
    }
    const bool message = state.in_data || state.chunk; // a hole in it is no broken line
    const bool from_server = flow.from_server(payload, kPorts);
    Reader reader(flow, payload, payload.flags & AICORE_GAP && (from_server || !message), state);
    if (from_server) {
        if (reader.server()) flow.hand_over();
    } else {
        reader.client();
    }
    payload.consumed = reader.at();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"smtpserver", AICORE_STRING, 0, 255, nullptr, nullptr, "name in the server's greeting"},
    {"smtphelo", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "name that the client gives of itself"},
    {"smtpfrom", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "email.from.address", "sender of the first envelope"},
    {"smtpsenders", AICORE_STRINGS, AICORE_NOTIFY, 255, nullptr, nullptr, "senders of envelopes: the latest 16"},
    {"smtpto", AICORE_STRING, 0, 255, nullptr, "email.to.address", "first recipient of the first envelope"},
    {"smtprecipients", AICORE_STRINGS, AICORE_NOTIFY, 255, nullptr, nullptr, "recipients of envelopes: the latest 16"},
    {"smtptls", AICORE_INTEGER, 0, 0, nullptr, nullptr, "1 if STARTTLS was accepted"},
    {"smtpmessages", AICORE_INTEGER, 0, 0, "messages", nullptr, "messages sent"},
    {"smtpbytes", AICORE_INTEGER, 0, 0, "bytes", nullptr, "size of these messages"},
};
constexpr const char *kAnomalies[] = {"smtp_bad_reply"};
constexpr aicore_prefix kPrefixes[] = {{"220", 3},   {"EHLO ", 5}, {"HELO ", 5},        {"LHLO ", 5},
                                       {"ehlo ", 5}, {"helo ", 5}, {"MAIL FROM:<", 11}, {"RCPT TO:<", 9}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "smtp",
    .help = "SMTP, submission and LMTP: envelope, STARTTLS",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *smtp() {
    return &kProtocol;
}

} // namespace aicore::protocols
