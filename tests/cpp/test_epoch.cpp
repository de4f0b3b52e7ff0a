// Readers that never wait beside a writer that does.
#include <doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "core/epoch.h"

using namespace gapless;

TEST_CASE("synchronize waits for every guard that was there, and for no later one") {
  const Epoch epoch;
  epoch.synchronize();  // with no reader at all
  std::atomic<bool> passed{false};
  auto guard = std::make_unique<Epoch::Guard>(epoch);
  auto nested = std::make_unique<Epoch::Guard>(epoch);
  std::thread writer([&] {
    epoch.synchronize();
    passed = true;
  });
  guard.reset();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK_FALSE(passed);
  nested.reset();
  writer.join();
  CHECK(passed);
}

TEST_CASE("what a guarded reader sees is never freed under it") {
  struct Value {
    std::atomic<int> alive{1};
    int payload = 0;
  };
  const Epoch epoch;
  std::vector<std::unique_ptr<Value>> all;
  all.push_back(std::make_unique<Value>());
  std::atomic<Value*> current{all.back().get()};
  std::atomic<bool> done{false};
  std::atomic<int> dead{0};
  std::atomic<int> looked{0};
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&] {
      while (!done) {
        const Epoch::Guard guard(epoch);
        const Value* seen = current.load(std::memory_order_seq_cst);
        for (int i = 0; i < 20; ++i) {
          if (seen->alive.load(std::memory_order_relaxed) == 0) dead.fetch_add(1);
        }
        // A plain read: a race, if the writer did not wait, for ThreadSanitizer to see.
        if (seen->payload < 0) dead.fetch_add(1);
        looked.fetch_add(1);
      }
    });
  }
  while (looked < 4) std::this_thread::yield();
  for (int round = 1; round <= 2000; ++round) {
    auto next = std::make_unique<Value>();
    next->payload = round;
    Value* const old = current.exchange(next.get(), std::memory_order_seq_cst);
    all.push_back(std::move(next));
    epoch.synchronize();
    old->alive = 0;
    old->payload = -1;
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(dead == 0);
  CHECK(looked > 0);
}
