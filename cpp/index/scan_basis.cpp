#include "index/scan_basis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

#include "kernels/kernels.h"
#include "kernels/scan.h"

namespace gapless {
namespace {

constexpr std::size_t kSampleRows = 8192;
constexpr double kEnergy = 0.9;  // of the rows' variance, that the basis must hold
constexpr int kRounds = 4;       // of two products with the covariance each

double dot(const double* a, const double* b, std::size_t count) {
  double sums[4] = {0.0, 0.0, 0.0, 0.0};
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

std::vector<double> mean_of(const std::vector<const float*>& sample, std::size_t dim) {
  std::vector<double> mean(dim, 0.0);
  for (const float* row : sample) {
    for (std::size_t j = 0; j < dim; ++j) mean[j] += row[j];
  }
  for (double& m : mean) m /= static_cast<double>(sample.size());
  return mean;
}

std::vector<float> covariance(const std::vector<const float*>& sample,
                              const std::vector<double>& mean) {
  const std::size_t dim = mean.size();
  const std::size_t count = sample.size();
  std::vector<float> columns(dim * count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < dim; ++j) {
      columns[j * count + i] = sample[i][j] - static_cast<float>(mean[j]);
    }
  }
  std::vector<float> result(dim * dim);
  for (std::size_t i = 0; i < dim; ++i) {
    kernels().dot_rows(&columns[i * count], &columns[i * count], count, count, dim - i,
                       &result[i * dim + i]);
    for (std::size_t j = i; j < dim; ++j) result[j * dim + i] = result[i * dim + j];
  }
  return result;
}

// Gram-Schmidt, `passes` times over: twice is enough. A vector that the earlier ones leave nothing
// of is drawn anew.
void orthonormalise(std::vector<double>& vectors, std::size_t dim, int passes,
                    std::mt19937& random) {
  std::normal_distribution<double> normal;
  for (std::size_t i = 0; i * dim < vectors.size(); ++i) {
    double* vector = &vectors[i * dim];
    for (int pass = 0; pass < passes; ++pass) {
      const double before = dot(vector, vector, dim);
      for (std::size_t j = 0; j < i; ++j) {
        const double* earlier = &vectors[j * dim];
        const double along = dot(vector, earlier, dim);
        for (std::size_t d = 0; d < dim; ++d) vector[d] -= along * earlier[d];
      }
      const double square = dot(vector, vector, dim);
      if (!(square > 1e-18 * before) || !(square > 1e-200)) {
        for (std::size_t d = 0; d < dim; ++d) vector[d] = normal(random);
        pass = -1;
        continue;
      }
      const double inverse = 1.0 / std::sqrt(square);
      for (std::size_t d = 0; d < dim; ++d) vector[d] *= inverse;
    }
  }
}

// vectors * matrix; the matrix is symmetric.
void multiply(std::vector<float>& vectors, const std::vector<float>& matrix, std::size_t dim) {
  std::vector<float> product(dim);
  for (std::size_t i = 0; i < vectors.size(); i += dim) {
    kernels().dot_rows(&vectors[i], matrix.data(), dim, dim, dim, product.data());
    std::copy(product.begin(), product.end(), &vectors[i]);
  }
}

// Spreads each part's variance over its dims, so that one scale codes all of them well.
void mix(std::vector<double>& vectors, std::size_t dim) {
  for (std::size_t part = 0; part < vectors.size(); part += kPartDims * dim) {
    for (std::size_t half = 1; half < kPartDims; half *= 2) {
      for (std::size_t i = 0; i < kPartDims; ++i) {
        if (i & half) continue;
        double* a = &vectors[part + i * dim];
        double* b = &vectors[part + (i + half) * dim];
        for (std::size_t d = 0; d < dim; ++d) {
          const double sum = (a[d] + b[d]) * std::sqrt(0.5);
          b[d] = (a[d] - b[d]) * std::sqrt(0.5);
          a[d] = sum;
        }
      }
    }
  }
}

double skew_of(const std::vector<float>& vectors, std::size_t dim) {
  const std::vector<double> exact(vectors.begin(), vectors.end());
  double square = 0.0;
  for (std::size_t i = 0; i * dim < exact.size(); ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const double off = dot(&exact[i * dim], &exact[j * dim], dim) - (i == j ? 1.0 : 0.0);
      square += (i == j ? 1.0 : 2.0) * off * off;
    }
  }
  return std::sqrt(square);
}

}  // namespace

ScanBasis find_scan_basis(const float* rows, std::size_t stride, std::size_t count,
                          std::size_t dim) {
  ScanBasis basis;
  std::vector<const float*> sample(std::min(count, kSampleRows));
  for (std::size_t i = 0; i < sample.size(); ++i) {
    sample[i] = rows + i * count / sample.size() * stride;
  }
  basis.mean = mean_of(sample, dim);
  const std::size_t most = std::min(kMostScanDims, dim) / kPartDims * kPartDims;
  if (most == 0) return basis;

  std::vector<float> matrix = covariance(sample, basis.mean);
  double trace = 0.0;
  for (std::size_t i = 0; i < dim; ++i) trace += matrix[i * dim + i];
  const auto unit = static_cast<float>(trace > 1e-30 ? 1.0 / trace : 1.0);
  for (float& value : matrix) value *= unit;

  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> vectors(most * dim);
  for (double& value : vectors) value = normal(random);
  std::vector<double> energy(most, 0.0);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<float> product(vectors.begin(), vectors.end());
    multiply(product, matrix, dim);
    if (round + 1 == kRounds) {
      for (std::size_t i = 0; i < most; ++i) {
        energy[i] = 0.0;
        for (std::size_t d = 0; d < dim; ++d)
          energy[i] += vectors[i * dim + d] * product[i * dim + d];
      }
    }
    multiply(product, matrix, dim);
    vectors.assign(product.begin(), product.end());
    orthonormalise(vectors, dim, round + 1 == kRounds ? 2 : 1, random);
  }
  double held = 0.0;
  while (basis.dims < most && held < kEnergy) {
    for (std::size_t i = 0; i < kPartDims; ++i) held += energy[basis.dims + i];
    basis.dims += kPartDims;
  }
  vectors.resize(basis.dims * dim);
  mix(vectors, dim);
  basis.vectors.assign(vectors.begin(), vectors.end());
  basis.skew = skew_of(basis.vectors, dim);
  return basis;
}

}  // namespace gapless
