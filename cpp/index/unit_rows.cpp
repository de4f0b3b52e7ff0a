#include "index/unit_rows.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/thread_pool.h"
#include "kernels/kernels.h"

namespace gapless {

void check_rows(const float* rows, std::size_t count, std::size_t dim, std::size_t threads) {
  std::atomic<std::size_t> first{count};
  parallel_for(count, threads, 256, [&](std::size_t begin, std::size_t end) {
    std::vector<float> unit(dim);
    for (std::size_t i = begin; i < end; ++i) {
      const double norm = kernels().normalise(rows + i * dim, unit.data(), dim);
      if (std::isfinite(norm) && norm > 0.0) continue;
      std::size_t known = first.load();
      while (i < known && !first.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  if (first == count) return;
  const float* row = rows + first * dim;
  const bool zero = std::all_of(row, row + dim, [](float x) { return x == 0.0f; });
  throw InvalidVector("row " + std::to_string(first) + " " +
                      (zero ? "is zero" : "holds NaN or infinity") +
                      "; a direction is needed: drop the row or mend it");
}

void unit_rows(const float* in, std::size_t count, std::size_t dim, float* out) {
  check_rows(in, count, dim, 1);
  for (std::size_t i = 0; i < count; ++i) kernels().normalise(in + i * dim, out + i * dim, dim);
}

}  // namespace gapless
