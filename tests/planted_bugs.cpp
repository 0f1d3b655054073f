// Deliberate mistakes that tests/sanitize.sh must see red before it trusts a sanitizer; never part of a build that is used.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <thread>

namespace pose_rt {

namespace {

int past_the_end(int n) {
  const std::unique_ptr<int[]> values(new int[static_cast<std::size_t>(n)]());
  return values[static_cast<std::size_t>(n)];
}

std::int32_t overflow(std::int32_t n) { return std::numeric_limits<std::int32_t>::max() + n; }

int race(int n) {
  int shared = 0;
  const auto count = [&] {
    for (int i = 0; i < n; ++i) ++shared;
  };
  std::thread other(count);
  count();
  other.join();
  return shared;
}

}  // namespace

void define_planted_bugs(pybind11::module_& m) {
  m.def("planted_past_the_end", past_the_end);
  m.def("planted_overflow", overflow);
  m.def("planted_race", race);
}

}  // namespace pose_rt
