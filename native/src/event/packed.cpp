// SPDX-License-Identifier: Apache-2.0
// Rows of fixed width. Row by row, as a row of some KB is written once while it is in the cache: by columns it took
// four times as long (measured).
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "aicore/columns.h"

namespace aicore {

namespace {

using Kind = PackedPlace::Kind;

// A field, where the batch has it, and its value in the row at hand.
struct Source {
    std::string name;
    Kind kind = Kind::string;
    const CoreColumn *core = nullptr;
    const Values *added = nullptr;

    bool present = false;
    int64_t number = 0; // or the bits of a double
    std::string_view text;
    std::span<const Attribute> attributes; // of a list
    std::pair<size_t, size_t> items;       // of a list in `added`
    std::string made;                      // the text of a core column
};

class Packer {
  public:
    Packer(const Batch &batch, const std::vector<PackedPlace> &places, size_t size)
        : batch_(batch), fields_(batch.schema->fields.size(), nullptr) {
        size_t names = 0;
        for (const PackedPlace &place : places)
            names += place.fields.size();
        sources_.reserve(names); // pointers into it stay
        for (const PackedPlace &place : places) {
            if (place.width > size || place.offset > size - place.width)
                throw std::invalid_argument("a place of " + std::to_string(place.width) + " bytes at " +
                                            std::to_string(place.offset) + " in a row of " + std::to_string(size));
            if (place.kind <= Kind::list) add(place);
        }
        for (const PackedPlace &place : places) {
            if (place.kind <= Kind::list) continue;
            if (place.kind == Kind::cut ? place.width != 1 : place.width * 8 < place.fields.size())
                throw std::invalid_argument("too little room, or too much, for what tells about fields");
            Target target{place, {}};
            for (const std::string &name : place.fields) {
                target.sources.push_back(find(name));
                if (!target.sources.back()) throw std::invalid_argument("field '" + name + "' has no place");
            }
            tellers_.push_back(std::move(target));
        }
    }

    void write(size_t index, uint8_t *out) {
        read(index);
        uint8_t cut = 0;
        for (const Target &target : targets_) {
            const auto found = std::find_if(target.sources.begin(), target.sources.end(),
                                            [](const Source *source) { return source->present; });
            if (found == target.sources.end()) continue;
            uint8_t *at = out + target.place.offset;
            switch (target.place.kind) {
            case Kind::integer:
            case Kind::real:
                std::memcpy(at, &(*found)->number, sizeof(int64_t));
                break;
            case Kind::list:
                cut += list(**found, at, target.place.width);
                break;
            default:
                // What stands for another field, too, was counted there.
                cut += text((*found)->text, at, target.place.width) && target.sources.size() == 1;
            }
        }
        for (const Target &teller : tellers_) {
            uint8_t *at = out + teller.place.offset;
            if (teller.place.kind == Kind::cut) *at = cut;
            for (size_t i = 0; i < teller.sources.size(); ++i)
                if (teller.sources[i]->present) at[i / 8] |= static_cast<uint8_t>(0x80 >> i % 8);
        }
    }

  private:
    struct Target {
        const PackedPlace &place;
        std::vector<const Source *> sources;
    };

    void add(const PackedPlace &place) {
        if ((place.kind == Kind::integer || place.kind == Kind::real) && place.width != sizeof(int64_t))
            throw std::invalid_argument("a number takes 8 bytes");
        Target target{place, {}};
        for (const std::string &name : place.fields) {
            const Source *known = find(name, &place.kind);
            target.sources.push_back(known ? known : &sources_.emplace_back(source(name, place.kind)));
            if (const int field = find_field(batch_, name); field >= 0 && !known)
                if (place_kind(batch_.schema->fields[static_cast<size_t>(field)].type) == place.kind)
                    fields_[static_cast<size_t>(field)] = &sources_.back();
        }
        targets_.push_back(std::move(target));
    }

