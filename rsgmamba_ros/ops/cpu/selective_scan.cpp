// The selective scan's forward kernel; see the header for shapes.
#include "selective_scan.hpp"

namespace {

// One direction of one block. `first` and `last` say whether it begins and ends the sum over the directions.
template <class T>
struct Direction {
  const T *u, *delta;
  const float* projected;
  const int32_t* order;
  float* sum;     // (L, V * kLanes), unless this direction is all there is
  T* y;
  float* saved;   // or null
  bool first, last;
};

// kStates is N where the compiler knows it (the state then stays in registers), else 0.
template <int V, int kStates, class T>
void scan_direction(const Sizes& z, const BlockWeights<V>& w, const Direction<T>& d, int64_t count) {
  const int64_t states = kStates ? kStates : z.states, stride = z.directions * z.width();
  Vector fixed[kStates ? kStates * V : 1];
  std::vector<Vector> grown(kStates ? 0 : states * V);
  Vector* h = kStates ? fixed : grown.data();
  for (int64_t i = 0; i < states * V; ++i) h[i] = Vector{};
  for (int64_t l = 0; l < z.length; ++l) {
    if (d.saved && l % kTile == 0)
      for (int64_t n = 0; n < states; ++n)
        store_row<V>(d.saved + (l / kTile * states + n) * z.channels, count, h + n * V);
    const int64_t p = d.order[l], soon = d.order[l + 6 < z.length ? l + 6 : l];  // 6 steps are a memory latency
    for (int v = 0; v < V; ++v) __builtin_prefetch(d.u + soon * z.pixel() + v * kLanes);
    __builtin_prefetch(d.projected + soon * stride);
    const float* row = d.projected + p * stride;
    Vector step[V], input[V], out[V];
    step_sizes<V>(z, w, row, d.delta ? d.delta + p * z.directions * z.channels : nullptr, count, step,
                  (Vector*)nullptr);
    load_row<V>(d.u + p * z.pixel(), count, input);
    for (int v = 0; v < V; ++v) out[v] = w.D[v] * input[v];
    for (int64_t n = 0; n < states; ++n) {
      const float b = row[z.rank + n], c = row[z.rank + states + n];
      for (int v = 0; v < V; ++v) {
        Vector& state = h[n * V + v];
        state = exp2(step[v] * w.A[n * V + v]) * state + step[v] * input[v] * b;
        out[v] += state * c;
      }
    }
    float* total_row = d.sum + p * V * kLanes;
    if (!d.first) {
      for (int v = 0; v < V; ++v) __builtin_prefetch(d.sum + soon * V * kLanes + v * kLanes, 1);
      for (int v = 0; v < V; ++v) out[v] += widen(total_row + v * kLanes);
    }
    if (d.last) store_row<V>(d.y + p * z.pixel(), count, out);
    else for (int v = 0; v < V; ++v) narrow(total_row + v * kLanes, out[v]);
  }
}

template <class T>
struct Arguments {
  Weights weights;
  const T *u, *delta;
  const float* projected;
  const int32_t* order;
  T* y;
  float* states;
};

template <int V, class T>
void scan_block(const Sizes& z, const Arguments<T>& a, int64_t b, int64_t first, float* sum) {
  const int64_t count = z.channels - first < V * kLanes ? z.channels - first : V * kLanes;
  for (int64_t k = 0; k < z.directions; ++k) {
    const BlockWeights<V> w(z, a.weights, k, first);
    const int64_t offset = b * z.length * z.pixel() + (z.shared ? 0 : k * z.channels) + first;
    Direction<T> d;
    d.u = a.u + offset;
    d.y = a.y + offset;
    d.delta = a.delta ? a.delta + (b * z.length * z.directions + k) * z.channels + first : nullptr;
    d.projected = a.projected + (b * z.length * z.directions + k) * z.width();
    d.order = a.order + k * z.length;
    d.sum = sum;
    d.saved = a.states ? a.states + (b * z.directions + k) * z.tiles() * z.states * z.channels + first : nullptr;
    d.first = !z.shared || k == 0;
    d.last = !z.shared || k == z.directions - 1;
    if (z.states == 1) scan_direction<V, 1>(z, w, d, count);
    else if (z.states == 2) scan_direction<V, 2>(z, w, d, count);
    else if (z.states == 4) scan_direction<V, 4>(z, w, d, count);
    else scan_direction<V, 0>(z, w, d, count);
  }
}

template <class T>
void forward(const Sizes& z, const Arguments<T>& a, int threads) {
  const Blocks blocks(z, threads);
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> sum(z.shared && z.directions > 1 ? z.length * kMaxVectors * kLanes : 0);
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < z.batch * blocks.count; ++task) {
      const int64_t b = task / blocks.count, block = task % blocks.count, first = blocks.first(block);
      switch (blocks.size(block)) {
        case 1: scan_block<1>(z, a, b, first, sum.data()); break;
        case 2: scan_block<2>(z, a, b, first, sum.data()); break;
        case 3: scan_block<3>(z, a, b, first, sum.data()); break;
        default: scan_block<4>(z, a, b, first, sum.data());
      }
    }
  }
}

}  // namespace

extern "C" void selective_scan_forward(
    const int64_t* sizes, int bfloat16, const void* u, const void* delta, const float* projected,
    const float* dt_weight, const float* dt_bias, const float* A, const float* D, const int32_t* order, void* y,
    float* states, int threads) {
  const Sizes z{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]};
  const Weights w{dt_weight, dt_bias, A, D};
  if (bfloat16)
    forward(z, Arguments<BFloat16>{w, (const BFloat16*)u, (const BFloat16*)delta, projected, order, (BFloat16*)y,
                                   states}, threads);
  else
    forward(z, Arguments<float>{w, (const float*)u, (const float*)delta, projected, order, (float*)y, states},
            threads);
}
