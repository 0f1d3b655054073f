// pose_rt._core: every function checks its arguments, lets the interpreter go on, and calls the C++ or CUDA kernel.
#include <cstdlib>
#include <string>

#include "bindings_common.hpp"

#ifdef POSE_RT_HAS_CUDA
#include "cuda_memory.hpp"
#endif

namespace pose_rt {

namespace {

py::tuple cuda_status() {
#ifdef POSE_RT_HAS_CUDA
  const auto [available, reason] = device_status();
  return py::make_tuple(available, reason);
#else
  return py::make_tuple(false,
                        std::string(POSE_RT_NO_CUDA_REASON) + "; rebuild with: POSE_RT_CUDA=ON pip install --no-build-isolation -e .");
#endif
}

}  // namespace

#ifdef POSE_RT_PLANTED_BUGS
void define_planted_bugs(py::module_& m);  // tests/planted_bugs.cpp
#endif

}  // namespace pose_rt

PYBIND11_MODULE(_core, m) {
  using namespace pose_rt;
  m.doc() = "Native kernels of pose_rt.ops; call them through that module.";
  m.def("isa", [] { return cpu().name; });
  m.def("isas", [] {
    py::list names;
    for (const std::string& name : available_isas()) names.append(name);
    return py::tuple(names);
  });
  m.def("use_isa", [](const std::string& name) { use_isa(name); });
  m.def("cuda_status", cuda_status);
  define_sampling(m);
  define_frame(m);
  define_pose(m);
  use_isa(std::getenv("POSE_RT_ISA") == nullptr ? "" : std::getenv("POSE_RT_ISA"));
#ifdef POSE_RT_HAS_CUDA
  define_device_array(m);
#endif
#ifdef POSE_RT_PLANTED_BUGS
  define_planted_bugs(m);
#endif
}
