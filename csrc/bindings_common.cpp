#include "bindings_common.hpp"

#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>

namespace pose_rt {

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", v);
  return text;
}

void positive(const char* name, double v) {
  if (!(v > 0 && v < std::numeric_limits<double>::infinity()))
    refuse(std::string(name) + ": got " + number(v) + ", wanted a finite number above 0");
}

void within(const char* name, double v, double low, double high) {
  if (!(v >= low && v <= high))
    refuse(std::string(name) + ": got " + number(v) + ", wanted a number in [" + number(low) + ", " + number(high) + "]");
}

std::int64_t whole(const char* name, const py::handle& value, std::int64_t least, std::int64_t limit) {
  if (PyIndex_Check(value.ptr()) != 0) {
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    int overflow = 0;
    const long long v = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    if (overflow == 0 && v >= least && v < limit) return v;
  }
  PyErr_Clear();
  refuse(std::string(name) + ": got " + py::repr(value).cast<std::string>() + ", wanted a whole number in [" + std::to_string(least) +
         ", " + std::to_string(limit) + ")");
}

std::int64_t count(const char* name, const py::handle& value, std::int64_t least) {
  return whole(name, value, least, std::int64_t{1} << 31);
}

std::int64_t odd(const char* name, const py::handle& value) {
  const std::int64_t v = count(name, value);
  if (v < 1 || v > 1023 || v % 2 == 0) refuse(std::string(name) + ": got " + std::to_string(v) + ", wanted an odd number in [1, 1023]");
  return v;
}

void at_least_one(const char* name, std::int64_t v) {
  if (v < 1) refuse(std::string(name) + ": got " + std::to_string(v) + ", wanted at least 1");
}

Address address(const py::handle& seed, const py::handle& frame, const py::handle& track, std::int64_t stream) {
  Address a{};
  bool good = false;
  if (PyIndex_Check(seed.ptr()) != 0) {
    const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(seed.ptr()));
    a.seed = PyLong_AsUnsignedLongLong(index.ptr());
    good = PyErr_Occurred() == nullptr;
    PyErr_Clear();
  }
  if (!good) refuse("seed: got " + py::repr(seed).cast<std::string>() + ", wanted a whole number in [0, 2**64)");
  a.frame = static_cast<std::uint32_t>(whole("frame", frame, 0, std::int64_t{1} << 32));
  a.track = static_cast<std::uint32_t>(whole("track", track, 0, std::int64_t{1} << 32));
  a.stream = static_cast<std::uint32_t>(stream);
  return a;
}

void draws(std::int64_t rows, std::int64_t samples, std::int64_t n) {
  const long double total = static_cast<long double>(rows) * static_cast<long double>(samples) * static_cast<long double>(n);
  if (total > 17179869184.0L)
    refuse("samples: got " + number(static_cast<double>(total)) +
           " draws for one address, wanted at most 2**34; split the call over frames or tracks");
}

void finite(const char* name, const Array& a) {
  if (!a.cuda && !cpu().all_finite(a.floats(), a.size))
    refuse(std::string(name) + ": got NaN or inf, wanted finite values; mask or replace them first");
}

void finite_doubles(const char* name, const double* values, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(values[i])) refuse(std::string(name) + ": got NaN or inf, wanted finite values");
  }
}

void recorded(const char* name, const Array& a) {
  for (std::int64_t i = 0; !a.cuda && i < a.size; ++i) {
    if (!(a.floats()[i] < std::numeric_limits<float>::infinity()))
      refuse(std::string(name) + ": got NaN or inf, wanted finite values or -inf");
  }
}

int choice(const char* name, const std::string& value, std::initializer_list<const char*> allowed) {
  int i = 0;
  std::string list;
  for (const char* word : allowed) {
    if (value == word) return i;
    list += (i++ != 0 ? ", " : "") + std::string(word);
  }
  refuse(std::string(name) + ": got '" + value + "', wanted one of " + list);
}

Camera camera(const py::handle& value, const py::handle& distortion, bool clamp) {
  Sizes sizes;
  const Array a = take("camera", value, Type::kFloat32, {'C'}, sizes);
  host_only("camera", a);
  finite("camera", a);
  if (a.size != 4 && a.size != 9)
    refuse("camera: got float32 (" + std::to_string(a.size) + ",), wanted (4,) fx, fy, cx, cy or (9,) with k1, k2, k3, p1, p2");
  const bool distorted = distortion.is_none() ? a.size == 9 : distortion.cast<bool>();
  if (distorted && a.size == 4)
    refuse("distortion: got True with a camera of 4 numbers, wanted 9; append k1, k2, k3, p1, p2 or set distortion=False");
  const float* c = a.floats();
  Camera camera{c[0], c[1], c[2], c[3], 0, 0, 0, 0, 0, distorted, clamp};
  if (distorted) camera = {c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], true, clamp};
  return camera;
}

std::vector<py::object> several(const py::object& out, std::initializer_list<const char*> names) {
  if (out.is_none()) return std::vector<py::object>(names.size(), py::none());
  if (py::isinstance<py::tuple>(out) && py::len(out) == names.size()) {
    std::vector<py::object> given;
    for (const py::handle& array : out) given.push_back(py::reinterpret_borrow<py::object>(array));
    return given;
  }
  std::string list;
  for (const char* name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  refuse("out: got " +
         (py::isinstance<py::tuple>(out) ? std::to_string(py::len(out)) + " arrays"
                                         : py::str(py::type::of(out).attr("__name__")).cast<std::string>()) +
         ", wanted a tuple (" + list + ")");
}

float* scratch(std::int64_t floats) {
  thread_local std::unique_ptr<float[]> memory;
  thread_local std::int64_t size = 0;
  if (floats + 16 > size) {
    size = floats + 16;
    memory.reset(new float[static_cast<std::size_t>(size)]);
  }
  void* start = memory.get();
  std::size_t space = static_cast<std::size_t>(size) * sizeof(float);
  return static_cast<float*>(std::align(64, sizeof(float), start, space));
}

}  // namespace pose_rt
