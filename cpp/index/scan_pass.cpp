#include "index/scan_pass.h"

#include <cmath>
#include <limits>

#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kPlainBytes = 256 * 1024;
constexpr std::size_t kRescored = 16;      // rows rescored before the limit is looked at again
constexpr std::size_t kNearRows = 512;     // first of all, for a limit
constexpr std::size_t kSampledPanels = 2;  // at each sampled place
constexpr std::size_t kSampledPlaces = 16;
constexpr double kTiny = 1.0 / (1 << 20);

}  // namespace

// What the kernel is to compare with: a row is kept unless its bound, in units of the query's
// prefix scale, is below limit / r - (what is the same for all rows).
void ScanPass::aim(const ScanState& state, ScanQuery& query, std::size_t depth) const {
  query = state.code.at[depth];
  query.code = state.code.prefix.data();
  const double limit = state.limit();
  const double lower = limit - std::fabs(limit) * kTiny;
  const double scale = state.code.prefix_scale;
  const double c = state.target.c;
  const double same = state.code.slack[depth] + state.code.mean + c +
                      kTiny * (std::fabs(c) + std::fabs(state.code.mean));
  query.limit = static_cast<float>(lower / scale);
  query.shift = static_cast<float>(-same / scale);
  // Far from 1 the kernel's floats could overflow: a limit that is not a number keeps every row.
  if (limit != kNoScore && !(std::fabs(lower / scale) < 1e30)) {
    query.limit = std::numeric_limits<float>::quiet_NaN();
  }
}

void ScanPass::inverse_r(std::size_t begin, std::size_t end) {
  inverse_r_.assign(end - begin, 1.0f);
  const std::size_t real = std::min(end, rows_.count);
  for (std::size_t i = begin; i < real; ++i) {
    const float r = rows_.r[i];
    const bool usual = r > 1e-30f && r < 1e30f;
    inverse_r_[i - begin] = usual ? 1.0f / r : std::numeric_limits<float>::quiet_NaN();
  }
}

void ScanPass::push(ScanState& state, float score, Slot slot) {
  const Label label = acquire(rows_.labels[slot]);
  if (label == kNoLabel) {
    ++counts.lost;
  } else {
    state.best.push({score, label});
  }
}

void ScanPass::rescore(ScanState& state, const Slot* slots, std::size_t count) {
  float scores[kRescored];
  kernels().dot_gather(state.target.vector, rows_.vectors, rows_.stride, dim_, slots, count,
                       scores);
  for (std::size_t i = 0; i < count; ++i) {
    float score = scores[i];
    if (rows_.r != nullptr) {
      score = (score + state.target.c) * rows_.r[slots[i]];
    } else if (state.target.c != 0.0f) {
      score += state.target.c;
    }
    if (score >= state.limit()) push(state, score, slots[i]);
  }
  counts.rescored += count;
  state.rescored += count;
}

void ScanPass::consider(ScanState& state, const Slot* slots, std::size_t count) {
  const ScanCodes::Query& query = state.code;
  if (sums_.size() < count) sums_.resize(count);
  kernels().codes->dot_bytes(query.line.data(), codes_.lines(), codes_.line_dims(),
                             codes_.line_dims(), slots, count, sums_.data());
  counts.lines += count;
  const double c = state.target.c;
  const double same =
      query.line_slack + query.mean + c + kTiny * (std::fabs(c) + std::fabs(query.mean));
  float limit = state.limit();
  candidates_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = slots[i];
    const double steps = sums_[i] - 128.0 * query.line_sum;
    double upper = query.line_scale * codes_.line_scale(slot) * steps +
                   query.line_norm * codes_.line_error(slot) + same;
    if (rows_.r != nullptr) upper *= rows_.r[slot];
    upper += std::fabs(upper) * kTiny + 1e-40;
    if (upper < limit) continue;
    candidates_.push_back({upper, slot});
  }
  // Best first, and only as far as it can matter.
  const auto worse = [](const ScanCandidate& a, const ScanCandidate& b) {
    return a.upper < b.upper;
  };
  std::make_heap(candidates_.begin(), candidates_.end(), worse);
  while (!candidates_.empty()) {
    Slot chosen[kRescored];
    std::size_t taken = 0;
    limit = state.limit();
    while (taken < kRescored && !candidates_.empty() && !(candidates_.front().upper < limit)) {
      chosen[taken++] = candidates_.front().slot;
      std::pop_heap(candidates_.begin(), candidates_.end(), worse);
      candidates_.pop_back();
    }
    if (taken == 0) break;
    rescore(state, chosen, taken);
  }
  state.considered += count;
}

