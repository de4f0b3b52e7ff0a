#include "index/walk.h"

#include <algorithm>

#include "core/prefetch.h"
#include "index/filter.h"

namespace gapless {
namespace {

constexpr std::size_t kEntries = 4;  // routers that a walk starts from

}  // namespace

void Walk::begin(const GraphView& view, const WalkGoal& goal) {
  view_ = &view;
  goal_ = goal;
  const Graph& graph = *view.graph;
  visited_.assign((graph.capacity + 63) / 64, 0);
  const std::size_t widest = std::max(graph.degree, Graph::kRouters);
  fresh_.resize(widest);
  kept_.resize(widest);
  scores_.resize(widest);
  scored_ = 0;
  over_budget_ = false;
  found_.clear();
  pool_.begin(goal.width);
  if (goal.without != kNoSlot) visit(goal.without);

  std::size_t routers = 0;
  for (const Slot& entry : graph.routers) {
    const Slot slot = acquire(entry);
    if (slot == kNoSlot) break;
    if (slot != goal.without) fresh_[routers++] = slot;
  }
  view.codes->score(query_, fresh_.data(), routers, scores_.data());
  for (std::size_t entry = 0; entry < std::min(kEntries, routers); ++entry) {
    const auto best = static_cast<std::size_t>(
        std::max_element(scores_.begin(), scores_.begin() + static_cast<std::ptrdiff_t>(routers)) -
        scores_.begin());
    if (visit(fresh_[best])) insert(scores_[best], fresh_[best]);
    scores_[best] = kNoScore;
  }
  stage_ = Stage::kExpand;
}

void Walk::insert(float score, Slot slot) {
  if (goal_.filter != nullptr) {
    pool_.insert_mixed(score, slot, allowed(slot));
  } else {
    pool_.insert(score, slot, allowed(slot));
  }
}

bool Walk::step() {
  switch (stage_) {
    case Stage::kExpand:
      expand();
      return stage_ != Stage::kDone;
    case Stage::kFilter:
      count_ = view_->codes->filter(query_, fresh_.data(), count_, pool_.limit(), kept_.data());
      stage_ = Stage::kScore;
      return true;
    case Stage::kScore:
      score();
      return stage_ != Stage::kDone;
    case Stage::kRefine:
      refine();
      return false;
    case Stage::kDone:
      return false;
  }
  return false;
}

void Walk::expand() {
  const Graph& graph = *view_->graph;
  const Slot at = pool_.expand_next();
  if (at == kNoSlot) {
    found_.resize(goal_.refined == 0 ? goal_.width.ef : std::min(goal_.refined, goal_.width.ef));
    found_.resize(pool_.best(found_.size(), found_.data()));
    if (goal_.refined == 0) {
      stage_ = Stage::kDone;
      return;
    }
    kept_.resize(std::max(kept_.size(), found_.size()));
    for (std::size_t i = 0; i < found_.size(); ++i) kept_[i] = found_[i].slot;
    view_->codes->touch_refine(kept_.data(), found_.size());
    stage_ = Stage::kRefine;
    return;
  }
  const Slot* row = graph.row(at);
  count_ = 0;
  for (std::size_t i = 0; i < graph.degree; ++i) {
    const Slot link = acquire(row[i]);
    if (link == kNoSlot) break;
    const Slot slot = link & Graph::kSlotMask;
    fresh_[count_] = slot;
    count_ += visit(slot);
  }
  view_->codes->touch(fresh_.data(), count_);
  touch_factors();
  stage_ = Stage::kFilter;
}

// Sends for what an alignment and a query mean have of each fresh row.
void Walk::touch_factors() const {
  if (const float* r = query_.r; r != nullptr) {
    for (std::size_t i = 0; i < count_; ++i) GAPLESS_PREFETCH(r + fresh_[i]);
  }
  if (const std::int16_t* means = query_.line.means; means != nullptr) {
    for (std::size_t i = 0; i < count_; ++i) GAPLESS_PREFETCH(means + fresh_[i]);
  }
}

void Walk::score() {
  scored_ += count_;
  if (scored_ > goal_.budget) {
    over_budget_ = true;
    stage_ = Stage::kDone;
    return;
  }
  view_->codes->score(query_, kept_.data(), count_, scores_.data());
  if (goal_.filter != nullptr) {
    for (std::size_t i = 0; i < count_; ++i) {
      if (scores_[i] > pool_.limit()) pool_.insert_mixed(scores_[i], kept_[i], allowed(kept_[i]));
    }
  } else {
    for (std::size_t i = 0; i < count_; ++i) {
      if (scores_[i] > pool_.limit()) pool_.insert(scores_[i], kept_[i], allowed(kept_[i]));
    }
  }
  if (const Slot next = pool_.peek_next(); next != kNoSlot) {
    const Slot* row = view_->graph->row(next);
    for (std::size_t i = 0; i < view_->graph->degree; i += Graph::kSlotsPerLine) {
      GAPLESS_PREFETCH(row + i);
    }
  }
  stage_ = Stage::kExpand;
}

void Walk::refine() {
  scores_.resize(std::max(scores_.size(), found_.size()));
  view_->codes->refine(query_, kept_.data(), found_.size(), scores_.data());
  for (std::size_t i = 0; i < found_.size(); ++i) found_[i].score = scores_[i];
  std::sort(found_.begin(), found_.end(),
            [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  stage_ = Stage::kDone;
}

bool Walk::allowed_alone(Slot slot) const {
  if (goal_.filter != nullptr) return goal_.filter->allows(slot);
  return view_->rows->is_live(slot);
}

// A row stands for those equal to it.
bool Walk::allowed(Slot slot) const {
  if (goal_.for_build) return view_->graph->state(slot) == Graph::State::kLinked;
  for (; slot != kNoSlot; slot = view_->graph->next_equal(slot)) {
    if (allowed_alone(slot)) return true;
  }
  return false;
}

}  // namespace gapless
