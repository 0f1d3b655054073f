// Arrays on the device: reading those of other libraries, and our own.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pose_rt {

namespace py = pybind11;

struct DeviceView {
  void* data = nullptr;
  std::vector<std::int64_t> shape;
  std::string type;  // "float32", or what came
  bool contiguous = false;
  py::object keep;
};

// An array with the CUDA array interface or DLPack (device type 2), ready for work on `stream`.
DeviceView device_view(const char* name, const py::handle& value, std::uintptr_t stream);

// A new _core.DeviceArray; its memory is freed on the same stream.
py::object new_device_array(const std::vector<std::int64_t>& shape, const char* type, std::size_t item_bytes, std::uintptr_t stream,
                            void** data);

// Whether a device can be used, and its name or the reason why not.
std::pair<bool, std::string> device_status();

void define_device_array(py::module_& m);

}  // namespace pose_rt
