#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace gapless {

// x -> linear * x + offset; either part may be missing (identity, zero).
struct AffineMap {
  std::size_t in = 0;  // 0 = any dim (no part given)
  std::size_t out = 0;
  std::vector<float> linear;  // (out, in) row-major, or empty
  std::vector<float> offset;  // (out), or empty

  void apply(const float* x, float* y) const;
};

// A query made ready for one alignment: score(x) = (<vector, x> + c) * r(x).
struct PreparedQuery {
  std::vector<float> vector;
  float c = 0.0f;
};

// An affine map of a field's rows, applied when scoring and never to the rows, and a map of the
// queries of each modality. Immutable, so searches may share it.
//
// With the aligned query q' and the aligned row N(Wx + o), both of unit length,
//     <q', N(Wx + o)> = (<W'q', x> + <q', o>) * r(x),   r(x) = 1 / |Wx + o|
// so W moves to the query and each row needs one float.
class Alignment {
 public:
  // Throws InvalidArgument when sizes disagree, numbers are not finite, or nothing is given.
  Alignment(AffineMap rows, std::map<std::string, AffineMap> queries);

  const AffineMap& rows() const { return rows_; }
  const std::map<std::string, AffineMap>& queries() const { return queries_; }

  // Throws InvalidArgument unless it can map rows of `dim`.
  void check_rows(std::size_t dim) const;
  // Dim that queries of this modality must have, for rows of `dim`; throws InvalidArgument for a
  // modality without a map when there are others. Empty = no query map.
  std::size_t query_dim(const std::string& modality, std::size_t dim) const;
  // `query` is a unit vector of query_dim(modality).
  PreparedQuery prepare(const float* query, const std::string& modality, std::size_t dim) const;
  // A unit row, aligned, as a query: what is like the rows.
  PreparedQuery prepare_row(const float* row, std::size_t dim) const;
  // r(x), or 0 where |Wx + o| < 1e-6: such a row has no direction and scores 0.
  float scale(const float* row) const;
  // r of `count` unit rows of `dim` floats, one every `stride`; much faster where there is no
  // linear part.
  void scales(const float* rows, std::size_t stride, std::size_t dim, std::size_t count,
              float* r) const;

 private:
  PreparedQuery fold(std::vector<float> aligned, std::size_t dim) const;
  const AffineMap* query_map(const std::string& modality) const;

  AffineMap rows_;
  std::map<std::string, AffineMap> queries_;
};

using AlignmentPtr = std::shared_ptr<const Alignment>;

}  // namespace gapless
