#pragma once

#include <doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

// Values that end where readable memory ends: one step too far is a crash, not a wrong digit.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = (count * sizeof(T) + page - 1) / page * page;
    mapped_ = bytes + page;
    base_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(base_ != MAP_FAILED);
    auto* end = static_cast<char*>(base_) + bytes;
    REQUIRE(mprotect(end, page, PROT_NONE) == 0);
    data_ = reinterpret_cast<T*>(end) - count;
  }
  ~Guarded() { munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  T* data() { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  std::size_t count_;
  void* base_ = nullptr;
  std::size_t mapped_ = 0;
  T* data_ = nullptr;
};
