#include "dispatch.hpp"

#include <atomic>
#include <stdexcept>

namespace pose_rt {

namespace {

std::vector<const CpuOps*> available() {
  std::vector<const CpuOps*> list = {&base::cpu_ops};
#ifdef POSE_RT_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") != 0) {
    list.push_back(&avx2::cpu_ops);
    const bool all = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                     __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0;
    if (all) list.push_back(&avx512::cpu_ops);
  }
#endif
  return list;
}

std::atomic<const CpuOps*> current{&base::cpu_ops};

}  // namespace

const CpuOps& cpu() { return *current.load(std::memory_order_relaxed); }

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const CpuOps* ops : available()) names.emplace_back(ops->name);
  return names;
}

void use_isa(const std::string& name) {
  const auto list = available();
  std::string names;
  for (const CpuOps* ops : list) {
    if (name == ops->name) {
      current = ops;
      return;
    }
    names += (names.empty() ? "" : ", ") + std::string(ops->name);
  }
  if (!name.empty())
    throw std::invalid_argument("POSE_RT_ISA: got '" + name + "', wanted one of " + names + " (those this build and processor have)");
  current = list.back();
}

}  // namespace pose_rt
