// SPDX-License-Identifier: Apache-2.0
// Columns of text by their values: what is costly for a text is done once for it, not for each row.
#include <array>
#include <cstring>
#include <unordered_map>

#include "aicore/siphash.h"
#include "bind.h"

using namespace aicore;

namespace {

// A column of text, without making texts. KeyError for the name of no such column.
class TextColumn {
  public:
    TextColumn(const Batch &batch, const std::string &name)
        : batch_(batch), name_(name), column_(find_core_column(name)), core_(core_distinction(name)),
          field_(find_field(batch, name)), added_(added_at(batch, name)) {
        if (core_) return;
        if (column_ || (field_ < 0 && added_ < 0)) unknown(name);
        const FieldType type = field_ >= 0 ? batch.schema->fields[static_cast<size_t>(field_)].type
                                           : batch.added[size_t(added_)].field.type;
        if (type != FieldType::string) unknown(name);
    }

    // What tells the values apart; empty where the row has none.
    void key(std::string &out, size_t i) const {
        out.clear();
        const Row &row = batch_.rows[i];
        if (core_) {
            core_(out, batch_, row);
        } else if (field_ >= 0) {
            if (const auto found = field_values(batch_, row, size_t(field_)); !found.empty())
                out = batch_.text(found[0]);
        } else if (const Values &added = batch_.added[size_t(added_)].values; added.valid[i]) {
            out.assign(1, '=').append(added.texts[i]); // an added text may be empty
        }
    }

    // Keys of one form never meet those of another in a table.
    char form() const { return is_address() ? 'a' : added_ >= 0 ? '=' : 't'; }

    // As Python sees it.
    py::object value(size_t i) const {
        if (added_ >= 0) return added_value(batch_.added[size_t(added_)].values, i);
        const Row &row = batch_.rows[i];
        return field_ >= 0 ? attribute_value(batch_, row, size_t(field_)) : core_value(batch_, row, *column_);
    }

  private:
    // Position of an added column; -1: none.
    static int added_at(const Batch &batch, const std::string &name) {
        const AddedColumn *column = find_added(batch, name);
        return column ? static_cast<int>(column - batch.added.data()) : -1;
    }
    bool is_address() const { return name_ == "ipsrc" || name_ == "ipdst"; }

    const Batch &batch_;
    const std::string &name_;
    const CoreColumn *column_;
    Distinction core_;
    int field_;
    int added_; // no pointer: a look-up's function may add columns
};

// What a function said of texts, in a table with open addressing: a lookup is mostly waiting for memory, and a slot
// is in one cache line. TextColumn are told apart by 128 keyed bits alone. The function is not kept: its owner holds
// this table, and the garbage collector does not see into it. While Python runs - the function, a result that dies -
// nothing of the table is held, because it may come back to it.
class Lookup {
  public:
    explicit Lookup(size_t size) : size_(size) { clear(); }

    py::tuple find(const PyBatch &self, const std::string &name, const py::function &function) {
        const auto held = self.batch; // the function may add columns, which may give self another batch
        const Batch &batch = *held;
        const TextColumn texts(batch, name);
        if (used_ > size_) clear();
        py::list results;
        results.append(py::none());
        const std::vector<Hash> hashes = hashes_of(texts, batch.rows.size());
        std::vector<uint32_t> codes(hashes.size()); // 0: no text
        for (size_t i = 0; i < hashes.size(); ++i) {
            if (hashes[i] == Hash{}) continue;
            py::object result = place(hashes[i]).result;
            if (!result) {
                const py::object said = function(texts.value(i));
                if (!place(hashes[i]).result) put(hashes[i], said); // else it came back for the same text
                result = place(hashes[i]).result;
            }
            Slot &slot = place(hashes[i]); // free if the table was cleared meanwhile
            codes[i] = slot.code;
            if (codes[i] >= results.size() || PyList_GET_ITEM(results.ptr(), codes[i]) != result.ptr()) {
                codes[i] = static_cast<uint32_t>(results.size());
                if (slot.result) slot.code = codes[i];
                results.append(result);
            }
        }
        return py::make_tuple(results, code_column(std::move(codes)));
    }

  private:
    using Hash = std::array<uint64_t, 2>;
    struct alignas(32) Slot {
        Hash hash;
        py::object result; // null: free
        uint32_t code = 0; // where the result stood in the last list of results that had it; 0 for None
    };
    static constexpr size_t kStart = 256;

    Hash hash_of(const std::string &text, char form) const {
        SipHash<1, 3, 128> hash(key_);
        hash.add(uint64_t(uint8_t(form)) << 56 ^ text.size());
        size_t at = 0;
        uint64_t word;
        for (; at + sizeof word <= text.size(); at += sizeof word) {
            std::memcpy(&word, text.data() + at, sizeof word);
            hash.add(word);
        }
        word = 0;
        std::memcpy(&word, text.data() + at, text.size() - at);
        hash.add(word);
        return hash.finish128();
    }

    // Zero for a row without a text. All of them first, so that the slots are on their way when they are looked at.
    std::vector<Hash> hashes_of(const TextColumn &texts, size_t rows) const {
        std::vector<Hash> hashes(rows);
        std::string key;
        for (size_t i = 0; i < rows; ++i) {
            texts.key(key, i);
            if (key.empty()) continue;
            hashes[i] = hash_of(key, texts.form());
            __builtin_prefetch(&slots_[hashes[i][0] & (slots_.size() - 1)]);
        }
        return hashes;
    }

    // The slot of a text, or the free one where it would go.
    Slot &place(const Hash &hash) {
        for (size_t i = hash[0];; ++i)
            if (Slot &slot = slots_[i & (slots_.size() - 1)]; !slot.result || slot.hash == hash) return slot;
    }

    void put(const Hash &hash, const py::object &result) {
        if (2 * ++used_ > slots_.size()) {
            std::vector<Slot> old(2 * slots_.size());
            old.swap(slots_);
            for (Slot &slot : old)
                if (slot.result) place(slot.hash) = std::move(slot);
        }
        place(hash) = {hash, result, 0};
    }

    void clear() {
        std::vector<Slot> old(kStart);
        old.swap(slots_);
        used_ = 0; // before results die with `old`: what they do then may come here
    }

    const HashKey key_ = random_hash_key();
    size_t size_, used_ = 0;  // texts
    std::vector<Slot> slots_; // a power of two of them
};

} // namespace

// A text column as its values, each once in the order of its first row, and for each row the index of its value.
py::tuple distinct(const PyBatch &self, const std::string &name) {
    const TextColumn texts(*self.batch, name);
    std::unordered_map<std::string, uint32_t>
        seen; // bounded by the batch, so that texts chosen to collide cost its square
    std::vector<uint32_t> codes;
    codes.reserve(self.batch->rows.size());
    py::list values;
    std::string key;
    for (size_t i = 0; i < self.batch->rows.size(); ++i) {
        texts.key(key, i);
        const auto [entry, is_new] = seen.try_emplace(key, static_cast<uint32_t>(values.size()));
        if (is_new) values.append(texts.value(i));
        codes.push_back(entry->second);
    }
    return py::make_tuple(values, code_column(std::move(codes)));
}

void bind_lookup(py::module_ &m) {
    py::class_<Lookup>(m, "Lookup")
        .def(py::init<size_t>(), py::arg("size"))
        .def("find", &Lookup::find, py::arg("batch"), py::arg("name"), py::arg("function"));
}
