// SPDX-License-Identifier: Apache-2.0
#include "aicore/binary.h"

#include "bind.h"

using namespace aicore;

py::bytes batch_schema_bytes(const PyBatch &self) {
    return schema_bytes(*self.batch);
}

py::bytes batch_to_bytes(const PyBatch &self) {
    std::string out;
    const auto batch = self.lend();
    {
        const py::gil_scoped_release release;
        append_binary(out, *batch);
    }
    return out;
}

// BinaryError is a std::invalid_argument, which is ValueError.
void bind_binary(py::module_ &m) {
    py::class_<BinaryReader, std::shared_ptr<BinaryReader>>(m, "BinaryReader")
        .def(py::init([](const py::bytes &schema) { return std::make_shared<BinaryReader>(std::string_view(schema)); }),
             py::arg("schema"))
        .def(
            "read",
            [](BinaryReader &self, const py::bytes &batch) {
                const std::string_view bytes = batch;
                const py::gil_scoped_release release;
                return PyBatch(self.read(bytes));
            },
            py::arg("batch"));
}
