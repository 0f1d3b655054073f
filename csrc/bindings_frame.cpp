// Ops on a picture and what is found in it: crops, detections, refined keypoints, the One-Euro filter.
#include <algorithm>
#include <cstring>

#include "bindings_common.hpp"

namespace pose_rt {

namespace {

py::object crop_warp(const py::object& image_in, const py::object& roi_in, const py::object& size, const std::string& border,
                     const py::object& scale, const py::object& bias, bool swap_rgb, const std::string& quantise, bool fixed_point,
                     const py::object& out_in, std::uintptr_t stream) {
  Sizes sizes;
  const Array image = take("image", image_in, Type::kUint8, {'h', 'w', 3}, sizes, stream);
  within("image height", static_cast<double>(sizes['h']), 1, 32767);
  within("image width", static_cast<double>(sizes['w']), 1, 32767);
  const Array roi = take("roi", roi_in, Type::kFloat32, {'P', 4}, sizes, stream);
  same_device("roi", roi, "image", image);
  finite("roi", roi);
  CropWarp op{};
  op.size = whole("size", size, 1, 16385);
  op.zero_border = choice("border", border, {"replicate", "zero"}) == 1;
  op.rounding = fixed_point ? Rounding::kFixedPoint : choice("quantise", quantise, {"none", "u8"}) == 1 ? Rounding::kU8 : Rounding::kNone;
  op.swap_channels = swap_rgb;
  const Array factors = take("scale", scale, Type::kFloat32, {3}, sizes), offsets = take("bias", bias, Type::kFloat32, {3}, sizes);
  std::memcpy(op.scale, factors.data, sizeof op.scale);
  std::memcpy(op.bias, offsets.data, sizeof op.bias);
  const Array out = output("out", out_in, Type::kFloat32, {sizes['P'], 3, op.size, op.size}, image.cuda, stream);
  if (out.size != 0) {
    op.image = write<std::uint8_t>(image);
    op.roi = roi.floats();
    op.out = write<float>(out);
    op.h = sizes['h'];
    op.w = sizes['w'];
    op.people = sizes['P'];
    op.scratch = image.cuda ? nullptr : reinterpret_cast<double*>(scratch(2 * padded(op.size)));
    launch(image.cuda, stream, op, cpu().crop_warp, POSE_RT_ON_DEVICE(crop_warp));
  }
  return out.keep;
}

py::tuple decode_detections(const py::object& boxes_in, const py::object& scores_in, double threshold, double iou,
                            const py::object& anchors_in, const py::object& input_size, const py::object& out_in) {
  Sizes sizes;
  const Array boxes = take("boxes", boxes_in, Type::kFloat32, {'N', 12}, sizes),
              scores = take("scores", scores_in, Type::kFloat32, {'N'}, sizes),
              anchors = take("anchors", anchors_in, Type::kFloat32, {'N', 2}, sizes);
  for (const auto& [name, a] : {std::pair<const char*, const Array&>{"boxes", boxes}, {"scores", scores}, {"anchors", anchors}}) {
    host_only(name, a);
    finite(name, a);
  }
  within("threshold", threshold, 0, 1);
  within("iou", iou, 0, 1);
  DecodeDetections op{};
  op.input_size = count("input_size", input_size, 1);
  op.boxes = boxes.floats();
  op.scores = scores.floats();
  op.anchors = anchors.floats();
  op.n = op.limit = sizes['N'];
  op.threshold = static_cast<float>(threshold);
  op.iou = iou;
  const auto outs = several(out_in, {"boxes", "keypoints", "score"});
  if (!out_in.is_none()) {
    take("out[2]", outs[2], Type::kFloat32, {'C'}, sizes);
    op.limit = std::min(op.n, sizes['C']);
  }
  op.out = scratch(13 * op.limit);
  op.out_score = op.out + 12 * op.limit;
  std::int64_t found = 0;
  {
    const py::gil_scoped_release unlock;
    found = host::decode_detections(op);
  }
  const std::int64_t rows = out_in.is_none() ? found : sizes['C'];
  const Array to[] = {output("out[0]", outs[0], Type::kFloat32, {rows, 4}, false, 0),
                      output("out[1]", outs[1], Type::kFloat32, {rows, 4, 2}, false, 0),
                      output("out[2]", outs[2], Type::kFloat32, {rows}, false, 0)};
  for (std::int64_t i = 0; i < found; ++i) {
    std::memcpy(write<float>(to[0]) + 4 * i, op.out + 12 * i, 4 * sizeof(float));
    std::memcpy(write<float>(to[1]) + 8 * i, op.out + 12 * i + 4, 8 * sizeof(float));
    write<float>(to[2])[i] = op.out_score[i];
  }
  if (found == rows) return py::make_tuple(to[0].keep, to[1].keep, to[2].keep);
  const py::slice first(0, static_cast<py::ssize_t>(found), 1);
  return py::make_tuple(to[0].keep[first], to[1].keep[first], to[2].keep[first]);
}

// One number for all rows, or one a row; `room` holds as many.
const double* per_row(const char* name, const py::object& value, Sizes& sizes, double* room) {
  const double* values = room;
  if (PyFloat_Check(value.ptr()) != 0 || PyLong_Check(value.ptr()) != 0) {
    std::fill_n(room, sizes['P'], value.cast<double>());
  } else {
    const Array array = take(name, value, Type::kFloat64, {'P'}, sizes);
    host_only(name, array);
    values = write<double>(array);
  }
  finite_doubles(name, values, sizes['P']);
  return values;
}

py::object one_euro(const py::object& x_in, const py::object& previous, const py::object& filtered, const py::object& derivative,
                    const py::object& seconds, const py::object& t_in, double min_cutoff, double beta, double d_cutoff,
                    const py::object& scale_in, const py::object& out_in) {
  Sizes sizes;
  const Array x = take("x", x_in, Type::kFloat32, {'P', 'N'}, sizes);
  const std::vector<std::int64_t> shape = {sizes['P'], sizes['N']};
  const Array state[] = {output("state.previous", previous, Type::kFloat64, shape, false, 0),
                         output("state.filtered", filtered, Type::kFloat64, shape, false, 0),
                         output("state.derivative", derivative, Type::kFloat64, shape, false, 0),
                         output("state.seconds", seconds, Type::kFloat64, {sizes['P']}, false, 0)};
  host_only("x", x);
  auto* room = reinterpret_cast<double*>(scratch(4 * sizes['P']));
  OneEuro op{};
  op.t = per_row("t", t_in, sizes, room);
  op.value_scale = per_row("value_scale", scale_in, sizes, room + sizes['P']);
  positive("min_cutoff", min_cutoff);
  positive("d_cutoff", d_cutoff);
  within("beta", beta, 0, 1e9);
  const Array out = output("out", out_in, Type::kFloat32, shape, false, 0);
  op.x = x.floats();
  op.out = write<float>(out);
  op.previous = write<double>(state[0]);
  op.filtered = write<double>(state[1]);
  op.derivative = write<double>(state[2]);
  op.seconds = write<double>(state[3]);
  op.rows = sizes['P'];
  op.n = sizes['N'];
  op.min_cutoff = min_cutoff;
  op.beta = beta;
  op.d_cutoff = d_cutoff;
  {
    const py::gil_scoped_release unlock;
    host::one_euro(op);
  }
  return out.keep;
}

py::tuple refine_heatmaps(const py::object& logits_in, const py::object& points_in, const py::object& window, const std::string& mode,
                          const py::object& kernel, const py::object& threshold, const py::object& out_in, std::uintptr_t stream) {
  Sizes sizes;
  const Array logits = take("logits", logits_in, Type::kFloat32, {'P', 'J', 'H', 'W'}, sizes, stream);
  finite("logits", logits);
  at_least_one("logits height", sizes['H']);
  at_least_one("logits width", sizes['W']);
  const Array points = take("points", points_in, Type::kFloat32, {'P', 'J', 2}, sizes, stream);
  same_device("points", points, "logits", logits);
  RefineHeatmaps op{};
  op.mediapipe = choice("mode", mode, {"sampling_argmax", "mediapipe"}) == 1;
  const std::int64_t window_size = odd("window", window), kernel_size = odd("kernel", kernel);
  const double least = threshold.is_none() ? (op.mediapipe ? 0.5 : 0.2) : threshold.cast<double>();
  within("threshold", least, 0, 1);
  const auto outs = several(out_in, {"points", "spread", "second"});
  const std::int64_t people = sizes['P'], joints = sizes['J'];
  const Array out = output("out[0]", outs[0], Type::kFloat32, {people, joints, 2}, logits.cuda, stream);
  const Array spread = output("out[1]", outs[1], Type::kFloat32, {people, joints}, logits.cuda, stream);
  const Array second = output("out[2]", outs[2], Type::kFloat32, {people, joints, 2}, logits.cuda, stream);
  if (people * joints != 0) {
    op.logits = logits.floats();
    op.points = points.floats();
    op.out = write<float>(out);
    op.spread = write<float>(spread);
    op.second = write<float>(second);
    op.maps = people * joints;
    op.h = sizes['H'];
    op.w = sizes['W'];
    op.window = op.mediapipe ? kernel_size : window_size;
    op.threshold = static_cast<float>(least);
    launch(logits.cuda, stream, op, cpu().refine_heatmaps, POSE_RT_ON_DEVICE(refine_heatmaps));
  }
  return py::make_tuple(out.keep, spread.keep, second.keep);
}

}  // namespace

void define_frame(py::module_& m) {
  m.def("crop_warp", crop_warp);
  m.def("decode_detections", decode_detections);
  m.def("refine_heatmaps", refine_heatmaps);
  m.def("one_euro", one_euro);
}

}  // namespace pose_rt
