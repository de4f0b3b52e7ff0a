#include "index/flat.h"

#include <algorithm>

#include "core/runtime.h"
#include "core/thread_pool.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

// A block of rows is scored against a group of queries while it lies in the second-level cache.
constexpr std::size_t kBlockBytes = 256 * 1024;
constexpr std::size_t kQueryGroup = 32;

}  // namespace

FlatIndex::FlatIndex(std::size_t dim) : Index(dim, true) { start(std::make_unique<IndexView>()); }

std::unique_ptr<FlatIndex> FlatIndex::restore(std::size_t dim, const SectionReader& reader) {
  auto index = std::make_unique<FlatIndex>(dim);
  index->restore_rows(reader);
  index->restore_alignment(reader);
  return index;
}

std::unique_ptr<IndexView> FlatIndex::copy_view() const {
  return std::make_unique<IndexView>(view());
}

void FlatIndex::scan_all(const IndexView& seen, const PreparedQuery* queries, std::size_t count,
                         TopK* best) const {
  const RowTable& table = *seen.rows;
  const std::size_t used = table.used.load(std::memory_order_acquire);
  const std::size_t row_bytes = table.stride * sizeof(float);
  const std::size_t block = std::max<std::size_t>(16, kBlockBytes / row_bytes);
  std::vector<float> scores(kTileQueries * block);
  std::vector<std::uint32_t> positions(block);
  for (std::size_t begin = 0; begin < used; begin += block) {
    const std::size_t rows = std::min(block, used - begin);
    const float* first = table.vector(static_cast<Slot>(begin));
    for (std::size_t tile = 0; tile < count; tile += kTileQueries) {
      const std::size_t in_tile = std::min(kTileQueries, count - tile);
      if (in_tile == kTileQueries) {
        const float* vectors[kTileQueries];
        for (std::size_t q = 0; q < in_tile; ++q) vectors[q] = queries[tile + q].vector.data();
        kernels().dot_tile(vectors, first, table.stride, dim(), rows, scores.data());
      } else {
        for (std::size_t q = 0; q < in_tile; ++q) {
          kernels().dot_rows(queries[tile + q].vector.data(), first, table.stride, dim(), rows,
                             scores.data() + q * rows);
        }
      }
      for (std::size_t q = tile; q < tile + in_tile; ++q) {
        float* of_query = scores.data() + (q - tile) * rows;
        if (seen.r() != nullptr) {
          kernels().affine_score(of_query, queries[q].c, seen.r() + begin, rows);
        }
        const std::size_t found =
            kernels().at_least(of_query, rows, best[q].threshold(), positions.data());
        for (std::size_t i = 0; i < found; ++i) {
          const Label label = table.label(static_cast<Slot>(begin + positions[i]));
          if (label != kNoLabel) best[q].push({of_query[positions[i]], label});
        }
      }
    }
  }
}

void FlatIndex::search_rows(const IndexView& seen, const std::vector<PreparedQuery>& queries,
                            const SlotFilter* filter, const SearchOptions& options, float* scores,
                            Label* labels) const {
  const std::vector<Slot> allowed = filter == nullptr ? std::vector<Slot>() : filter->slots();
  const std::size_t workers = options.threads == 0 ? runtime().cores : options.threads;
  const std::size_t group = std::clamp<std::size_t>(queries.size() / workers, 1, kQueryGroup);
  parallel_for(queries.size(), options.threads, group, [&](std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end; at += kQueryGroup) {
      const std::size_t count = std::min(kQueryGroup, end - at);
      std::vector<TopK> best(count, TopK(options.k));
      if (filter == nullptr) {
        scan_all(seen, &queries[at], count, best.data());
      } else {
        for (std::size_t q = 0; q < count; ++q) {
          scan(seen, queries[at + q], allowed, best[q]);
        }
      }
      for (std::size_t q = 0; q < count; ++q) {
        const std::size_t row = (at + q) * options.k;
        best[q].write(scores + row, labels + row);
      }
    }
  });
}

}  // namespace gapless