    Source source(const std::string &name, Kind kind) const {
        Source made;
        made.name = name;
        made.kind = kind;
        if (const CoreColumn *core = find_core_column(name)) {
            if (place_kind(core->type) == kind) made.core = core;
        } else if (const AddedColumn *added = find_added(batch_, name);
                   added && place_kind(added->field.type) == kind) {
            made.added = &added->values;
        }
        return made;
    }

    // The first of that name, and of that kind if one is given; null: none.
    const Source *find(const std::string &name, const Kind *kind = nullptr) const {
        const auto known = std::find_if(sources_.begin(), sources_.end(), [&](const Source &source) {
            return source.name == name && (!kind || source.kind == *kind);
        });
        return known == sources_.end() ? nullptr : &*known;
    }

    // The values of a row.
    void read(size_t index) {
        const Row &row = batch_.rows[index];
        for (Source &source : sources_) {
            source.present = false;
            if (source.core)
                core(source, row);
            else if (source.added && source.added->valid[index])
                added(source, index);
        }
        const auto all = batch_.attributes(row);
        for (auto at = all.begin(); at != all.end();) {
            const auto first = at;
            while (at != all.end() && at->field == first->field)
                ++at;
            Source *const source = fields_[first->field];
            if (!source) continue;
            source->present = true;
            source->number = first->value;
            source->attributes = {first, at};
            if (first->has_text()) source->text = batch_.text(*first);
        }
    }

    void core(Source &source, const Row &row) const {
        if (source.core->text) {
            source.made.clear();
            source.core->text(source.made, batch_, row);
            source.text = source.made;
            source.present = !source.made.empty();
            return;
        }
        source.present = source.core->present(row);
        source.number = source.core->number(row);
    }

    static void added(Source &source, size_t index) {
        const Values &values = *source.added;
        source.present = true;
        if (is_list(values.type()))
            source.items = values.items(index);
        else if (is_text(values.type()))
            source.text = values.texts[index];
        else
            source.number = values.numbers[index];
    }

    // True if it was too long.
    static bool text(std::string_view value, uint8_t *out, size_t width) {
        size_t size = std::min(value.size(), width);
        if (size < value.size())
            while (size > 0 && (static_cast<uint8_t>(value[size]) & 0xc0) == 0x80)
                --size; // amid a character
        std::memcpy(out, value.data(), size);
        return size < value.size();
    }

    bool list(const Source &source, uint8_t *out, size_t width) {
        const auto [first, last] = source.items;
        const size_t count = source.added ? last - first : source.attributes.size();
        json_ = "[";
        size_t kept = 0;
        for (; kept < count; ++kept) {
            const size_t before = json_.size();
            if (kept) json_ += ',';
            item(source, kept);
            if (json_.size() < width) continue;
            json_.resize(before);
            break;
        }
        json_ += ']';
        if (kept) std::memcpy(out, json_.data(), json_.size());
        return kept < count;
    }

    void item(const Source &source, size_t i) {
        if (const Values *added = source.added; added && is_text(added->type()))
            append_json_string(json_, added->texts[source.items.first + i]);
        else if (added)
            append_json_number(json_, added->type(), added->numbers[source.items.first + i]);
        else if (const Attribute &a = source.attributes[i]; a.has_text())
            append_json_string(json_, batch_.text(a));
        else
            append_json_number(json_, static_cast<FieldType>(a.type), a.value);
    }

    const Batch &batch_;
    std::vector<Source> sources_;
    std::vector<Source *> fields_; // by index into Schema::fields; null where nobody asks
    std::vector<Target> targets_, tellers_;
    std::string json_;
};

} // namespace

void write_packed(uint8_t *out, const Batch &batch, const std::vector<PackedPlace> &places, size_t size) {
    Packer packer(batch, places, size);
    for (size_t i = 0; i < batch.rows.size(); ++i, out += size) {
        std::memset(out, 0, size);
        packer.write(i, out);
    }
}

} // namespace aicore