// The depth that costs least on sampled rows, with the limit that the query starts from.
void ScanPass::choose_depth(ScanState& state, const ScanCosts& costs) {
  constexpr std::size_t kPlace = kSampledPanels * kPanelRows;
  state.depth = lines_only();
  double least = costs.line;
  const std::size_t places = coded_ / kPlace;
  const std::size_t sampled = std::min(places, kSampledPlaces);
  std::uint32_t kept[kPlace];
  for (std::size_t depth = 0; depth < codes_.depths(); ++depth) {
    ScanQuery query;
    aim(state, query, depth);
    std::size_t survivors = 0;
    for (std::size_t i = 0; i < sampled; ++i) {
      const std::size_t begin = i * places / sampled * kPlace;
      const std::uint8_t* parts[kMostScanDims / kPartDims];
      ScanRows rows = codes_.rows(depth, begin / kScanBlockRows, parts);
      if (rows_.r != nullptr) {
        inverse_r(begin, begin + kPlace);
        rows.inverse_r = inverse_r_.data();
      }
      std::uint32_t found = 0;
      scan_kernel().scan(&query, 1, rows, begin % kScanBlockRows, kPlace, kept, &found);
      survivors += found;
    }
    const double share = static_cast<double>(survivors) / static_cast<double>(sampled * kPlace);
    const double cost = costs.prefix + costs.part * static_cast<double>(codes_.depth_parts(depth)) +
                        costs.line * share;
    if (cost >= least) {
      if (state.depth != lines_only()) break;  // deeper ones cost more still
      continue;
    }
    least = cost;
    state.depth = depth;
  }
  if (least >= costs.plain) state.depth = plain();
}

void ScanPass::prepare(ScanState& state, const ScanCosts& costs) {
  state.depth = plain();
  if (!codes_.encode(state.target.vector, state.code)) return;
  codes_.near(state.code, kNearRows + 4 * k_, slots_);
  std::erase_if(slots_, [&](Slot slot) { return slot >= coded_ || !wanted(slot); });
  consider(state, slots_.data(), slots_.size());
  // These rows will come again: what stays of them is the limit.
  state.floor = state.best.threshold();
  state.best = TopK(k_);
  state.considered = state.rescored = 0;
  choose_depth(state, costs);
}

void ScanPass::scan_prefixes(ScanState* const* states, std::size_t count, std::size_t begin,
                             std::size_t end) {
  const std::size_t padded = (end - begin + kPanelRows - 1) / kPanelRows * kPanelRows;
  const std::size_t depth = states[0]->depth;
  const std::uint8_t* parts[kMostScanDims / kPartDims];
  ScanRows rows = codes_.rows(depth, begin / kScanBlockRows, parts);
  if (rows_.r != nullptr) rows.inverse_r = inverse_r_.data();
  kept_.resize(kScanQueries * padded);
  for (std::size_t tile = 0; tile < count; tile += kScanQueries) {
    const std::size_t in_tile = std::min(kScanQueries, count - tile);
    ScanQuery queries[kScanQueries];
    std::uint32_t found[kScanQueries] = {};
    for (std::size_t q = 0; q < in_tile; ++q) aim(*states[tile + q], queries[q], depth);
    scan_kernel().scan(queries, in_tile, rows, begin % kScanBlockRows, padded, kept_.data(), found);
    for (std::size_t q = 0; q < in_tile; ++q) {
      ScanState& state = *states[tile + q];
      Slot* slots = kept_.data() + q * padded;
      std::size_t left = 0;
      for (std::size_t i = 0; i < found[q]; ++i) {
        const auto slot = static_cast<Slot>(begin / kScanBlockRows * kScanBlockRows + slots[i]);
        if (slot < end && wanted(slot)) slots[left++] = slot;
      }
      if (left > 0) consider(state, slots, left);
      state.seen += end - begin;
      state.kept += left;
    }
    counts.scanned += in_tile * (end - begin);
  }
}

void ScanPass::scan_lines(ScanState& state, std::size_t begin, std::size_t end) {
  slots_.clear();
  for (std::size_t i = begin; i < end; ++i) {
    if (wanted(static_cast<Slot>(i))) slots_.push_back(static_cast<Slot>(i));
  }
  if (!slots_.empty()) consider(state, slots_.data(), slots_.size());
}

