#include "index/alignment.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr double kNoDirection = 1e-6;

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

// Numbers near the largest float pass one by one and overflow in a sum.
void check_finite(double value, const char* what) {
  if (std::isfinite(value)) return;
  throw InvalidArgument(std::string("the alignment takes a ") + what +
                        " out of the range of float32; scale its numbers down");
}

void check(const AffineMap& map, const std::string& whose) {
  if (!map.linear.empty() && map.linear.size() != map.in * map.out) {
    throw InvalidArgument("linear part of " + whose + " is not (out, in) = (" +
                          std::to_string(map.out) + ", " + std::to_string(map.in) + ")");
  }
  if (map.out != 0 && map.linear.empty() && map.offset.empty()) {
    throw InvalidArgument(whose + " has dims and neither offset nor linear part");
  }
  if (map.linear.empty() && map.in != map.out) {
    throw InvalidArgument(whose + " has no linear part and yet maps " + std::to_string(map.in) +
                          " dims to " + std::to_string(map.out));
  }
  if (!map.offset.empty() && map.offset.size() != map.out) {
    throw InvalidArgument("offset of " + whose + " has " + std::to_string(map.offset.size()) +
                          " values, its linear part gives " + std::to_string(map.out));
  }
  if (!all_finite(map.linear) || !all_finite(map.offset)) {
    throw InvalidArgument(whose + " holds NaN or infinity; estimate it from finite vectors");
  }
}

}  // namespace

void AffineMap::apply(const float* x, float* y) const {
  if (linear.empty()) {
    std::copy(x, x + out, y);
  } else {
    kernels().dot_rows(x, linear.data(), in, in, out, y);
  }
  if (offset.empty()) return;
  for (std::size_t i = 0; i < out; ++i) y[i] += offset[i];
}

Alignment::Alignment(AffineMap rows, std::map<std::string, AffineMap> queries)
    : rows_(std::move(rows)), queries_(std::move(queries)) {
  if (rows_.out == 0 && queries_.empty()) {
    throw InvalidArgument(
        "an alignment needs an offset, a linear map or query maps; none is given");
  }
  check(rows_, "the row map");
  for (const auto& [modality, map] : queries_) {
    check(map, "the query map of '" + modality + "'");
    if (rows_.out != 0 && map.out != 0 && map.out != rows_.out) {
      throw InvalidArgument("the query map of '" + modality + "' gives " + std::to_string(map.out) +
                            " dims, the row map " + std::to_string(rows_.out));
    }
  }
}

void Alignment::check_rows(std::size_t dim) const {
  if (rows_.out != 0 && rows_.in != dim) {
    throw InvalidArgument("the alignment maps rows of " + std::to_string(rows_.in) +
                          " dims, the index has " + std::to_string(dim));
  }
  for (const auto& [modality, map] : queries_) {
    const std::size_t aligned = rows_.out != 0 ? rows_.out : dim;
    if (map.out != 0 && map.out != aligned) {
      throw InvalidArgument("the query map of '" + modality + "' gives " + std::to_string(map.out) +
                            " dims, aligned rows have " + std::to_string(aligned));
    }
  }
}

const AffineMap* Alignment::query_map(const std::string& modality) const {
  if (modality.empty() || queries_.empty()) return nullptr;
  const auto found = queries_.find(modality);
  if (found != queries_.end()) return found->second.out == 0 ? nullptr : &found->second;
  std::string known;
  for (const auto& entry : queries_) known += (known.empty() ? "" : ", ") + entry.first;
  throw InvalidArgument("the alignment has no query map for modality '" + modality + "'; it has " +
                        known + ": align again with a sample of such queries");
}

std::size_t Alignment::query_dim(const std::string& modality, std::size_t dim) const {
  const AffineMap* map = query_map(modality);
  if (map != nullptr) return map->in;
  return rows_.out != 0 ? rows_.out : dim;
}

