#include "ddim_step.hpp"

namespace pose_rt::host {

void ddim_step(const DdimStep& a) {
  for (std::int64_t at = 0; at < a.rows * a.joints; ++at) ddim_step_at(a, at);
}

}  // namespace pose_rt::host
