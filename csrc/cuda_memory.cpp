#include "cuda_memory.hpp"

#include <pybind11/numpy.h>

#include <memory>
#include <stdexcept>

#include "arrays.hpp"

#ifdef POSE_RT_EMULATE_CUDA
#include "cuda_emulation.hpp"
#else
#include <cuda_runtime.h>
#endif

namespace pose_rt {

namespace {

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

cudaStream_t as_stream(std::uintptr_t stream) { return reinterpret_cast<cudaStream_t>(stream); }

// Owns device memory; other libraries see it through the CUDA array interface.
struct DeviceArray {
  void* data = nullptr;
  std::vector<std::int64_t> shape;
  std::string type;
  std::size_t bytes = 0;
  std::uintptr_t stream = 0;

  DeviceArray() = default;
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() {
    if (data != nullptr) (void)cudaFreeAsync(data, as_stream(stream));
  }
};

const char* type_string(const std::string& type) {
  if (type == "float32") return "<f4";
  if (type == "int32") return "<i4";
  if (type == "uint8") return "|u1";
  if (type == "bool") return "|b1";
  return "<f8";
}

std::string type_name(const std::string& type_string) {
  if (type_string == "<f4") return "float32";
  if (type_string == "<f8") return "float64";
  if (type_string == "<i4") return "int32";
  if (type_string == "|u1") return "uint8";
  if (type_string == "|b1") return "bool";
  return type_string;
}

// Strides in items, outermost first; axes of length one do not matter.
bool dense(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

// The C structs of the DLPack standard, as far as they are read here.
struct DlTensor {
  void* data;
  std::int32_t device_type, device_id, dims;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t *shape, *strides;
  std::uint64_t byte_offset;
};

DeviceView view_of_interface(const py::dict& interface, std::uintptr_t stream) {
  DeviceView view;
  view.data = reinterpret_cast<void*>(interface["data"].cast<py::tuple>()[0].cast<std::uintptr_t>());
  view.shape = [&] {
    std::vector<std::int64_t> shape;
    for (const py::handle n : interface["shape"]) shape.push_back(n.cast<std::int64_t>());
    return shape;
  }();
  const auto type = interface["typestr"].cast<std::string>();
  view.type = type_name(type);
  view.contiguous = true;
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    const std::int64_t item = std::stoll(type.substr(2));
    std::vector<std::int64_t> strides;
    for (const py::handle n : interface["strides"]) strides.push_back(n.cast<std::int64_t>() / item);
    view.contiguous = dense(view.shape, strides);
  }
  // Work that the owner still has in flight on another stream must be over before ours reads.
  if (interface.contains("stream") && !interface["stream"].is_none()) {
    const auto theirs = interface["stream"].cast<std::uintptr_t>();
    if (theirs != stream) check(cudaStreamSynchronize(as_stream(theirs)), "waiting for the array's stream");
  }
  return view;
}

DeviceView view_of_dlpack(const py::handle& value, std::uintptr_t stream) {
  // DLPack calls the default stream 1 and has no 0.
  const py::object capsule = value.attr("__dlpack__")(py::arg("stream") = stream == 0 ? std::uintptr_t{1} : stream);
  const auto* tensor = static_cast<const DlTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  if (tensor == nullptr) throw py::error_already_set();
  DeviceView view;
  view.data = static_cast<char*>(tensor->data) + tensor->byte_offset;
  view.shape.assign(tensor->shape, tensor->shape + tensor->dims);
  const char* kinds[] = {"int", "uint", "float"};
  view.type = tensor->code == 6                        ? "bool"
              : tensor->code < 3 && tensor->lanes == 1 ? kinds[tensor->code] + std::to_string(tensor->bits)
                                                       : "another type";
  view.contiguous =
      tensor->strides == nullptr || dense(view.shape, std::vector<std::int64_t>(tensor->strides, tensor->strides + tensor->dims));
  view.keep = capsule;  // frees the tensor when it goes
  return view;
}

py::object to_device(const py::array& host, std::uintptr_t stream) {
  if ((host.flags() & py::array::c_style) == 0)
    refuse("array: got gaps or another order in memory, wanted it contiguous; use numpy.ascontiguousarray");
  const auto type = py::str(host.dtype()).cast<std::string>();
  void* data = nullptr;
  const std::vector<std::int64_t> shape(host.shape(), host.shape() + host.ndim());
  py::object array = new_device_array(shape, type.c_str(), static_cast<std::size_t>(host.itemsize()), stream, &data);
  check(cudaMemcpyAsync(data, host.data(), static_cast<std::size_t>(host.nbytes()), cudaMemcpyHostToDevice, as_stream(stream)),
        "copy to the device");
  check(cudaStreamSynchronize(as_stream(stream)), "copy to the device");
  return array;
}

py::tuple shape_of(const DeviceArray& a) {
  py::list shape;
  for (const std::int64_t n : a.shape) shape.append(n);
  return shape;
}

py::array to_host(const DeviceArray& a, std::uintptr_t stream) {
  py::array host(py::dtype(type_string(a.type)), std::vector<py::ssize_t>(a.shape.begin(), a.shape.end()));
  check(cudaMemcpyAsync(host.mutable_data(), a.data, a.bytes, cudaMemcpyDeviceToHost, as_stream(stream)), "copy to the host");
  check(cudaStreamSynchronize(as_stream(stream)), "copy to the host");
  return host;
}

}  // namespace

DeviceView device_view(const char* name, const py::handle& value, std::uintptr_t stream) {
  DeviceView view = py::hasattr(value, "__cuda_array_interface__")
                        ? view_of_interface(value.attr("__cuda_array_interface__").cast<py::dict>(), stream)
                        : view_of_dlpack(value, stream);
  if (!view.keep) view.keep = py::reinterpret_borrow<py::object>(value);
#ifndef POSE_RT_EMULATE_CUDA
  cudaPointerAttributes attributes{};
  int current = 0;
  check(cudaGetDevice(&current), "asking for the current device");
  if (view.data != nullptr && cudaPointerGetAttributes(&attributes, view.data) == cudaSuccess && attributes.device != current) {
    refuse(std::string(name) + ": lies on device " + std::to_string(attributes.device) + ", the current device is " +
           std::to_string(current) + "; make its device the current one");
  }
#else
  (void)name;
#endif
  return view;
}

py::object new_device_array(const std::vector<std::int64_t>& shape, const char* type, std::size_t item_bytes, std::uintptr_t stream,
                            void** data) {
  auto array = std::make_unique<DeviceArray>();
  array->shape = shape;
  array->type = type;
  array->stream = stream;
  array->bytes = item_bytes;
  for (const std::int64_t n : shape) array->bytes *= static_cast<std::size_t>(n);
  check(cudaMallocAsync(&array->data, array->bytes == 0 ? 1 : array->bytes, as_stream(stream)), "allocation");
  *data = array->data;
  return py::cast(std::move(array));
}

std::pair<bool, std::string> device_status() {
#ifdef POSE_RT_EMULATE_CUDA
  return {true, "CUDA kernels emulated on the host, for tests only"};
#else
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    return {false, std::string("CUDA kernels are built, but no device can be used: ") +
                       (error != cudaSuccess ? cudaGetErrorString(error) : "none found")};
  }
  int device = 0;
  cudaDeviceProp properties{};
  check(cudaGetDevice(&device), "asking for the current device");
  check(cudaGetDeviceProperties(&properties, device), "asking for the device's name");
  return {true, properties.name};
#endif
}

void define_device_array(py::module_& m) {
  py::class_<DeviceArray>(m, "DeviceArray", "Memory on a CUDA device, seen by other libraries through the CUDA array interface.")
      .def_property_readonly("__cuda_array_interface__",
                             [](const DeviceArray& a) {
                               py::dict d;
                               d["shape"] = shape_of(a);
                               d["typestr"] = type_string(a.type);
                               d["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(a.data), false);
                               d["strides"] = py::none();
                               d["version"] = 3;
                               return d;
                             })
      .def_property_readonly("shape", shape_of)
      .def("to_host", to_host, py::arg("stream") = std::uintptr_t{0}, "A NumPy copy, after the stream's work is done.");
  m.def("to_device", to_device, py::arg("array"), py::arg("stream") = std::uintptr_t{0}, "A DeviceArray copy of a contiguous NumPy array.");
}

}  // namespace pose_rt
