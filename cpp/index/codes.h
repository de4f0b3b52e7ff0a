#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/types.h"
#include "index/row_table.h"
#include "index/sections.h"
#include "kernels/codes.h"

namespace gapless {

enum class CodeKind { kF32, kBf16, kI8, kCascade };
const char* code_name(CodeKind kind);
bool is_code_name(const std::string& name);
// Throws InvalidArgument for a name that is none.
CodeKind code_kind(const std::string& name);

// What queries of one kind have in common, and what the sign codes make of it: they code a query
// less the mean query, whose products with the rows are known.
struct QueryMean {
  std::vector<float> mean;        // (dim)
  std::vector<float> rotated;     // the same, rotated as the rows are
  Buffer<std::int16_t> products;  // <mean, row less the rows' mean> by slot
  float unit = 1.0f;              // of the products
};

// A query in the form that one kind of codes scores. Reused from query to query.
struct CodeQuery {
  const float* vector = nullptr;  // (dim); score = (<vector, x> + c) * r(x)
  float c = 0.0f;
  const float* r = nullptr;  // by slot, or null
  std::vector<float> rotated;
  std::vector<float> shifted;
  std::vector<std::int8_t> high;  // bytes of the rotated query
  std::vector<std::int8_t> low;
  std::vector<std::int8_t> line_high;  // of the query less the mean query
  std::vector<std::int8_t> line_low;
  QueryCode code;
  LineQuery line{};
  NibbleQuery nibble{};
};

// Rows near each other as bytes, for the distances between them while a graph is built.
struct LocalRows {
  std::size_t dim = 0;  // padded
  Buffer<std::uint8_t> bytes;
  std::vector<float> scale;
  std::vector<float> square;  // squared length of the coded row

  void resize(std::size_t count, std::size_t padded_dim);
  void measure(std::size_t row);  // sets its square
  void take(std::size_t row, const LocalRows& from, std::size_t from_row);
  // out[i] = squared distance of row `from` to row first + i
  void distances(std::size_t from, std::size_t first, std::size_t count, float* out) const;
  // out[i] = squared distance of row `from` to row to[i]
  void distances_to(std::size_t from, const Slot* to, std::size_t count, float* out) const;

 private:
  void centre(std::size_t row, std::vector<std::int8_t>& values) const;
};

// Coded rows by slot, of fixed capacity. Scoring goes in stages, each on what the one before left:
// filter() drops rows that cannot reach a limit, score() ranks, refine() is as good as it gets.
// touch() and filter() send for the memory that the next stage reads. Readers may use all const
// functions beside the writer, on slots they have come to know.
class Codes {
 public:
  virtual ~Codes() = default;
  virtual CodeKind kind() const = 0;
  virtual std::size_t bytes() const = 0;
  // The same rows with more room; `rows` is the table of the new view.
  virtual std::unique_ptr<Codes> grown(const std::shared_ptr<RowTable>& rows) const = 0;

  virtual void encode(Slot slot, const float* unit) = 0;
  virtual void decode(Slot slot, float* unit) const = 0;
  virtual bool equal(Slot a, Slot b) const = 0;
  virtual void copy_local(Slot slot, LocalRows& to, std::size_t row) const = 0;
  virtual std::size_t padded_dim() const = 0;
  virtual std::vector<float> mean() const { return {}; }  // (dim) that rows are centred on

  // `mean` may be null; `margin` is how many standard errors a bound allows for.
  virtual void prepare(CodeQuery& query, const QueryMean* mean, float margin) const = 0;
  virtual void touch(const Slot* slots, std::size_t count) const = 0;
  virtual std::size_t filter(const CodeQuery& query, const Slot* slots, std::size_t count,
                             float limit, Slot* kept) const;
  virtual void score(const CodeQuery& query, const Slot* slots, std::size_t count,
                     float* scores) const = 0;
  virtual void touch_refine(const Slot*, std::size_t) const {}
  virtual void refine(const CodeQuery& query, const Slot* slots, std::size_t count,
                      float* scores) const {
    score(query, slots, count, scores);
  }
  // Products of a mean query with all rows in use.
  virtual void fill_mean(QueryMean&, std::size_t /*used*/, std::size_t /*threads*/) const {}
  virtual std::int16_t mean_product(const QueryMean&, Slot) const { return 0; }
  virtual void append_sections(SectionWriter& sections, std::size_t used) const = 0;
};

// `mean` (dim) is what rows are centred on; f32 and bf16 rows are not.
std::unique_ptr<Codes> make_codes(CodeKind kind, const std::shared_ptr<RowTable>& rows,
                                  const std::vector<float>& mean);
std::unique_ptr<Codes> restore_codes(CodeKind kind, const std::shared_ptr<RowTable>& rows,
                                     const SectionReader& reader, std::size_t used);

}  // namespace gapless
