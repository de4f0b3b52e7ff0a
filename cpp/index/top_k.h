#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/types.h"

namespace gapless {

// The k best hits seen so far, in a heap with the worst on top.
class TopK {
 public:
  explicit TopK(std::size_t k) : k_(k) { hits_.reserve(std::min<std::size_t>(k, 1024)); }

  // Scores below this cannot enter; equal ones may, by a smaller label.
  float threshold() const { return hits_.size() < k_ ? kNoScore : hits_.front().score; }

  void push(const Hit& hit) {
    if (hits_.size() < k_) {
      hits_.push_back(hit);
      std::push_heap(hits_.begin(), hits_.end(), better);
    } else if (better(hit, hits_.front())) {
      std::pop_heap(hits_.begin(), hits_.end(), better);
      hits_.back() = hit;
      std::push_heap(hits_.begin(), hits_.end(), better);
    }
  }

  // Writes the hits, best first, and pads to k with kNoScore and kNoLabel.
  void write(float* scores, Label* labels) {
    std::sort_heap(hits_.begin(), hits_.end(), better);
    for (std::size_t i = 0; i < k_; ++i) {
      scores[i] = i < hits_.size() ? hits_[i].score : kNoScore;
      labels[i] = i < hits_.size() ? hits_[i].label : kNoLabel;
    }
  }

 private:
  std::size_t k_;
  std::vector<Hit> hits_;
};

}  // namespace gapless
