#pragma once

#include <mutex>
#include <shared_mutex>

namespace gapless {

// A shared mutex that a steady stream of readers cannot keep a writer out of: who waits to write
// holds the gate that new readers pass. (glibc's own lock lets readers overtake for ever.)
class FairSharedMutex {
 public:
  void lock() {
    const std::lock_guard<std::mutex> gate(gate_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    const std::lock_guard<std::mutex> gate(gate_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex gate_;
  std::shared_mutex mutex_;
};

}  // namespace gapless
