// SPDX-License-Identifier: Apache-2.0
// Tells flows of one key and one first time stamp apart: their ordinals. Engine thread only.
//
// An ordinal depends on the flows of its key alone: it is the number of those before it that began at the same time.
// What is remembered is bounded to the latest 128 Ki to 256 Ki flows. Only where time goes back behind all of those an
// ordinal is a number of the run; it is unique all the same.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace aicore {

class GivenIds {
  public:
    // `hash`: keyed, of the flow's key and direction.
    uint64_t ordinal(uint64_t hash, int64_t time) {
        const uint64_t mark = mix(hash + static_cast<uint64_t>(time) * 0x9e3779b97f4a7c15u) | 1; // 0 is an empty place
        if (time > newest_) { // the common case: nothing can be the same
            newest_ = time;
        } else {
            if (time <= forgotten_) return kNumbered + numbered_++;
            for (Generation *g : {&young_, &old_})
                if (Given *given = g->find(mark)) return given->next++;
        }
        if (young_.count == kMost) {
            forgotten_ = std::max(forgotten_, old_.latest);
            std::swap(young_, old_);
            young_.clear();
        }
        young_.add(mark, time);
        return 0;
    }

  private:
    static constexpr size_t kMost = 1 << 17; // flows of a generation
    static constexpr uint64_t kNumbered = uint64_t{1} << 40;

    static uint64_t mix(uint64_t x) { // MurmurHash3's finalizer: any two times of a key differ
        x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
        x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
        return x ^ x >> 33;
    }

    struct Given {
        uint64_t mark = 0, next = 0;
    };
    struct Generation {
        std::vector<Given> places = std::vector<Given>(1024); // open addressing, at most half full
        size_t count = 0;
        int64_t latest = INT64_MIN;

        Given &place(uint64_t mark) {
            const size_t mask = places.size() - 1;
            size_t i = (mark >> 20) & mask;
            while (places[i].mark != 0 && places[i].mark != mark)
                i = (i + 1) & mask;
            return places[i];
        }
        Given *find(uint64_t mark) {
            Given &given = place(mark);
            return given.mark == 0 ? nullptr : &given;
        }
        void add(uint64_t mark, int64_t time) {
            if (++count * 2 > places.size()) {
                std::vector<Given> before(places.size() * 2);
                before.swap(places);
                for (const Given &given : before)
                    if (given.mark != 0) place(given.mark) = given;
            }
            place(mark) = {mark, 1};
            latest = std::max(latest, time);
        }
        void clear() {
            std::fill(places.begin(), places.end(), Given{});
            count = 0;
            latest = INT64_MIN;
        }
    };

    Generation young_, old_;
    int64_t newest_ = INT64_MIN;    // first time of all flows
    int64_t forgotten_ = INT64_MIN; // latest first time of those that are not remembered
    uint64_t numbered_ = 0;
};

} // namespace aicore
