#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gapless {

// Readers that never wait, and a writer that can wait until all who may still look at what it
// replaced have left. Sleepable RCU (McKenney): readers count themselves in one of two halves, and
// the writer turns to the other half and waits for the first to empty, twice.
class Epoch {
 public:
  // What a reader loads after making its guard stays valid until the guard goes.
  class Guard {
   public:
    explicit Guard(const Epoch& epoch) : readers_(epoch.enter()) {}
    ~Guard() { readers_.fetch_sub(1, std::memory_order_release); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<std::uint64_t>& readers_;
  };

  // Returns when every guard that was there at the call has gone. One caller at a time, and none
  // that holds a guard.
  void synchronize() const;

 private:
  static constexpr std::size_t kShards = 16;
  struct alignas(64) Shard {
    std::array<std::atomic<std::uint64_t>, 2> readers{};
  };

  std::atomic<std::uint64_t>& enter() const;

  mutable std::array<Shard, kShards> shards_;
  mutable std::atomic<unsigned> half_{0};
};

}  // namespace gapless
