#include <algorithm>
#include <cmath>
#include <vector>

#include "ops.hpp"

namespace pose_rt::host {

namespace {

struct Detection {
  double values[12];  // left, top, right, bottom, four keypoints
  float score;
  double area;
  std::int64_t row;
  bool used;
};

double overlap(const Detection& a, const Detection& b) {
  const double w = std::min(a.values[2], b.values[2]) - std::max(a.values[0], b.values[0]);
  const double h = std::min(a.values[3], b.values[3]) - std::max(a.values[1], b.values[1]);
  return std::max(w, 0.0) * std::max(h, 0.0);
}

Detection decode(const float* box, const float* anchor, double size, float score, std::int64_t row) {
  Detection d;
  const double cx = box[0] / size + anchor[0], cy = box[1] / size + anchor[1], w = box[2] / size / 2, h = box[3] / size / 2;
  d.values[0] = cx - w;
  d.values[1] = cy - h;
  d.values[2] = cx + w;
  d.values[3] = cy + h;
  for (int k = 4; k < 12; ++k) d.values[k] = box[k] / size + anchor[k % 2];
  d.score = score;
  d.row = row;
  d.used = false;
  d.area = std::max(d.values[2] - d.values[0], 0.0) * std::max(d.values[3] - d.values[1], 0.0);
  return d;
}

}  // namespace

std::int64_t decode_detections(const DecodeDetections& a) {
  thread_local std::vector<Detection> kept;  // its memory stays with the thread: no allocation in steady state
  kept.clear();
  for (std::int64_t i = 0; i < a.n; ++i) {
    const double logit = std::clamp(static_cast<double>(a.scores[i]), -100.0, 100.0);
    const auto score = static_cast<float>(1.0 / (1.0 + std::exp(-logit)));
    if (score >= a.threshold) kept.push_back(decode(a.boxes + 12 * i, a.anchors + 2 * i, static_cast<double>(a.input_size), score, i));
  }
  std::sort(kept.begin(), kept.end(),
            [](const Detection& x, const Detection& y) { return x.score != y.score ? x.score > y.score : x.row < y.row; });
  std::int64_t found = 0;
  for (std::size_t i = 0; i < kept.size() && found < a.limit; ++i) {
    if (kept[i].used) continue;
    double mean[12] = {}, total = 0;
    for (std::size_t k = i; k < kept.size(); ++k) {
      if (kept[k].used) continue;
      const double common = overlap(kept[i], kept[k]);
      if (k != i && !(common > a.iou * (kept[i].area + kept[k].area - common))) continue;
      kept[k].used = true;
      total += kept[k].score;
      for (int c = 0; c < 12; ++c) mean[c] += kept[k].values[c] * kept[k].score;
    }
    for (int c = 0; c < 12; ++c) a.out[12 * found + c] = static_cast<float>(mean[c] / total);
    a.out_score[found++] = kept[i].score;
  }
  return found;
}

}  // namespace pose_rt::host
