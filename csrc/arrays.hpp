// Arrays as they come from Python: checked for type, shape, order and device, never converted. Every refusal is a ValueError that
// says what came, what was wanted and the cure.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

namespace pose_rt {

namespace py = pybind11;

enum class Type { kFloat32, kFloat64, kUint8, kInt32, kBool };

// One axis of a wanted shape: a number, or a letter that is bound on first use and equal afterwards within one call.
struct Axis {
  char letter = 0;
  std::int64_t size = 0;
  Axis(char l) : letter(l) {}
  Axis(int s) : size(s) {}
  Axis(std::int64_t s) : size(s) {}
};

struct Sizes {
  std::int64_t of[128];
  Sizes() {
    for (auto& s : of) s = -1;
  }
  std::int64_t operator[](char letter) const { return of[static_cast<int>(letter)]; }
};

struct Array {
  void* data = nullptr;
  std::vector<std::int64_t> shape;
  bool cuda = false;
  std::int64_t size = 1;
  py::object keep;  // what owns the memory while the call runs

  const float* floats() const { return static_cast<const float*>(data); }
};

// Reads and checks; `rank_only_last` accepts any leading axes and checks only the last one.
Array take(const char* name, const py::handle& value, Type type, std::initializer_list<Axis> axes, Sizes& sizes, std::uintptr_t stream = 0);
Array take_trailing(const char* name, const py::handle& value, Type type, std::int64_t last, std::uintptr_t stream = 0);

// `out=` when given (checked, writable), else a new array on the host or, when `cuda`, on the device.
Array output(const char* name, const py::handle& out, Type type, const std::vector<std::int64_t>& shape, bool cuda, std::uintptr_t stream);

// Both on the host or both on the device.
void same_device(const char* name, const Array& a, const char* other, const Array& b);
void host_only(const char* name, const Array& a);

[[noreturn]] void refuse(const std::string& message);

}  // namespace pose_rt
