// Layers whose cost is memory traffic, in one pass each: channels last, float or bfloat16 in and out, float inside.
#include <vector>

#include "vectors.hpp"

namespace {

// out = (x + residual - mean) / deviation * weight + bias over the C channels of each row; sum = x + residual.
template <class T>
void layer_norm(const T* x, const T* residual, const float* weight, const float* bias, T* sum, T* out, int64_t rows,
                int64_t channels, float epsilon, int threads) {
  const int64_t vectors = (channels + kLanes - 1) / kLanes;
#pragma omp parallel num_threads(threads)
  {
    std::vector<Vector> row(vectors);
#pragma omp for
    for (int64_t r = 0; r < rows; ++r) {
      Vector mean_sum = {}, square_sum = {};
      for (int64_t v = 0; v < vectors; ++v) {
        const int64_t at = r * channels + v * kLanes, count = channels - v * kLanes;
        Vector value = widen(x + at, count);
        if (residual) {
          value += widen(residual + at, count);
          narrow(sum + at, value, count);
        }
        row[v] = value;
        mean_sum += value;
      }
      const float mean = total(mean_sum) / channels;
      for (int64_t v = 0; v < vectors; ++v) {
        row[v] -= mean;
        const Vector square = row[v] * row[v];
        square_sum += square;
      }
      // The absent channels of the last vector are 0 - mean each.
      const float absent = (vectors * kLanes - channels) * mean * mean;
      const float scale = 1.0f / __builtin_sqrtf((total(square_sum) - absent) / channels + epsilon);
      for (int64_t v = 0; v < vectors; ++v) {
        const int64_t at = v * kLanes, count = channels - at;
        narrow(out + r * channels + at, row[v] * scale * widen(weight + at, count) + widen(bias + at, count), count);
      }
    }
  }
}

// A depth-wise 3x3 convolution, stride 1, zeros around, then SiLU. weight (9, C). In x a pixel takes `stride` values.
template <class T>
void depthwise_silu(const T* x, int64_t stride, const float* weight, T* out, int64_t batch, int64_t height,
                    int64_t width, int64_t channels, int threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t line = 0; line < batch * height; ++line) {
    const int64_t b = line / height, i = line % height;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t count = channels - c;
      Vector w[9];
      for (int t = 0; t < 9; ++t) w[t] = widen(weight + t * channels + c, count);
      // Three columns of three pixels slide along the line, so that each pixel is read once a line.
      const T* rows[3];
      for (int d = 0; d < 3; ++d)
        rows[d] = i + d < 1 || i + d > height ? nullptr : x + (b * height + i + d - 1) * width * stride + c;
      Vector left[3] = {}, middle[3], right[3];
      for (int d = 0; d < 3; ++d) middle[d] = rows[d] ? widen(rows[d], count) : Vector{};
      for (int64_t j = 0; j < width; ++j) {
        Vector sum = {};
        for (int d = 0; d < 3; ++d) {
          right[d] = rows[d] && j + 1 < width ? widen(rows[d] + (j + 1) * stride, count) : Vector{};
          sum += w[3 * d] * left[d] + w[3 * d + 1] * middle[d] + w[3 * d + 2] * right[d];
          left[d] = middle[d];
          middle[d] = right[d];
        }
        narrow(out + (line * width + j) * channels + c, silu(sum), count);
      }
    }
  }
}

template <class T>
void gelu_in_place(T* x, int64_t size, int threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < size; i += kLanes) narrow(x + i, gelu(widen(x + i, size - i)), size - i);
}

}  // namespace

extern "C" void layer_norm(int bfloat16, const void* x, const void* residual, const float* weight, const float* bias,
                           void* sum, void* out, int64_t rows, int64_t channels, float epsilon, int threads) {
  if (bfloat16)
    layer_norm((const BFloat16*)x, (const BFloat16*)residual, weight, bias, (BFloat16*)sum, (BFloat16*)out, rows,
               channels, epsilon, threads);
  else
    layer_norm((const float*)x, (const float*)residual, weight, bias, (float*)sum, (float*)out, rows, channels,
               epsilon, threads);
}

extern "C" void depthwise_silu(int bfloat16, const void* x, int64_t stride, const float* weight, void* out,
                               int64_t batch, int64_t height, int64_t width, int64_t channels, int threads) {
  if (bfloat16)
    depthwise_silu((const BFloat16*)x, stride, weight, (BFloat16*)out, batch, height, width, channels, threads);
  else
    depthwise_silu((const float*)x, stride, weight, (float*)out, batch, height, width, channels, threads);
}

extern "C" void gelu_in_place(int bfloat16, void* x, int64_t size, int threads) {
  if (bfloat16) gelu_in_place((BFloat16*)x, size, threads);
  else gelu_in_place((float*)x, size, threads);
}
