#include "kernels/cuda/device.h"

namespace gapless {

std::string cuda_status() {
  return "not built in: no CUDA compiler was found, or GAPLESS_CUDA=OFF";
}

}  // namespace gapless
