#include "index/hnsw.h"

#include <algorithm>

#include "core/error.h"

namespace gapless {
namespace {

// Narrower rows are short enough as they are, and their codes are too coarse.
constexpr std::size_t kNarrow = 96;

CodeKind kind_of(const HnswOptions& options, std::size_t dim) {
  if (options.codes != "auto") return code_kind(options.codes);
  if (dim >= kNarrow) return CodeKind::kCascade;
  return options.keep_vectors ? CodeKind::kF32 : CodeKind::kBf16;
}

}  // namespace

HnswIndex::HnswIndex(std::size_t dim, const HnswOptions& options)
    : Index(dim, options.keep_vectors), options_(options) {
  if (options.m < 2 || options.m > 512) {
    throw InvalidArgument("m is " + std::to_string(options.m) + "; it must be 2 to 512");
  }
  if (options.ef_construction == 0 || options.ef_construction > 100000) {
    throw InvalidArgument("ef_construction is " + std::to_string(options.ef_construction) +
                          "; it must be 1 to 100000");
  }
  const CodeKind kind = kind_of(options, dim);
  if (kind == CodeKind::kF32 && !options.keep_vectors) {
    throw InvalidArgument(
        "codes='f32' are the f32 rows, and keep_f32=False drops these; take bf16, i8 or cascade");
  }
  auto first = std::make_unique<GraphView>();
  GraphView& view = *first;
  start(std::move(first));
  view.codes = make_codes(kind, view.rows, std::vector<float>(dim, 0.0f));
  view.graph = std::make_shared<Graph>(0, 2 * options.m);
  view.efforts = std::make_shared<Efforts>();
}

const char* HnswIndex::codes() const {
  const Epoch::Guard guard(epoch_);
  return code_name(seen().codes->kind());
}

std::unique_ptr<IndexView> HnswIndex::copy_view() const {
  return std::make_unique<GraphView>(seen());
}

void HnswIndex::grow(IndexView& next, const std::vector<Slot>&) {
  auto& view = static_cast<GraphView&>(next);
  view.codes = view.codes->grown(view.rows);
  auto larger = std::make_shared<Graph>(view.rows->capacity, view.graph->degree);
  larger->copy(*view.graph);
  view.graph = std::move(larger);
  refill_means(view);
}

// Products of the mean queries with the rows, for codes that are new.
void HnswIndex::refill_means(GraphView& next) const {
  auto efforts = std::make_shared<Efforts>(*next.efforts);
  for (auto& [modality, effort] : efforts->of) {
    if (effort->mean.mean.empty()) continue;
    auto refilled = std::make_shared<Effort>();
    refilled->sample = effort->sample;
    refilled->distances = effort->distances;
    refilled->recalls = effort->recalls;
    refilled->mean.mean = effort->mean.mean;
    next.codes->fill_mean(refilled->mean, next.rows->used.load(), 0);
    effort = std::move(refilled);
  }
  next.efforts = std::move(efforts);
}

void HnswIndex::add_memory(const IndexView& view, MemoryUse& use) const {
  const auto& graph_view = static_cast<const GraphView&>(view);
  use.codes = graph_view.codes->bytes();
  use.graph = graph_view.graph->bytes();
  for (const auto& [modality, effort] : graph_view.efforts->of) {
    use.alignment += effort->mean.products.bytes();
  }
}

void HnswIndex::decode(const IndexView& view, Slot slot, float* unit) const {
  if (keeps_vectors()) {
    Index::decode(view, slot, unit);
  } else {
    static_cast<const GraphView&>(view).codes->decode(slot, unit);
  }
}

void HnswIndex::score_rows(const IndexView& view, const PreparedQuery& query, const Slot* slots,
                           std::size_t count, float* scores) const {
  if (keeps_vectors()) {
    Index::score_rows(view, query, slots, count, scores);
    return;
  }
  const Codes& codes = *static_cast<const GraphView&>(view).codes;
  thread_local CodeQuery coded;
  coded.vector = query.vector.data();
  coded.c = query.c;
  coded.r = view.r();
  codes.prepare(coded, nullptr, 0.0f);
  codes.refine(coded, slots, count, scores);
}

}  // namespace gapless
