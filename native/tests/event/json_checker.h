// SPDX-License-Identifier: Apache-2.0
// A strict reader of JSON (RFC 8259) for tests: throws at everything that is not allowed, and at more: an object's name
// twice, a byte that is no UTF-8, a control character that a terminal would obey.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace aicore::test {

struct Json {
    enum Kind { null, boolean, number, string, array, object } kind = null;
    std::string text; // of a string its characters as UTF-8, of a number its digits, "true" or "false"
    std::vector<Json> items;
    std::vector<std::string> order; // of an object's names
    std::map<std::string, Json> members;

    const Json &at(const std::string &name) const {
        const auto it = members.find(name);
        if (it == members.end()) throw std::out_of_range(name);
        return it->second;
    }
    bool has(const std::string &name) const { return members.count(name) > 0; }
};

class JsonReader {
  public:
    static Json read(std::string_view text) {
        JsonReader r(text);
        Json j = r.value(0);
        if (r.at_ != text.size()) r.fail("something behind the value");
        return j;
    }
    // The bytes are valid UTF-8 (RFC 3629: shortest form, no surrogate, at most U+10FFFF).
    static bool utf8(std::string_view s) {
        for (size_t i = 0; i < s.size();) {
            const auto c = static_cast<uint8_t>(s[i]);
            const size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
            if (n == 0 || i + n > s.size()) return false;
            uint32_t code = n == 1 ? c : c & (0x7f >> n);
            for (size_t k = 1; k < n; ++k) {
                const auto t = static_cast<uint8_t>(s[i + k]);
                if (t >> 6 != 2) return false;
                code = code << 6 | (t & 63);
            }
            static constexpr uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
            if (code < kLowest[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
            i += n;
        }
        return true;
    }

  private:
    explicit JsonReader(std::string_view text) : text_(text) {
        if (!utf8(text)) fail("no UTF-8");
    }
    [[noreturn]] void fail(const std::string &what) const {
        throw std::runtime_error(what + " at " + std::to_string(at_) + " of " + std::string(text_));
    }
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    char next() {
        if (at_ == text_.size()) fail("end");
        return text_[at_++];
    }
    void expect(std::string_view s) {
        if (text_.substr(at_, s.size()) != s) fail("no " + std::string(s));
        at_ += s.size();
    }

    Json value(int depth) {
        if (depth > 10) fail("too deep");
        Json j;
        switch (peek()) {
        case '{':
            j.kind = Json::object;
            ++at_;
            while (peek() != '}') {
                if (!j.order.empty()) expect(",");
                const std::string name = chars();
                expect(":");
                if (!j.members.emplace(name, value(depth + 1)).second) fail("twice " + name);
                j.order.push_back(name);
            }
            ++at_;
            return j;
        case '[':
            j.kind = Json::array;
            ++at_;
            while (peek() != ']') {
                if (!j.items.empty()) expect(",");
                j.items.push_back(value(depth + 1));
            }
            ++at_;
            return j;
        case '"':
            j.kind = Json::string;
            j.text = chars();
            return j;
        case 'n':
            expect("null");
            return j;
        case 't':
            expect("true");
            j.kind = Json::boolean;
            j.text = "true";
            return j;
        case 'f':
            expect("false");
            j.kind = Json::boolean;
            j.text = "false";
            return j;
        default:
            j.kind = Json::number;
            j.text = digits();
            return j;
        }
    }
    size_t some_digits() {
        const size_t begin = at_;
        while (peek() >= '0' && peek() <= '9')
            ++at_;
        if (at_ == begin) fail("no digit");
        return at_ - begin;
    }
    std::string digits() {
        const size_t begin = at_;
        if (peek() == '-') ++at_;
        if (peek() == '0')
            ++at_;
        else
            some_digits();
        if (peek() == '.') ++at_, some_digits();
        if (peek() == 'e' || peek() == 'E') {
            ++at_;
            if (peek() == '+' || peek() == '-') ++at_;
            some_digits();
        }
        return std::string(text_.substr(begin, at_ - begin));
    }
    std::string chars() {
        expect("\"");
        std::string out;
        for (;;) {
            const char c = next();
            if (c == '"') return out;
            const auto byte = static_cast<uint8_t>(c);
            if (byte < 0x20 || byte == 0x7f) fail("control character");
            if (byte == 0xc2 && static_cast<uint8_t>(peek()) < 0xa0) fail("C1 control character");
            if (c != '\\') {
                out += c;
                continue;
            }
            switch (const char e = next()) {
            case '"':
            case '\\':
            case '/':
                out += e;
                break;
            case 'b':
                out += '\b';
                break;
            case 'f':
                out += '\f';
                break;
            case 'n':
                out += '\n';
                break;
            case 'r':
                out += '\r';
                break;
            case 't':
                out += '\t';
                break;
            case 'u': {
                const std::string hex(text_.substr(at_, 4));
                if (hex.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos || hex.size() != 4)
                    fail("no \\u");
                at_ += 4;
                const auto code = static_cast<uint32_t>(std::strtoul(hex.c_str(), nullptr, 16));
                if (code >= 0xd800 && code < 0xe000) fail("surrogate");
                if (code < 0x80) {
                    out += static_cast<char>(code);
                } else if (code < 0x800) {
                    out += static_cast<char>(0xc0 | code >> 6);
                    out += static_cast<char>(0x80 | (code & 63));
                } else {
                    out += static_cast<char>(0xe0 | code >> 12);
                    out += static_cast<char>(0x80 | (code >> 6 & 63));
                    out += static_cast<char>(0x80 | (code & 63));
                }
                break;
            }
            default:
                fail("unknown escape");
            }
        }
    }

    const std::string_view text_;
    size_t at_ = 0;
};

} // namespace aicore::test
