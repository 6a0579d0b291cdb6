// SPDX-License-Identifier: Apache-2.0
// Records as JSON objects within objects: the values that append_json() wrote, at other places.
#include <stdexcept>
#include <utility>

#include "aicore/batch.h"
#include "aicore/text.h"

namespace aicore {

namespace {

// Names and values of a record, as they stand in its JSON; of JSON that append_json() wrote.
class Fields {
  public:
    std::vector<std::string_view> names, values;

    void read(std::string_view record) {
        names.clear();
        values.clear();
        size_t at = 0;
        do { // at { or a comma
            const size_t name = at + 2;
            at = text_end(record, at + 1);
            names.push_back(record.substr(name, at - 1 - name));
            const size_t value = at + 1;
            at = value_end(record, value);
            values.push_back(record.substr(value, at - value));
        } while (record[at] == ',');
    }

  private:
    // Behind the text whose opening quote is at `at`.
    static size_t text_end(std::string_view s, size_t at) {
        for (;;) {
            at = s.find('"', at + 1);
            size_t backslashes = 0;
            while (s[at - 1 - backslashes] == '\\')
                ++backslashes;
            if (backslashes % 2 == 0) return at + 1;
        }
    }

    static size_t value_end(std::string_view s, size_t at) {
        if (s[at] == '"') return text_end(s, at);
        if (s[at] != '[') return s.find_first_of(",}", at);
        while (s[at] != ']') // a list of texts
            at = s[at + 1] == '"' ? text_end(s, at + 1) : at + 1;
        return at + 1;
    }
};

// Records with the same fields: a text, a value, a text, a value, ... and a last text.
class Shape {
  public:
    Shape(const std::vector<std::string_view> &names, const NestedPlaces &places) {
        Node root;
        for (size_t i = 0; i < names.size(); ++i) {
            const auto place = places.find(std::string(names[i]));
            if (place == places.end())
                throw std::invalid_argument("no place for field '" + std::string(names[i]) + "'");
            Node *node = &root;
            std::string_view rest = place->second;
            for (size_t dot = 0; dot != rest.npos; rest.remove_prefix(dot == rest.npos ? 0 : dot + 1)) {
                dot = rest.find('.');
                node = &child(*node, rest.substr(0, dot));
                if (node->is_value) throw std::invalid_argument("two fields at the place '" + place->second + "'");
            }
            if (!node->children.empty())
                throw std::invalid_argument("a field at '" + place->second + "', where others are");
            node->is_value = true;
            node->value = i;
        }
        write(root);
    }

    void append(std::string &out, const std::vector<std::string_view> &values) const {
        for (const auto &[text, value] : pieces_)
            out.append(text).append(values[value]);
        out += end_;
    }

  private:
    struct Node {
        std::string name;
        std::vector<Node> children;
        bool is_value = false;
        size_t value = 0;
    };

    static Node &child(Node &parent, std::string_view name) {
        for (Node &node : parent.children)
            if (node.name == name) return node;
        parent.children.push_back({std::string(name), {}, false, 0});
        return parent.children.back();
    }

    void write(const Node &node) {
        if (node.is_value) {
            pieces_.emplace_back(std::exchange(end_, {}), node.value);
            return;
        }
        const char *before = "{";
        for (const Node &one : node.children) {
            end_ += std::exchange(before, ",");
            append_json_string(end_, one.name);
            end_ += ':';
            write(one);
        }
        end_ += '}';
    }

    std::vector<std::pair<std::string, size_t>> pieces_;
    std::string end_;
};

} // namespace

void append_nested_json(std::string &out, std::vector<size_t> &ends, const Batch &batch, const NestedPlaces &places) {
    std::string flat;
    std::vector<size_t> flat_ends;
    append_json(flat, flat_ends, batch, false, false);
    out.reserve(out.size() + flat.size() + flat.size() / 4);
    ends.reserve(ends.size() + flat_ends.size());
    std::unordered_map<std::string, Shape> shapes; // few: by what was seen of a flow
    std::string names;
    Fields fields;
    size_t begin = 0;
    for (const size_t end : flat_ends) {
        fields.read(std::string_view(flat).substr(begin, end - begin));
        begin = end;
        names.clear();
        for (const std::string_view name : fields.names)
            names.append(name).push_back(',');
        auto shape = shapes.find(names);
        if (shape == shapes.end()) shape = shapes.emplace(names, Shape(fields.names, places)).first;
        shape->second.append(out, fields.values);
        ends.push_back(out.size());
    }
}

} // namespace aicore
