#include "core/epoch.h"

#include <thread>

namespace gapless {
namespace {

std::size_t thread_number() {
  static std::atomic<std::size_t> threads{0};
  thread_local const std::size_t number = threads.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

std::atomic<std::uint64_t>& Epoch::enter() const {
  // A reader may be held up between the two lines and count itself in a half that is no longer
  // current: that is why synchronize() waits for both.
  const unsigned half = half_.load(std::memory_order_seq_cst);
  std::atomic<std::uint64_t>& readers = shards_[thread_number() % kShards].readers[half];
  readers.fetch_add(1, std::memory_order_seq_cst);
  return readers;
}

void Epoch::synchronize() const {
  for (int round = 0; round < 2; ++round) {
    const unsigned old = half_.fetch_xor(1, std::memory_order_seq_cst);
    for (const Shard& shard : shards_) {
      while (shard.readers[old].load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
    }
  }
}

}  // namespace gapless
