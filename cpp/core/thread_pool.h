#pragma once

#include <cstddef>
#include <functional>

namespace gapless {

// Calls `body(begin, end)` for pieces of [0, count) of at most `grain`, on up to `threads` threads
// (0 = all cores), the calling one among them; returns when all are done. The first exception of a
// piece is rethrown here. A call from inside a piece runs inline. Workers are started when first
// needed and live on; after fork() the child starts its own.
void parallel_for(std::size_t count, std::size_t threads, std::size_t grain,
                  const std::function<void(std::size_t begin, std::size_t end)>& body);

}  // namespace gapless
