// Which instruction set's kernels run: the best one of this processor, or the one asked for.
#pragma once

#include <string>
#include <vector>

#include "ops.hpp"

namespace pose_rt {

const CpuOps& cpu();

// Names that were built and that this processor has, best last.
std::vector<std::string> available_isas();

// "" takes the best; std::invalid_argument (ValueError in Python) for one that is not available here.
void use_isa(const std::string& name);

}  // namespace pose_rt
