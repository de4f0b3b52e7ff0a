#pragma once

#include <string>

namespace gapless {

// What the CUDA backend finds: the device's name and compute capability, or why there is none.
std::string cuda_status();

}  // namespace gapless
