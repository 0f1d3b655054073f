// Ops on 3D poses: projection, aggregation of hypotheses, the DDIM step.
#include <cmath>

#include "bindings_common.hpp"

namespace pose_rt {

namespace {

py::object project(const py::object& points_in, const py::object& camera_in, const py::object& distortion, bool clamp,
                   const py::object& out_in, std::uintptr_t stream) {
  const Array points = take_trailing("points", points_in, Type::kFloat32, 3, stream);
  Project op{};
  op.camera = camera(camera_in, distortion, clamp);
  std::vector<std::int64_t> shape = points.shape;
  shape.back() = 2;
  const Array out = output("out", out_in, Type::kFloat32, shape, points.cuda, stream);
  if (out.size != 0) {
    op.points = points.floats();
    op.out = write<float>(out);
    op.n = points.size / 3;
    launch(points.cuda, stream, op, cpu().project, POSE_RT_ON_DEVICE(project));
  }
  return out.keep;
}

void check_weights(const Array& weights, std::int64_t people, std::int64_t n) {
  for (std::int64_t p = 0; !weights.cuda && p < people; ++p) {
    float total = 0;
    bool good = true;
    for (std::int64_t h = 0; h < n; ++h) {
      good = good && weights.floats()[p * n + h] >= 0;
      total += weights.floats()[p * n + h];
    }
    if (!good || !(total > 0))
      refuse("weights: got a negative weight or a row of zeros, wanted weights >= 0 with a positive sum in each row");
  }
}

py::tuple aggregate(const py::object& hypotheses_in, const std::string& mode, const py::object& target_in, const py::object& root_in,
                    const py::object& camera_in, const py::object& weights_in, const py::object& distortion, bool clamp,
                    const py::object& out_in, std::uintptr_t stream) {
  Sizes sizes;
  const Array hypotheses = take("hypotheses", hypotheses_in, Type::kFloat32, {'P', 'H', 'F', 'J', 3}, sizes, stream);
  at_least_one("H (axis 1 of hypotheses)", sizes['H']);
  const int kind = choice("mode", mode, {"mean", "jpma", "weighted"});
  const struct {
    const char* name;
    const py::object& value;
    bool wanted;
  } given[] = {{"target_xy", target_in, kind == 1},
               {"root", root_in, kind == 1},
               {"camera", camera_in, kind == 1},
               {"weights", weights_in, kind == 2}};
  for (const auto& g : given) {
    if (g.value.is_none() == g.wanted) {
      refuse(std::string(g.name) + ": got " + (g.wanted ? "None" : "a value") + " with mode '" + mode + "', which takes " +
             (kind == 1   ? "target_xy, root, camera"
              : kind == 2 ? "weights"
                          : "none of these"));
    }
  }
  Aggregate op{};
  Array target, root, weights;
  if (kind == 1) {
    target = take("target_xy", target_in, Type::kFloat32, {'P', 'F', 'J', 2}, sizes, stream);
    root = take("root", root_in, Type::kFloat32, {'P', 'F', 3}, sizes, stream);
    same_device("target_xy", target, "hypotheses", hypotheses);
    same_device("root", root, "hypotheses", hypotheses);
    op.camera = camera(camera_in, distortion, clamp);
  } else if (kind == 2) {
    weights = take("weights", weights_in, Type::kFloat32, {'P', 'H'}, sizes, stream);
    same_device("weights", weights, "hypotheses", hypotheses);
    finite("weights", weights);
    check_weights(weights, sizes['P'], sizes['H']);
  }
  const auto outs = several(out_in, {"joints", "sigma", "chosen"});
  const std::int64_t people = sizes['P'], frames = sizes['F'], joints = sizes['J'];
  const Array out = output("out[0]", outs[0], Type::kFloat32, {people, frames, joints, 3}, hypotheses.cuda, stream);
  const Array sigma = output("out[1]", outs[1], Type::kFloat32, {people, frames, joints}, hypotheses.cuda, stream);
  const Array chosen = output("out[2]", outs[2], Type::kInt32, {people, frames, joints}, hypotheses.cuda, stream);
  if (sigma.size != 0) {
    op.hypotheses = hypotheses.floats();
    op.target = target.floats();
    op.root = root.floats();
    op.weights = weights.floats();
    op.out = write<float>(out);
    op.sigma = write<float>(sigma);
    op.chosen = write<std::int32_t>(chosen);
    op.people = people;
    op.count = sizes['H'];
    op.frames = frames;
    op.joints = joints;
    launch(hypotheses.cuda, stream, op, cpu().aggregate, POSE_RT_ON_DEVICE(aggregate));
  }
  return py::make_tuple(out.keep, sigma.keep, chosen.keep);
}

void read_mirror(const py::object& mirror_in, std::int64_t joints, DdimStep& op) {
  Sizes sizes;
  const Array mirror = take("mirror", mirror_in, Type::kInt32, {Axis(joints)}, sizes);
  host_only("mirror", mirror);
  if (joints > kMaxMirror) refuse("mirror: got " + std::to_string(joints) + " joints, wanted at most " + std::to_string(kMaxMirror));
  const auto* partner = static_cast<const std::int32_t*>(mirror.data);
  for (std::int64_t j = 0; j < joints; ++j) {
    if (partner[j] < 0 || partner[j] >= joints || partner[partner[j]] != j)
      refuse("mirror: got partners that are not mutual, wanted pairs");
    op.mirror[j] = partner[j];
  }
  op.mirrored = true;
}

py::tuple ddim_step(const py::object& noisy_in, const py::object& prediction_in, const py::object& noise_in, double alpha,
                    double alpha_next, double sigma, double c, double scale, const py::object& mirror_in, const py::object& out_in,
                    std::uintptr_t stream) {
  Sizes sizes;
  const Array noisy = take("noisy", noisy_in, Type::kFloat32, {'N', 'F', 'J', 3}, sizes, stream);
  DdimStep op{};
  if (!mirror_in.is_none()) read_mirror(mirror_in, sizes['J'], op);
  const std::int64_t runs = sizes['N'] * (op.mirrored ? 2 : 1);
  const Array prediction = take("prediction", prediction_in, Type::kFloat32, {Axis(runs), 'F', 'J', 3}, sizes, stream);
  same_device("prediction", prediction, "noisy", noisy);
  Array noise;
  if (!noise_in.is_none()) {
    noise = take("noise", noise_in, Type::kFloat32, {'N', 'F', 'J', 3}, sizes, stream);
    same_device("noise", noise, "noisy", noisy);
    op.noise = noise.floats();
  }
  if (!(alpha > 0 && alpha < 1)) refuse("alpha: got " + number(alpha) + ", wanted a number between 0 and 1");
  within("alpha_next", alpha_next, alpha, 1);
  within("sigma", sigma, 0, 1);
  within("c", c, 0, 1);
  positive("scale", scale);
  if (noise_in.is_none() && sigma != 0)
    refuse("noise: got None with sigma " + number(sigma) + ", wanted an array; only sigma 0 needs none");
  const auto outs = several(out_in, {"next", "network"});
  const Array next = output("out[0]", outs[0], Type::kFloat32, {sizes['N'], sizes['F'], sizes['J'], 3}, noisy.cuda, stream);
  const Array network = output("out[1]", outs[1], Type::kFloat32, {runs, sizes['F'], sizes['J'], 3}, noisy.cuda, stream);
  if (next.size != 0) {
    op.noisy = noisy.floats();
    op.prediction = prediction.floats();
    op.next = write<float>(next);
    op.network = write<float>(network);
    op.rows = sizes['N'] * sizes['F'];
    op.joints = sizes['J'];
    op.noisy_factor = std::sqrt(1 / alpha);
    op.implied_divisor = std::sqrt(1 / alpha - 1);
    op.keep = static_cast<float>(std::sqrt(alpha_next));
    op.c = static_cast<float>(c);
    op.sigma = static_cast<float>(sigma);
    op.scale = static_cast<float>(scale);
    op.limit = static_cast<float>(1.1 * scale);
    launch(noisy.cuda, stream, op, host::ddim_step, POSE_RT_ON_DEVICE(ddim_step));
  }
  return py::make_tuple(next.keep, network.keep);
}

}  // namespace

void define_pose(py::module_& m) {
  m.def("project", project);
  m.def("aggregate", aggregate);
  m.def("ddim_step", ddim_step);
}

}  // namespace pose_rt
