#pragma once

#include <memory>

#include "index/index.h"

namespace gapless {

// Exact search: every row is scored.
class FlatIndex : public Index {
 public:
  static constexpr const char* kKind = "flat";

  explicit FlatIndex(std::size_t dim);
  static std::unique_ptr<FlatIndex> restore(std::size_t dim, const SectionReader& reader);
  const char* kind() const override { return kKind; }

 protected:
  std::unique_ptr<IndexView> copy_view() const override;
  bool renumbers() const override { return true; }
  void erase(const std::vector<Slot>&) override {}
  void search_rows(const IndexView& view, const std::vector<PreparedQuery>& queries,
                   const SlotFilter* filter, const SearchOptions& options, float* scores,
                   Label* labels) const override;

 private:
  void scan_all(const IndexView& view, const PreparedQuery* queries, std::size_t count,
                TopK* best) const;
};

}  // namespace gapless
