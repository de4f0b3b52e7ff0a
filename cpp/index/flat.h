#pragma once

#include <memory>
#include <vector>

#include "index/exact_scan.h"
#include "index/index.h"

namespace gapless {

// Exact search: every row is scored, or known by the bounds of its codes to score too little. Rows
// that were added since the codes were made are scored as they are.
class FlatIndex : public Index {
 public:
  static constexpr const char* kKind = "flat";

  explicit FlatIndex(std::size_t dim);
  static std::unique_ptr<FlatIndex> restore(std::size_t dim, const SectionReader& reader);
  const char* kind() const override { return kKind; }

 protected:
  std::unique_ptr<IndexView> copy_view() const override;
  bool renumbers() const override { return true; }
  void grow(IndexView& next, const std::vector<Slot>& kept) override;
  void settle(std::size_t threads) override;
  void erase(const std::vector<Slot>&) override {}
  void search_rows(const IndexView& view, const std::vector<PreparedQuery>& queries,
                   const SlotFilter* filter, const SearchOptions& options, float* scores,
                   Label* labels) const override;
  void add_memory(const IndexView& view, MemoryUse& use) const override;

 private:
  bool search_one(const IndexView& view, const PreparedQuery& query, std::size_t k,
                  const std::vector<Slot>* allowed, TopK& best) const;
  void search_copy(const IndexView& view, const std::vector<PreparedQuery>& queries,
                   const std::vector<Slot>* allowed, const SearchOptions& options, float* scores,
                   Label* labels) const;
};

}  // namespace gapless
