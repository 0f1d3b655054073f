#include "arrays.hpp"

#include <sstream>

#ifdef POSE_RT_HAS_CUDA
#include "cuda_memory.hpp"
#endif

namespace pose_rt {

namespace {

const char* name_of(Type type) {
  switch (type) {
    case Type::kFloat32:
      return "float32";
    case Type::kFloat64:
      return "float64";
    case Type::kUint8:
      return "uint8";
    case Type::kInt32:
      return "int32";
    default:
      return "bool";
  }
}

std::size_t bytes_of(Type type) {
  switch (type) {
    case Type::kFloat32:
    case Type::kInt32:
      return 4;
    case Type::kFloat64:
      return 8;
    default:
      return 1;
  }
}

py::dtype dtype_of(Type type) {
  switch (type) {
    case Type::kFloat32:
      return py::dtype::of<float>();
    case Type::kFloat64:
      return py::dtype::of<double>();
    case Type::kUint8:
      return py::dtype::of<std::uint8_t>();
    case Type::kInt32:
      return py::dtype::of<std::int32_t>();
    default:
      return py::dtype::of<bool>();
  }
}

bool is_type(const py::array& array, Type type) {
  switch (type) {
    case Type::kFloat32:
      return py::isinstance<py::array_t<float>>(array);
    case Type::kFloat64:
      return py::isinstance<py::array_t<double>>(array);
    case Type::kUint8:
      return py::isinstance<py::array_t<std::uint8_t>>(array);
    case Type::kInt32:
      return py::isinstance<py::array_t<std::int32_t>>(array);
    default:
      return py::isinstance<py::array_t<bool>>(array);
  }
}

std::string text(const std::vector<std::int64_t>& shape) {
  std::ostringstream s;
  s << '(';
  for (std::size_t i = 0; i < shape.size(); ++i) s << (i != 0 ? ", " : "") << shape[i];
  s << (shape.size() == 1 ? ",)" : ")");
  return s.str();
}

std::string text(std::initializer_list<Axis> axes, const Sizes& sizes) {
  std::ostringstream s;
  s << '(';
  bool first = true;
  for (const Axis& axis : axes) {
    s << (first ? "" : ", ");
    first = false;
    if (axis.letter == 0) {
      s << axis.size;
    } else {
      s << axis.letter;
      if (sizes[axis.letter] >= 0) s << '=' << sizes[axis.letter];
    }
  }
  s << (axes.size() == 1 ? ",)" : ")");
  return s.str();
}

// The facts of an incoming array, before they are compared with what is wanted.
struct Came {
  Array array;
  std::string type_text;
  bool right_type = false, contiguous = false;
};

Came from_numpy(const py::array& value, Type type) {
  Came came;
  came.array.data = const_cast<void*>(value.data());
  came.array.shape.assign(value.shape(), value.shape() + value.ndim());
  came.array.size = value.size();
  came.array.keep = value;
  came.right_type = is_type(value, type);
  came.contiguous = (value.flags() & py::array::c_style) != 0;
  if (!came.right_type) came.type_text = py::str(value.dtype()).cast<std::string>();
  return came;
}

bool is_cuda(const py::handle& value) {
  if (py::hasattr(value, "__cuda_array_interface__")) return true;
  if (!py::hasattr(value, "__dlpack_device__")) return false;
  return value.attr("__dlpack_device__")().cast<py::tuple>()[0].cast<int>() == 2;
}

Came read(const char* name, const py::handle& value, Type type, std::uintptr_t stream) {
  if (py::isinstance<py::array>(value)) return from_numpy(py::reinterpret_borrow<py::array>(value), type);
  if (is_cuda(value)) {
#ifdef POSE_RT_HAS_CUDA
    static const std::pair<bool, std::string> status = device_status();
    if (!status.first) {
      refuse(std::string(name) + ": got an array on a CUDA device, but " + status.second +
             "; see to the driver with nvidia-smi, or copy the array to the host");
    }
    DeviceView view = device_view(name, value, stream);
    Came came;
    came.array.data = view.data;
    came.array.shape = view.shape;
    for (const std::int64_t n : view.shape) came.array.size *= n;
    came.array.cuda = true;
    came.array.keep = view.keep;
    came.right_type = view.type == name_of(type);
    came.type_text = view.type;
    came.contiguous = view.contiguous;
    return came;
#else
    (void)stream;
    refuse(std::string(name) +
           ": got an array on a CUDA device, but this build has CPU kernels only; rebuild with: POSE_RT_CUDA=ON pip install "
           "--no-build-isolation -e . (or copy the array to the host)");
#endif
  }
  refuse(std::string(name) + ": got " + py::str(py::type::of(value).attr("__name__")).cast<std::string>() + ", wanted an array " +
         name_of(type) + "; convert it with numpy.asarray");
}

Array checked(const char* name, Came& came, Type type, const std::string& wanted) {
  const std::string shape = text(came.array.shape);
  if (!came.right_type) {
    refuse(std::string(name) + ": got " + came.type_text + " " + shape + ", wanted " + name_of(type) + " " + wanted +
           "; convert it with .astype(" + (came.array.cuda ? "\"" : "numpy.") + name_of(type) + (came.array.cuda ? "\"" : "") + ")");
  }
  if (!came.contiguous) {
    refuse(std::string(name) + ": got " + name_of(type) + " " + shape +
           " with gaps or another order in memory, wanted it contiguous; use numpy.ascontiguousarray");
  }
  return std::move(came.array);
}

}  // namespace

void refuse(const std::string& message) { throw py::value_error(message); }

Array take(const char* name, const py::handle& value, Type type, std::initializer_list<Axis> axes, Sizes& sizes, std::uintptr_t stream) {
  Came came = read(name, value, type, stream);
  bool fits = came.array.shape.size() == axes.size() && came.right_type;
  if (fits) {
    std::size_t i = 0;
    for (const Axis& axis : axes) {
      const std::int64_t got = came.array.shape[i++];
      if (axis.letter != 0 && sizes[axis.letter] < 0) sizes.of[static_cast<int>(axis.letter)] = got;
      if (got != (axis.letter != 0 ? sizes[axis.letter] : axis.size)) fits = false;
    }
  }
  if (fits && came.contiguous) return std::move(came.array);
  const std::string wanted = text(axes, sizes);
  Array array = checked(name, came, type, wanted);
  refuse(std::string(name) + ": got " + name_of(type) + " " + text(array.shape) + ", wanted " + name_of(type) + " " + wanted);
}

Array take_trailing(const char* name, const py::handle& value, Type type, std::int64_t last, std::uintptr_t stream) {
  Came came = read(name, value, type, stream);
  const std::string wanted = "(..., " + std::to_string(last) + ")";
  Array array = checked(name, came, type, wanted);
  if (array.shape.empty() || array.shape.back() != last) {
    refuse(std::string(name) + ": got " + name_of(type) + " " + text(array.shape) + ", wanted " + name_of(type) + " " + wanted);
  }
  return array;
}

Array output(const char* name, const py::handle& out, Type type, const std::vector<std::int64_t>& shape, bool cuda, std::uintptr_t stream) {
  if (!out.is_none()) {
    Came came = read(name, out, type, stream);
    Array array = checked(name, came, type, text(shape));
    if (array.shape != shape) {
      refuse(std::string(name) + ": got " + name_of(type) + " " + text(array.shape) + ", wanted " + name_of(type) + " " + text(shape));
    }
    if (array.cuda != cuda) refuse(std::string(name) + ": lies on another device than the input; pass an array on the same device");
    if (!array.cuda && !py::reinterpret_borrow<py::array>(out).writeable()) {
      refuse(std::string(name) + ": got a read-only array, wanted a writable one; pass a copy");
    }
    return array;
  }
  Array array;
  array.shape = shape;
  for (const std::int64_t n : shape) array.size *= n;
  array.cuda = cuda;
#ifdef POSE_RT_HAS_CUDA
  if (cuda) {
    array.keep = new_device_array(shape, name_of(type), bytes_of(type), stream, &array.data);
    return array;
  }
#else
  (void)bytes_of;
#endif
  py::array host(dtype_of(type), std::vector<py::ssize_t>(shape.begin(), shape.end()));
  array.data = host.mutable_data();
  array.keep = std::move(host);
  return array;
}

void same_device(const char* name, const Array& a, const char* other, const Array& b) {
  if (a.cuda != b.cuda) {
    refuse(std::string(name) + ": lies " + (a.cuda ? "on the device" : "on the host") + " and " + other + " " +
           (b.cuda ? "on the device" : "on the host") + "; move one of them");
  }
}

void host_only(const char* name, const Array& a) {
  if (a.cuda) refuse(std::string(name) + ": got an array on a CUDA device, wanted it on the host; copy it there first");
}

}  // namespace pose_rt
