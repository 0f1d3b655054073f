#include "kernels.hpp"

#define POSE_RT_TEXT_OF(x) #x
#define POSE_RT_TEXT(x) POSE_RT_TEXT_OF(x)

namespace pose_rt::POSE_RT_ISA {
const CpuOps cpu_ops = {
    POSE_RT_TEXT(POSE_RT_ISA), all_finite,  random_words, gumbel_softmax, sample_coordinates,
    refine_heatmaps,           blend_bases, project,      aggregate,      crop_warp,
};
}  // namespace pose_rt::POSE_RT_ISA
