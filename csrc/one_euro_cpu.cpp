#include <cmath>

#include "ops.hpp"

namespace pose_rt::host {

void one_euro(const OneEuro& a) {
  constexpr double kTwoPi = 2.0 * 3.14159265358979323846;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const bool stale = a.t[row] <= a.seconds[row];
    const double rate = stale ? 0.0 : 1.0 / (a.t[row] - a.seconds[row]);
    const double d_alpha = 1.0 / (1.0 + rate / (kTwoPi * a.d_cutoff));
    for (std::int64_t i = row * a.n; i < (row + 1) * a.n; ++i) {
      a.out[i] = a.x[i];
      if (stale) continue;
      const double value = a.x[i], previous = a.previous[i];
      const bool first = std::isnan(previous);
      double slope = 0.0, smooth = value;
      if (!first) {
        slope = d_alpha * ((value - previous) * a.value_scale[row] * rate) + (1.0 - d_alpha) * a.derivative[i];
        const double alpha = 1.0 / (1.0 + rate / (kTwoPi * (a.min_cutoff + a.beta * std::fabs(slope))));
        smooth = alpha * value + (1.0 - alpha) * a.filtered[i];
      }
      a.previous[i] = value;
      a.filtered[i] = smooth;
      a.derivative[i] = std::isnan(value) ? 0.0 : slope;
      a.out[i] = static_cast<float>(smooth);
    }
    if (!stale) a.seconds[row] = a.t[row];
  }
}

}  // namespace pose_rt::host
