// SPDX-License-Identifier: Apache-2.0
// Several captures of one time read as one input, in order of their packets' time stamps: the directions of a tap, the
// interfaces of a router. Each file is taken as it is, only packets of different files change places.
#include <algorithm>
#include <stdexcept>

#include "capture_files.h"

namespace aicore {

namespace {

class MergeSource final : public CaptureFiles {
  public:
    MergeSource(const std::vector<std::string> &paths, const std::string &filter, const std::vector<std::string> &found)
        : CaptureFiles(filter, found) {
        for (const std::string &path : paths) {
            try {
                auto file = std::make_unique<CaptureFile>(path, types_, wakeup_);
                if (!file->regular())
                    throw std::runtime_error(path + ": is not a regular file; only such can be merged");
                begin(*file);
                bytes_total_ += file->size();
                inputs_.push_back({path, std::move(file), std::make_unique<PacketBlock>(), 0});
            } catch (const NotACapture &other) {
                if (!forgiven(path)) throw;
                leave_out(other);
            } catch (const std::runtime_error &broken) {
                if (!forgiven(path)) throw;
                broken_.push_back({path, broken.what()});
            }
        }
    }

    ReadStatus read_block(PacketBlock &block, int wait_ms, size_t most) override {
        block.clear();
        if (interrupted_) return ReadStatus::end;
        std::erase_if(inputs_, [&](Input &input) { return !refill(input, wait_ms); });
        if (inputs_.empty()) return ReadStatus::end;
        // A file is read again only here, at the beginning, so a block holds memory of each file once.
        auto memory = std::make_shared<std::vector<std::shared_ptr<const void>>>();
        for (const Input &input : inputs_)
            memory->push_back(input.block->memory);
        block.memory = std::move(memory);
        while (block.size < most && !interrupted_) {
            for (size_t i = current_ = 0; i < inputs_.size(); ++i)
                if (inputs_[i].head().time < inputs_[current_].head().time) current_ = i;
            Input &first = inputs_[current_];
            block.add(first.head());
            if (++first.next == first.block->size) break;
        }
        return ReadStatus::ok;
    }

    bool at_end() const override { return inputs_.empty(); }
    uint64_t bytes_read() const override {
        uint64_t sum = bytes_done_;
        for (const Input &input : inputs_)
            sum += input.file->bytes_read();
        return sum;
    }
    std::string current() const override {
        return inputs_.empty() ? std::string() : inputs_[std::min(current_, inputs_.size() - 1)].path;
    }

  private:
    struct Input {
        std::string path;
        std::unique_ptr<CaptureFile> file;
        std::unique_ptr<PacketBlock> block;
        size_t next; // of its packets
        const RawPacket &head() const { return block->packets[next]; }
    };

    // False: there are no more packets in it.
    bool refill(Input &input, int wait_ms) {
        if (input.next < input.block->size) return true;
        input.next = 0;
        ReadStatus status;
        do { // none at once: a filter held them back
            status = input.file->read(*input.block, wait_ms, PacketBlock::kMost);
            if (status == ReadStatus::error) broken_.push_back({input.path, input.file->error()});
        } while (input.block->size == 0 && !interrupted_ && (status == ReadStatus::ok || status == ReadStatus::idle));
        if (input.block->size > 0) return true;
        bytes_done_ += input.file->size();
        return false;
    }

    std::vector<Input> inputs_; // with packets left
    size_t current_ = 0;        // of them: the packet handed out last
};

} // namespace

std::unique_ptr<Source> merge_files(const std::vector<std::string> &paths, const std::string &filter,
                                    const std::vector<std::string> &found) {
    if (paths.empty()) throw std::runtime_error("no capture to read");
    return std::make_unique<MergeSource>(paths, filter, found);
}

} // namespace aicore
