#pragma once

#include <cstddef>

namespace gapless {

// Throws InvalidVector naming the first of `count` rows that is zero, NaN or infinite.
void check_rows(const float* rows, std::size_t count, std::size_t dim, std::size_t threads);
// Writes rows to `out` (may be `in`) at unit length; throws as check_rows does.
void unit_rows(const float* in, std::size_t count, std::size_t dim, float* out);

}  // namespace gapless
