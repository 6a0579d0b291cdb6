// SPDX-License-Identifier: Apache-2.0
// Arrow's PyCapsule interface (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html). A
// requested schema is a wish that a producer may leave open, and there is one form only.
#include "aicore/arrow.h"

#include "bind.h"

using namespace aicore;

namespace {

// A structure in a capsule that releases what its consumer has not moved out of it.
template <typename T> struct Capsule {
    explicit Capsule(const char *name) : name_(name), held_(new T{}) {}
    ~Capsule() { destroy(held_); }
    Capsule(const Capsule &) = delete;
    Capsule &operator=(const Capsule &) = delete;

    T *get() const { return held_; }
    py::object release() {
        auto capsule = py::reinterpret_steal<py::object>(PyCapsule_New(held_, name_, [](PyObject *object) {
            destroy(static_cast<T *>(PyCapsule_GetPointer(object, PyCapsule_GetName(object))));
        }));
        if (!capsule) throw py::error_already_set();
        held_ = nullptr;
        return capsule;
    }

  private:
    static void destroy(T *held) {
        if (held && held->release) held->release(held);
        delete held;
    }
    const char *name_;
    T *held_;
};

py::object schema_capsule(const ArrowFields &fields) {
    Capsule<ArrowSchema> schema("arrow_schema");
    export_schema(fields, schema.get());
    return schema.release();
}

// Fields as (name, type): the schema of a run.
ArrowFields fields_of(const std::vector<std::pair<std::string, std::string>> &given) {
    ArrowFields fields;
    for (const auto &[name, type] : given) {
        const auto known = type_of_name(type);
        if (!known) throw py::value_error("field '" + name + "' has the unknown type '" + type + "'");
        fields.push_back({name, *known, !always_present(name)});
    }
    return fields;
}

// Batches that Python gives: an object with next(), a Batch or None, and close(). Streams are read and released on any
// thread, with or without the GIL.
class PythonSource final : public ArrowSource {
  public:
    explicit PythonSource(py::object source) : source_(std::move(source)) {}
    ~PythonSource() override {
        // While the interpreter ends a thread that has not got the GIL can no longer get it.
        if (!Py_IsInitialized() && !PyGILState_Check()) {
            source_.release();
            return;
        }
        const py::gil_scoped_acquire gil;
        const py::error_scope error; // a consumer may release amid an exception
        try {
            source_.attr("close")();
        } catch (py::error_already_set &e) {
            e.discard_as_unraisable("closing an Arrow stream");
        }
        source_ = py::object();
    }
    PythonSource(const PythonSource &) = delete;
    PythonSource &operator=(const PythonSource &) = delete;

    std::shared_ptr<const Batch> next() override {
        const py::gil_scoped_acquire gil;
        try {
            const py::object batch = source_.attr("next")();
            if (batch.is_none()) return nullptr;
            return py::cast<const PyBatch &>(batch).lend();
        } catch (const py::error_already_set &e) { // which needs the GIL until it is gone
            // Consumers know errors of their own only; Python raises this one again when they return to it.
            if (e.matches(PyExc_KeyboardInterrupt)) PyErr_SetInterrupt();
            throw std::runtime_error(py::cast<std::string>(e.type().attr("__name__")) + ": " +
                                     py::cast<std::string>(py::str(e.value())));
        }
    }

  private:
    py::object source_;
};

py::object source_stream(py::object source, const std::vector<std::pair<std::string, std::string>> &fields) {
    Capsule<ArrowArrayStream> stream("arrow_array_stream");
    export_stream(std::make_unique<PythonSource>(std::move(source)), fields_of(fields), stream.get());
    return stream.release();
}

} // namespace

py::object batch_arrow_schema(const PyBatch &self) {
    return schema_capsule(arrow_fields(*self.batch));
}

py::tuple batch_arrow_array(const PyBatch &self) {
    const ArrowFields fields = arrow_fields(*self.batch);
    Capsule<ArrowArray> array("arrow_array");
    const auto batch = self.lend();
    bool done;
    {
        const py::gil_scoped_release release;
        done = export_rows(batch, fields, 0, batch->rows.size(), array.get());
    }
    if (!done) throw py::value_error("a column has more than 2 GiB of text: read the batch as a stream");
    return py::make_tuple(schema_capsule(fields), array.release());
}

py::object batch_arrow_stream(const PyBatch &self) {
    Capsule<ArrowArrayStream> stream("arrow_array_stream");
    export_stream(self.lend(), stream.get());
    return stream.release();
}

void bind_arrow(py::module_ &m) {
    m.def(
        "arrow_schema",
        [](const std::vector<std::pair<std::string, std::string>> &fields) {
            return schema_capsule(fields_of(fields));
        },
        py::arg("fields"));
    m.def("arrow_stream", source_stream, py::arg("source"), py::arg("fields"));
}
