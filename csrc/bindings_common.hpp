// What the bindings of all ops share: checks of single arguments, `out=` of several results, scratch memory and the launch.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "ops.hpp"

namespace pose_rt {

// `%g` of a number, for messages.
std::string number(double v);

// Each of these returns what it checked, or refuses with what came and what was wanted.
void positive(const char* name, double v);
void within(const char* name, double v, double low, double high);
std::int64_t whole(const char* name, const py::handle& value, std::int64_t least, std::int64_t limit);
std::int64_t count(const char* name, const py::handle& value, std::int64_t least = 0);
std::int64_t odd(const char* name, const py::handle& value);
void at_least_one(const char* name, std::int64_t v);
int choice(const char* name, const std::string& value, std::initializer_list<const char*> allowed);
Address address(const py::handle& seed, const py::handle& frame, const py::handle& track, std::int64_t stream);
// One address holds 2**34 numbers.
void draws(std::int64_t rows, std::int64_t samples, std::int64_t n);
Camera camera(const py::handle& value, const py::handle& distortion, bool clamp);

// Device values are not looked at: a non-finite one gives NaN in its own row there.
void finite(const char* name, const Array& a);
void finite_doubles(const char* name, const double* values, std::int64_t n);
// Recorded draws: -inf is a uniform of 0.
void recorded(const char* name, const Array& a);

// `out=` of an op with several results: the arrays of the tuple, or as many times None.
std::vector<py::object> several(const py::object& out, std::initializer_list<const char*> names);

// Scratch of this thread; grows, is never given back before the thread ends: no allocation in steady state.
float* scratch(std::int64_t floats);

// Runs a kernel without the interpreter lock, on the device if the arrays are there.
template <class Op>
void launch([[maybe_unused]] bool on_device, [[maybe_unused]] std::uintptr_t stream, const Op& op, void (*host)(const Op&),
            [[maybe_unused]] std::type_identity_t<void (*)(const Op&, void*)> device) {
  const py::gil_scoped_release unlock;
#ifdef POSE_RT_HAS_CUDA
  if (on_device) {
    device(op, reinterpret_cast<void*>(stream));
    return;
  }
#endif
  host(op);
}

#ifdef POSE_RT_HAS_CUDA
#define POSE_RT_ON_DEVICE(name) cuda::name
#else
#define POSE_RT_ON_DEVICE(name) nullptr
#endif

template <class T>
T* write(const Array& a) {
  return static_cast<T*>(a.data);
}
// One definition of Python functions a subject.
void define_sampling(py::module_& m);  // bindings_sampling.cpp
void define_frame(py::module_& m);     // bindings_frame.cpp
void define_pose(py::module_& m);      // bindings_pose.cpp

}  // namespace pose_rt
