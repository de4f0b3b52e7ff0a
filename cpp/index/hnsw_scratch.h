#pragma once

#include <new>

#include "index/hnsw.h"

namespace gapless {

// Hands out a Scratch for a while and takes it back.
class HnswIndex::ScratchLease {
 public:
  explicit ScratchLease(const HnswIndex& index) : index_(index) {
    {
      const std::lock_guard<std::mutex> lock(index_.scratch_lock_);
      if (!index_.spare_scratch_.empty()) {
        scratch_ = std::move(index_.spare_scratch_.back());
        index_.spare_scratch_.pop_back();
      }
    }
    if (!scratch_) scratch_ = std::make_unique<Scratch>();
  }
  ~ScratchLease() {
    try {
      const std::lock_guard<std::mutex> lock(index_.scratch_lock_);
      index_.spare_scratch_.push_back(std::move(scratch_));
    } catch (const std::bad_alloc&) {  // then the next search makes its own
    }
  }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;

  Scratch& operator*() { return *scratch_; }
  Scratch* operator->() { return scratch_.get(); }

 private:
  const HnswIndex& index_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace gapless
