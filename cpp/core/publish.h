#pragma once

#include <atomic>

namespace gapless {

// A value in a plain array that one thread sets and others read meanwhile: who reads it sees all
// that was written before it was published.
template <typename T>
T acquire(const T& place) {
  return std::atomic_ref<T>(const_cast<T&>(place)).load(std::memory_order_acquire);
}
template <typename T>
void publish(T& place, T value) {
  std::atomic_ref<T>(place).store(value, std::memory_order_release);
}

}  // namespace gapless
