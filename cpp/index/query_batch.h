#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "index/alignment.h"

namespace gapless {

class Index;

// Queries of one modality, (count, dim) floats that live elsewhere, and what an index has made of
// them for its alignment: made once for all that it is asked, and again after its alignment has
// changed. For one index, and one thread at a time.
class QueryBatch {
 public:
  // `first` is what messages number the first query by.
  QueryBatch(const float* rows, std::size_t dim, std::size_t count, std::string modality,
             std::size_t first = 0)
      : rows_(rows), dim_(dim), count_(count), first_(first), modality_(std::move(modality)) {}

  std::size_t count() const { return count_; }
  const std::string& modality() const { return modality_; }

 private:
  friend class Index;

  const float* rows_;
  std::size_t dim_;
  std::size_t count_;
  std::size_t first_;
  std::string modality_;
  std::vector<PreparedQuery> ready_;
  const Index* ready_for_ = nullptr;
  AlignmentPtr alignment_;  // that ready_ was made for
};

}  // namespace gapless
