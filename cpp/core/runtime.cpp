#include "core/runtime.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace gapless {
namespace {

std::size_t usable_cores() {
#if defined(__linux__)
  // The affinity mask, not the machine: containers and taskset give fewer cores than exist.
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    return static_cast<std::size_t>(std::max(1, CPU_COUNT(&mask)));
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

Runtime detect() {
  Runtime found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  found.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  found.avx512 = found.avx2 && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512dq");
  found.avx512vnni = found.avx512 && __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
  found.neon = true;  // part of the base architecture
#if defined(__linux__)
  found.neondot = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
  found.neondot = true;  // every 64-bit Apple computer has them
#endif
#endif
  if (const char* forced = std::getenv("GAPLESS_SIMD")) found.forced_simd = forced;
  found.cores = usable_cores();
  return found;
}

}  // namespace

const Runtime& runtime() {
  static const Runtime kRuntime = detect();
  return kRuntime;
}

}  // namespace gapless
