// What the forward and the backward kernel of the selective scan share.
//
// B batch, K directions, L scan length, C channels of one direction, N states, R rank of the step's projection.
// One task owns a few vectors of channels of one batch item and walks all directions, so that sums over directions
// need no locks; vectors run over channels, hence the maps are read in any direction without transposing them.
//
//   u         (B, L, C) shared by all directions, or (B, L, K*C)
//   delta     (B, L, K*C), or null: then delta = dt_weight @ projected[:R]
//   projected (B, L, K, R + 2N), float: step (R), B (N), C (N) at a pixel, whatever order a direction visits it in
//   order     (K, L): the pixel that direction k visits at step l
//   states    (B, K, tiles, N, C), float: the state before each tile of kTile steps, what the backward starts from
#pragma once
#include <vector>

#include "vectors.hpp"

namespace {

constexpr int kTile = 32;        // steps between saved states
constexpr int kMaxVectors = 4;   // of a task: what fits in the registers

struct Sizes {
  int64_t batch, directions, length, channels, states, rank;
  int64_t shared;    // u and y are one map for all directions
  int64_t softplus;
  int64_t tiles() const { return (length + kTile - 1) / kTile; }
  int64_t width() const { return rank + 2 * states; }               // of one row of `projected`
  int64_t pixel() const { return shared ? channels : directions * channels; }
};

// The channels in blocks of 1 to kMaxVectors vectors, as few as keep all threads busy.
struct Blocks {
  int64_t channels, vectors, count;
  Blocks(const Sizes& z, int threads) : channels(z.channels), vectors((z.channels + kLanes - 1) / kLanes) {
    const int64_t fewest = (vectors + kMaxVectors - 1) / kMaxVectors, wanted = (threads + z.batch - 1) / z.batch;
    count = wanted < fewest ? fewest : wanted < vectors ? wanted : vectors;
  }
  int64_t start(int64_t block) const { return block * vectors / count; }
  int64_t first(int64_t block) const { return start(block) * kLanes; }                  // channel
  int size(int64_t block) const { return int(start(block + 1) - start(block)); }        // vectors
};

struct Weights {
  const float *dt_weight, *dt_bias, *A, *D;  // (K, C, R), (K, C), (K, C, N), (K, C)
};

// The weights of one block of V vectors of channels, absent channels 0. Exponents are to the base 2: A, and with
// softplus the step before it, come multiplied by log2(e).
template <int V>
struct BlockWeights {
  std::vector<Vector> dt_weight, A;  // [R][V], [N][V]
  Vector bias[V], D[V];
  float scale;  // of dt_weight and bias

  BlockWeights(const Sizes& z, const Weights& w, int64_t k, int64_t first)
      : dt_weight(z.rank * V), A(z.states * V), scale(z.softplus ? kLog2E : 1.0f) {
    for (int c = 0; c < V * kLanes; ++c) {
      const int64_t channel = k * z.channels + first + c;
      const int v = c / kLanes, lane = c % kLanes;
      const bool real = first + c < z.channels;
      bias[v][lane] = real ? w.dt_bias[channel] * scale : 0;
      D[v][lane] = real ? w.D[channel] : 0;
      for (int64_t r = 0; r < z.rank; ++r)
        dt_weight[r * V + v][lane] = real ? w.dt_weight[channel * z.rank + r] * scale : 0;
      for (int64_t n = 0; n < z.states; ++n) A[n * V + v][lane] = real ? w.A[channel * z.states + n] * kLog2E : 0;
    }
  }
};

template <int V, class T>
inline void load_row(const T* p, int64_t count, Vector* row) {
  for (int v = 0; v < V; ++v) row[v] = widen(p + v * kLanes, count - v * kLanes);
}
template <int V, class T>
inline void store_row(T* p, int64_t count, const Vector* row) {
  for (int v = 0; v < V; ++v) narrow(p + v * kLanes, row[v], count - v * kLanes);
}

template <int V, class T>
inline void step_sizes(const Sizes& z, const BlockWeights<V>& w, const float* row, const T* delta, int64_t count,
                       Vector* step, Vector* slope) {
  for (int v = 0; v < V; ++v) step[v] = w.bias[v];
  if (delta) {
    Vector given[V];
    load_row<V>(delta, count, given);
    for (int v = 0; v < V; ++v) step[v] += given[v] * w.scale;
  }
  for (int64_t r = 0; r < z.rank; ++r)
    for (int v = 0; v < V; ++v) step[v] += w.dt_weight[r * V + v] * row[r];
  for (int v = 0; v < V; ++v) {
    if (z.softplus) step[v] = softplus2(step[v], slope ? slope + v : nullptr);
    else if (slope) slope[v] = splat(1.0f);
  }
}

}  // namespace
