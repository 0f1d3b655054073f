#include "camera.hpp"
#include "kernels.hpp"

namespace pose_rt::POSE_RT_ISA {

void project(const Project& a) {
  for (std::int64_t i = 0; i < a.n; i += 16) {
    F x, y, z, u, v;
    load3_upto(a.points + 3 * i, a.n - i, x, y, z);
    project_points(a.camera, x, y, z, u, v);
    store2_upto(a.out + 2 * i, u, v, a.n - i);
  }
}

}  // namespace pose_rt::POSE_RT_ISA