PreparedQuery Alignment::prepare(const float* query, const std::string& modality,
                                 std::size_t dim) const {
  const AffineMap* map = query_map(modality);
  const std::size_t aligned_dim = rows_.out != 0 ? rows_.out : dim;
  std::vector<float> aligned(query, query + (map == nullptr ? aligned_dim : 0));
  if (map != nullptr) {
    aligned.resize(aligned_dim);
    map->apply(query, aligned.data());
    const double norm = kernels().normalise(aligned.data(), aligned.data(), aligned_dim);
    check_finite(norm, "query");
    // The query is the mean itself: it prefers nothing.
    if (!(norm >= kNoDirection)) std::fill(aligned.begin(), aligned.end(), 0.0f);
  }
  return fold(std::move(aligned), dim);
}

PreparedQuery Alignment::prepare_row(const float* row, std::size_t dim) const {
  std::vector<float> aligned(row, row + dim);
  if (rows_.out != 0) {
    aligned.resize(rows_.out);
    rows_.apply(row, aligned.data());
    const double norm = kernels().normalise(aligned.data(), aligned.data(), rows_.out);
    if (!(norm >= kNoDirection)) std::fill(aligned.begin(), aligned.end(), 0.0f);
  }
  return fold(std::move(aligned), dim);
}

// Moves the linear part of the row map to an aligned query.
PreparedQuery Alignment::fold(std::vector<float> aligned, std::size_t dim) const {
  const std::size_t aligned_dim = rows_.out != 0 ? rows_.out : dim;
  PreparedQuery ready;
  if (!rows_.offset.empty()) {
    ready.c = kernels().dot(aligned.data(), rows_.offset.data(), aligned_dim);
  }
  check_finite(ready.c, "query");
  if (rows_.linear.empty()) {
    ready.vector = std::move(aligned);
    return ready;
  }
  std::vector<double> folded(dim, 0.0);
  for (std::size_t i = 0; i < aligned_dim; ++i) {
    const float* row = rows_.linear.data() + i * dim;
    for (std::size_t j = 0; j < dim; ++j) folded[j] += static_cast<double>(aligned[i]) * row[j];
  }
  ready.vector.assign(folded.begin(), folded.end());
  check_finite(kernels().dot(ready.vector.data(), ready.vector.data(), dim), "query");
  return ready;
}

float Alignment::scale(const float* row) const {
  if (rows_.out == 0) return 1.0f;
  // Summed directly, not as 1 + 2<x, o> + |o|^2, which cancels where the row is close to -o.
  thread_local std::vector<float> mapped;
  mapped.resize(rows_.out);
  rows_.apply(row, mapped.data());
  double square = 0.0;
  for (const float value : mapped) square += static_cast<double>(value) * value;
  const double norm = std::sqrt(square);
  check_finite(norm, "row");
  return norm < kNoDirection ? 0.0f : static_cast<float>(1.0 / norm);
}

void Alignment::scales(const float* rows, std::size_t stride, std::size_t dim, std::size_t count,
                       float* r) const {
  // |x + o|^2 = 1 + 2<x, o> + |o|^2 cancels where x is close to -o: such rows are summed directly.
  constexpr float kCancels = 0.05f;
  if (rows_.out == 0 || !rows_.linear.empty()) {
    for (std::size_t i = 0; i < count; ++i) r[i] = scale(rows + i * stride);
    return;
  }
  kernels().dot_rows(rows_.offset.data(), rows, stride, dim, count, r);
  const float square = kernels().dot(rows_.offset.data(), rows_.offset.data(), dim);
  for (std::size_t i = 0; i < count; ++i) {
    const float moved = 1.0f + 2.0f * r[i] + square;
    r[i] = moved > kCancels && std::isfinite(moved) ? 1.0f / std::sqrt(moved)
                                                    : scale(rows + i * stride);
  }
}

}  // namespace gapless
