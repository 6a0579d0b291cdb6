// SPDX-License-Identifier: Apache-2.0
// Runs a harness without libFuzzer over the files of folders, each as it is and with some bytes changed.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "input.h"

namespace {

constexpr int kChanges = 50; // of each file

void run(const std::string &input) {
    const auto copy = std::make_unique<uint8_t[]>(input.size()); // exactly as large, so that a read behind it is seen
    std::copy(input.begin(), input.end(), copy.get());
    LLVMFuzzerTestOneInput(copy.get(), input.size());
}

std::string changed(std::string input, std::mt19937 &random) {
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    for (size_t n = 1 + below(4); n > 0 && !input.empty(); --n) {
        const size_t at = below(input.size());
        switch (below(4)) {
        case 0:
            input[at] = static_cast<char>(random());
            break;
        case 1:
            input[at] = static_cast<char>(below(2) ? 0xff : 0x00);
            break;
        case 2:
            input.resize(at + 1);
            break;
        default:
            input.insert(at, input.substr(below(input.size()), 1 + below(30)));
            break;
        }
    }
    return input;
}

} // namespace

int main(int count, char **arguments) {
    std::vector<std::filesystem::path> files;
    for (int i = 1; i < count; ++i)
        for (const auto &entry : std::filesystem::recursive_directory_iterator(arguments[i]))
            if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    std::mt19937 random(20251125); // the same at every run
    for (const auto &path : files) {
        std::printf("%s\n", path.c_str()); // the last one is that of a report
        std::fflush(stdout);
        std::ifstream file(path, std::ios::binary);
        const std::string input{std::istreambuf_iterator<char>(file), {}};
        run(input);
        for (int n = 0; n < kChanges; ++n)
            run(changed(input, random));
    }
    std::printf("%zu files, %zu inputs\n", files.size(), files.size() * (kChanges + 1));
    return files.empty();
}
