// SPDX-License-Identifier: Apache-2.0
// Syslog over UDP (RFC 5426) and TCP (RFC 6587), in the form of RFC 5424 and that of RFC 3164: who logs, how bad it is.
// Recognised by the priority and the version or the time behind it; on its ports the priority and text are enough,
// because many devices leave the time out.
#include <iterator>

#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kHost, kApp, kFacility, kSeverity };

constexpr size_t kMaxHead = 1024; // of a message: what is waited for over TCP
constexpr uint16_t kPorts[] = {514, 601};
constexpr const char *kFacilities[] = {"kern",   "user",   "mail",   "daemon", "auth",     "syslog",
                                       "lpr",    "news",   "uucp",   "cron",   "authpriv", "ftp",
                                       "ntp",    "audit",  "alert",  "clock",  "local0",   "local1",
                                       "local2", "local3", "local4", "local5", "local6",   "local7"};
constexpr const char *kSeverities[] = {"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

// RFC 5424 section 6.2.1: "<PRI>", 0 to 191, no zero before another digit. -1: none.
int priority(std::string_view &in) {
    const size_t end = in.substr(0, 5).find('>');
    if (!in.starts_with('<') || end == in.npos || end < 2) return -1;
    const std::string_view digits = in.substr(1, end - 1);
    const int64_t value = decimal(digits);
    if (value < 0 || value > 191 || (digits.size() > 1 && digits[0] == '0')) return -1;
    in.remove_prefix(end + 1);
    return static_cast<int>(value);
}

// RFC 3164 section 4.1.2: "Mmm dd hh:mm:ss"; the length of it, 0: it is not there.
size_t old_time(std::string_view in) {
    static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (in.size() < 16) return 0;
    const size_t month = kMonths.find(in.substr(0, 3));
    const bool day = (in[4] == ' ' || is_digit(in[4])) && is_digit(in[5]);
    const bool time = is_digit(in[7]) && is_digit(in[8]) && in[9] == ':' && is_digit(in[10]) && is_digit(in[11]) &&
                      in[12] == ':' && is_digit(in[13]) && is_digit(in[14]);
    return month != kMonths.npos && month % 3 == 0 && in[3] == ' ' && in[6] == ' ' && day && time ? 15 : 0;
}

// RFC 5424 section 6: version, time, host, application.
bool new_header(Flow flow, std::string_view in) {
    if (!in.starts_with("1 ")) return false;
    in.remove_prefix(2);
    const std::string_view time = take_word(in);
    const bool dated = time.size() >= 20 && time[4] == '-' && time[7] == '-' && time[10] == 'T' && is_digit(time[0]);
    if (time != "-" && !dated) return false;
    const std::string_view host = take_word(in), app = take_word(in);
    if (host != "-" && printable(host)) flow.first(kHost, host);
    if (app != "-" && printable(app)) flow.first(kApp, app);
    return true;
}

// RFC 3164 section 4.1.2 and 4.1.3: time, host, tag; some leave the host out.
bool old_header(Flow flow, std::string_view in) {
    const size_t time = old_time(in);
    if (!time) return false;
    in.remove_prefix(time);
    if (!in.starts_with(' ')) return true; // "12:00:00.123:" and others
    std::string_view word = take_word(in);
    if (!word.ends_with(':') && !word.ends_with(']')) {
        if (printable(word)) flow.first(kHost, word);
        word = take_word(in);
    }
    const size_t end = word.find_first_of("[:");
    if (end != word.npos && printable(word.substr(0, end))) flow.first(kApp, word.substr(0, end));
    return true;
}

bool message(Flow flow, std::string_view in) {
    const int value = priority(in);
    if (value < 0) return false;
    if (in.starts_with(' ')) in.remove_prefix(1);
    const bool own_port = std::any_of(std::begin(kPorts), std::end(kPorts), [&](uint16_t p) { return flow.port(p); });
    if (!new_header(flow, in) && !old_header(flow, in)) {
        const std::string_view start = in.substr(0, 16);
        if (!flow.recognised() && (!own_port || start.size() < 4 || !printable(start))) return false;
    }
    flow.set(kFacility, kFacilities[value >> 3]);
    flow.set(kSeverity, kSeverities[value & 7]);
    return true;
}

// RFC 6587 section 3.4: each message behind its length or before a line's end. The first is enough.
int stream(Flow flow, const aicore_payload &payload) {
    std::string_view in = text(payload);
    size_t digits = 0;
    while (digits < in.size() && digits < 6 && is_digit(in[digits]))
        ++digits;
    if (digits) {
        if (in[0] == '0') return AICORE_NO;
        if (digits == in.size()) return AICORE_MORE;
        const size_t length = static_cast<size_t>(decimal(in.substr(0, digits)));
        if (in[digits] != ' ') return AICORE_NO;
        in.remove_prefix(digits + 1);
        if (!std::string_view("<").starts_with(in.substr(0, 1))) return AICORE_NO;
        if (in.size() < std::min(length, kMaxHead)) return AICORE_MORE;
        in = in.substr(0, length);
    } else {
        if (!in.starts_with('<')) return AICORE_NO;
        if (in.size() < kMaxHead && in.find('\n') == in.npos) return AICORE_MORE;
        in = in.substr(0, in.find('\n'));
    }
    return message(flow, in) ? AICORE_DONE : AICORE_NO;
}

int inspect(Flow flow, aicore_payload &payload) {
    if (flow.tcp()) return stream(flow, payload);
    if (message(flow, text(payload))) return AICORE_YES;
    return flow.recognised() ? AICORE_YES : AICORE_NO;
}

constexpr aicore_field kFields[] = {
    {"sysloghost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "log.syslog.hostname",
     "host that the first message names"},
    {"syslogapp", AICORE_STRING, 0, 0, nullptr, "log.syslog.appname", "application, or tag, of the first message"},
    {"syslogfacility", AICORE_STRING, 0, 16, nullptr, "log.syslog.facility.name", "facility of the last message read"},
    {"syslogseverity", AICORE_STRING, 0, 16, nullptr, "log.syslog.severity.name", "severity of the last message read"},
};
constexpr aicore_prefix kPrefixes[] = {{"<", 1}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "syslog",
    .help = "Syslog over UDP and TCP: host, application, severity",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 45,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *syslog() {
    return &kProtocol;
}

} // namespace aicore::protocols