void ScanPass::scan_plain(ScanState* const* states, std::size_t count, std::size_t begin,
                          std::size_t end) {
  const std::size_t block = std::max<std::size_t>(16, kPlainBytes / (rows_.stride * sizeof(float)));
  scores_.resize(kTileQueries * block);
  positions_.resize(block);
  for (; begin < end; begin += block) {
    const std::size_t rows = std::min(block, end - begin);
    const float* first = rows_.vectors + begin * rows_.stride;
    for (std::size_t tile = 0; tile < count; tile += kTileQueries) {
      const std::size_t in_tile = std::min(kTileQueries, count - tile);
      if (in_tile == kTileQueries) {
        const float* vectors[kTileQueries];
        for (std::size_t q = 0; q < in_tile; ++q) vectors[q] = states[tile + q]->target.vector;
        kernels().dot_tile(vectors, first, rows_.stride, dim_, rows, scores_.data());
      } else {
        for (std::size_t q = 0; q < in_tile; ++q) {
          kernels().dot_rows(states[tile + q]->target.vector, first, rows_.stride, dim_, rows,
                             &scores_[q * rows]);
        }
      }
      for (std::size_t q = 0; q < in_tile; ++q) {
        ScanState& state = *states[tile + q];
        float* scores = &scores_[q * rows];
        if (rows_.r != nullptr) {
          kernels().affine_score(scores, state.target.c, rows_.r + begin, rows);
        } else if (state.target.c != 0.0f) {
          for (std::size_t i = 0; i < rows; ++i) scores[i] += state.target.c;
        }
        const std::size_t found =
            kernels().at_least(scores, rows, state.limit(), positions_.data());
        for (std::size_t i = 0; i < found; ++i) {
          const auto slot = static_cast<Slot>(begin + positions_[i]);
          if (wanted(slot)) push(state, scores[positions_[i]], slot);
        }
      }
    }
    counts.plain += count * rows;
  }
}

void ScanPass::scan(std::vector<ScanState>& states, std::size_t begin, std::size_t end) {
  by_depth_.resize(plain() + 1);
  std::vector<ScanState*> all;
  for (ScanState& state : states) all.push_back(&state);
  // A query that the bounds have ruled out too little for is not helped by them.
  const std::size_t patience = std::max<std::size_t>(512, (end - begin) / 32);
  const std::size_t coded_end = std::min(end, coded_);
  for (std::size_t block_end = begin; begin < coded_end; begin = block_end) {
    block_end = std::min(begin / kScanBlockRows * kScanBlockRows + kScanBlockRows, coded_end);
    if (rows_.r != nullptr)
      inverse_r(begin, (block_end + kPanelRows - 1) / kPanelRows * kPanelRows);
    for (auto& group : by_depth_) group.clear();
    for (ScanState* state : all) {
      if (state->seen >= patience && state->kept > state->seen / 2 && state->depth < lines_only()) {
        state->depth = lines_only();
      }
      if (state->considered >= patience && state->rescored > state->considered / 4) {
        state->depth = plain();
      }
      by_depth_[state->depth].push_back(state);
    }
    for (std::size_t depth = 0; depth < lines_only(); ++depth) {
      const auto& group = by_depth_[depth];
      if (!group.empty()) scan_prefixes(group.data(), group.size(), begin, block_end);
    }
    for (ScanState* state : by_depth_[lines_only()]) scan_lines(*state, begin, block_end);
    const auto& group = by_depth_[plain()];
    if (!group.empty()) scan_plain(group.data(), group.size(), begin, block_end);
  }
  if (begin < end) scan_plain(all.data(), all.size(), begin, end);
}

// Few rows: by their lines, without a look at the others.
void ScanPass::scan_allowed(ScanState& state) {
  const bool encoded = codes_.size() > 0 && codes_.encode(state.target.vector, state.code);
  slots_.clear();
  std::vector<Slot> uncoded;
  for (const Slot slot : *rows_.allowed) {
    if (acquire(rows_.labels[slot]) == kNoLabel) continue;
    (encoded && slot < coded_ ? slots_ : uncoded).push_back(slot);
  }
  for (std::size_t i = 0; i < uncoded.size(); i += kRescored) {
    rescore(state, &uncoded[i], std::min(kRescored, uncoded.size() - i));
  }
  for (std::size_t i = 0; i < slots_.size(); i += kScanBlockRows) {
    consider(state, &slots_[i], std::min(kScanBlockRows, slots_.size() - i));
  }
}

}  // namespace gapless
