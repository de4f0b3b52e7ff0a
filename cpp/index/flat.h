#pragma once

#include <memory>

#include "index/index.h"

namespace gapless {

// Exact search: every row is scored.
class FlatIndex : public Index {
 public:
  static constexpr const char* kKind = "flat";

  explicit FlatIndex(std::size_t dim) : Index(dim) {}
  static std::unique_ptr<FlatIndex> restore(std::size_t dim, const SectionReader& reader);
  const char* kind() const override { return kKind; }

 protected:
  void make_room(std::size_t, std::size_t) override {}
  bool erase_frees_slots() const override { return true; }
  void insert(const std::vector<Slot>&, std::size_t) override {}
  void erase(const std::vector<Slot>& slots) override;
  void search_rows(const std::vector<PreparedQuery>& queries, const SlotFilter* filter,
                   const SearchOptions& options, float* scores, Label* labels) const override;

 private:
  void scan_all(const PreparedQuery* queries, std::size_t count, TopK* best) const;
};

}  // namespace gapless
