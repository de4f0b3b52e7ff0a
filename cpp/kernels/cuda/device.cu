#include <cuda_runtime_api.h>

#include "kernels/cuda/device.h"

namespace gapless {

std::string cuda_status() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) return std::string("no device: ") + cudaGetErrorString(error);
  if (count == 0) return "no device: the driver lists none";
  cudaDeviceProp device;
  if (cudaGetDeviceProperties(&device, 0) != cudaSuccess) return "device 0 does not answer";
  return std::string(device.name) + ", compute capability " + std::to_string(device.major) + "." +
         std::to_string(device.minor);
}

}  // namespace gapless
