#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gapless {

// A growable array of plain values on a 64-byte boundary, so that rows never straddle more cache
// lines than they must. Large arrays ask for huge pages, which is worth 5-15 % of a graph search.
template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  ~Buffer() { std::free(data_); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  std::size_t bytes() const { return capacity_ * sizeof(T); }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

  // Room for `size` values that are yet to be written; what was there is lost.
  void allocate(std::size_t size) {
    size_ = 0;
    if (size > capacity_) reallocate(size);
    size_ = size;
  }

  // Grows geometrically; new values are `fill`.
  void resize(std::size_t size, T fill) {
    if (size > capacity_) reallocate(std::max(size, capacity_ + capacity_ / 2));
    if (size > size_) std::fill(data_ + size_, data_ + size, fill);
    size_ = size;
  }

 private:
  static constexpr std::size_t kAlign = 64;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;

  void reallocate(std::size_t capacity) {
    const std::size_t wanted = capacity * sizeof(T);
    const std::size_t align = wanted >= 2 * kHugePage ? kHugePage : kAlign;
    const std::size_t rounded = (wanted + align - 1) / align * align;
    void* fresh = std::aligned_alloc(align, rounded);
    if (fresh == nullptr) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (align == kHugePage) madvise(fresh, rounded, MADV_HUGEPAGE);
#endif
    if (size_ > 0) std::memcpy(fresh, data_, size_ * sizeof(T));
    std::free(data_);
    data_ = static_cast<T*>(fresh);
    capacity_ = rounded / sizeof(T);
  }

  void swap(Buffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace gapless
